"""The autopilot: it knows the whole track and its own motion."""

import math
from dataclasses import dataclass

import numpy as np
from gymnasium.envs.box2d.car_racing import TRACK_DETAIL_STEP, CarRacing

from dreamlap.drivers.line import Limits, racing_line
from dreamlap.track.actions import STOCK_HIGH, STOCK_LOW

Range = float | tuple[float, float]
"""A fixed number, or bounds between which one is drawn for every episode."""
LOCK = 0.4
"""Greatest angle of the front wheels, radians; an action of this size reaches it."""
WHEELBASE = 3.24
"""Units between the axles."""
FIRM = 0.85
"""Strongest brake that does not lock the wheels (0.9 does)."""
LOST = 9.0
"""Units from the line beyond which it only wants back."""
RETURN_SPEED = 28.0
"""Units/s on the way back."""


@dataclass(frozen=True)
class Wheel:
    """How it steers and uses the pedals. Tuned on tracks of seeds below 900000."""

    look: float = 4.4
    """Units looked ahead at rest."""
    look_time: float = 0.25
    """Seconds looked ahead on top."""
    steer: float = 1.0
    """Gain on the angle of pure pursuit."""
    damp: float = 0.012
    """Counter-steer a radian/s that the car turns faster than the line asks."""
    gas: float = 0.3
    """Pedal a unit/s too slow."""
    brake: float = 0.05
    """Pedal a unit/s too fast."""
    ease: float = 1.95
    """Gas taken off a radian steered: full gas while turning spins a rear-wheel drive."""
    slide: float = 12.0
    """Units/s sideways beyond which it gives up steering a slide that is faster than its way ahead."""


class Autopilot:
    """A PRIVILEGED driver: it reads the track's geometry and the car's state, never a pixel.

    It collects data and shows what is possible; it is never scored as an agent. It steers at a point of a racing line
    ahead of it (pure pursuit) and keeps to the speeds that curves allow. `speed`, `noise` and `offset` make its
    driving varied: noise comes in correlated wander and in bursts, so that it leaves the road, spins, and comes back.
    """

    def __init__(
        self,
        noise: Range = 0.0,
        speed: Range = 1.0,
        offset: Range = 0.0,
        wheel: Wheel | None = None,
        limits: Limits | None = None,
    ) -> None:
        """How it drives; a pair of numbers is drawn between again for every episode.

        Args:
            noise: strength of the disturbance of its actions; 0 is none, 1 leaves the road often.
            speed: factor on the speeds of the line, 0.5 to 1.15.
            offset: units that it drives right of its line.
            wheel: how it steers and uses the pedals.
            limits: of the car.
        """
        self.noise, self.speed, self.offset = noise, speed, offset
        self.wheel, self.limits = wheel or Wheel(), limits or Limits()

    def reset(self, track: CarRacing, rng: np.random.Generator) -> None:
        """See `Solo.reset`."""
        self.track, self.rng = track, rng
        self.disturbance = Disturbance(_draw(self.noise, rng), rng)
        factor = _draw(self.speed, rng)
        line = racing_line(track.track, self.limits, _draw(self.offset, rng))
        self.points, self.speeds = line.points, line.speeds * factor
        self.at = -1

    def act(self, frame: np.ndarray) -> np.ndarray:
        """See `Solo.act`; the frame is not looked at."""
        return np.clip(self._intent() + self.disturbance.step(), STOCK_LOW, STOCK_HIGH).astype(np.float32)

    def _intent(self) -> np.ndarray:
        """(3,) what it would do undisturbed."""
        hull = self._hull()
        (x, y), heading, (vx, vy) = hull.position, hull.angle, hull.linearVelocity
        aside, along = _turned(vx, vy, heading)
        if abs(aside) > max(self.wheel.slide, abs(along)):
            return np.array([0.0, 0.0, 1.0])  # sliding sideways: lock the wheels and begin again
        away = self._locate(x, y)
        right, ahead = self._seen_from(x, y, heading, self.wheel.look + self.wheel.look_time * along)
        lost = away > LOST or ahead < abs(right)
        limit = RETURN_SPEED if lost else self.speeds[self.at]
        return self._pedals(self._steering(right, ahead, along, hull.angularVelocity), limit - along)

    def _steering(self, right: float, ahead: float, along: float, turning: float) -> float:
        """The angle of the front wheels (radians, positive is right) that leads through a point: pure pursuit."""
        if ahead < 0:
            return math.copysign(LOCK, right)
        curvature = 2 * right / (right * right + ahead * ahead)
        angle = self.wheel.steer * math.atan(WHEELBASE * curvature) + self.wheel.damp * (turning + along * curvature)
        return min(max(angle, -LOCK), LOCK)

    def _pedals(self, angle: float, missing: float) -> np.ndarray:
        """(3,) stock action that steers and makes up for `missing` units/s."""
        if missing > 0:
            return np.array([angle, max(min(self.wheel.gas * missing, 1 - self.wheel.ease * abs(angle)), 0.0), 0.0])
        return np.array([angle, 0.0, min(-self.wheel.brake * missing, FIRM)])

    def _locate(self, x: float, y: float) -> float:
        """Finds the nearest point of the line, near the last one or, when that is far off, anywhere; its distance."""
        n = len(self.points)
        near = np.arange(self.at - 5, self.at + 15) % n if self.at >= 0 else np.arange(n)
        far = np.hypot(*(self.points[near] - (x, y)).T)
        if far.min() > 2 * LOST and len(near) < n:
            self.at = -1
            return self._locate(x, y)
        self.at = int(near[far.argmin()])
        return float(far.min())

    def _seen_from(self, x: float, y: float, heading: float, distance: float) -> tuple[float, float]:
        """The point of the line `distance` units on, as (units to the right, units ahead) of the car."""
        px, py = self.points[(self.at + round(distance / TRACK_DETAIL_STEP)) % len(self.points)]
        return _turned(px - x, py - y, heading)

    def _hull(self):
        assert self.track.car is not None
        return self.track.car.hull


class Disturbance:
    """Noise on stock actions: a correlated wander always, and now and then a burst of one strong wrong action."""

    def __init__(self, strength: float, rng: np.random.Generator) -> None:
        self.strength, self.rng = strength, rng
        self.wander = np.zeros(3)
        self.burst, self.left = np.zeros(3), 0

    def step(self) -> np.ndarray:
        """(3,) to be added to a stock action."""
        if self.strength == 0:
            return self.wander
        self.wander = 0.9 * self.wander + self.strength * self.rng.normal(size=3) * (0.13, 0.13, 0.04)
        self.left -= 1
        if self.left < 0 and self.rng.random() < 0.01 * self.strength:
            self.burst = self.strength * self.rng.uniform((-1, -1, -0.2), (1, 1, 0.5))
            self.left = int(self.rng.integers(5, 25))
        return self.wander + (self.burst if self.left >= 0 else 0)


def _turned(x: float, y: float, heading: float) -> tuple[float, float]:
    """A world vector as (to the right, ahead) of a car of that heading."""
    cos, sin = math.cos(heading), math.sin(heading)
    return float(cos * x + sin * y), float(cos * y - sin * x)


def _draw(value: Range, rng: np.random.Generator) -> float:
    return float(rng.uniform(*value)) if isinstance(value, tuple) else value
