"""A person as a driver: four arrow keys, or a gamepad's stick and triggers, made into steering and pedals."""

import numpy as np
from gymnasium.envs.box2d.car_racing import CarRacing

from dreamlap.drivers.autopilot import LOCK

ARROWS = frozenset({"left", "right", "up", "down"})
TURN, STRAIGHTEN = LOCK / 10, LOCK / 5
"""How far a held key turns the wheels in a step, and a released one turns them back: a fifth of a second to the lock."""
PRESS, LIFT = 0.1, 0.25
"""How far a pedal goes down in a step while its key is held, and up when it is not."""
FIRM = 0.8
"""Strongest brake: from 0.9 on it locks the wheels."""
EASE = 0.9
"""Share of the gas that is lifted at the lock: full gas while turning spins a rear-wheel drive."""


class Person:
    """Steers and uses the pedals by the arrow keys in `held` and the shares in `moved`, which whoever listens keeps up to date.

    A key is on or off; so steering and pedals ease in and out, and a short press steers a little. (The autopilot, made to use
    these keys at full speed, scores 915; with keys that act at once, it spins in the first corner.)
    """

    def __init__(self) -> None:
        self.held: set[str] = set()
        self.moved: dict[str, float] = {}
        """How far a gamepad moves `steer` (-1 to 1), `gas` and `brake` (0 to 1)."""
        self.steer = self.gas = self.brake = 0.0

    def reset(self, track: CarRacing, rng: np.random.Generator) -> None:
        """See `Solo.reset`; neither is looked at."""
        self.steer = self.gas = self.brake = 0.0

    def act(self, frame: np.ndarray) -> np.ndarray:
        """See `Solo.act`; the frame is the person's to look at."""
        keys = ("right" in self.held) - ("left" in self.held)
        wanted = LOCK * (keys or self.moved.get("steer", 0.0))
        turning = wanted * self.steer >= 0 and abs(wanted) > abs(self.steer)
        self.steer = _towards(wanted, self.steer, TURN if turning else STRAIGHTEN)
        self.gas, self.brake = self._pedal("up", "gas", self.gas, 1.0), self._pedal("down", "brake", self.brake, FIRM)
        gas = self.gas * (1 - EASE * abs(self.steer) / LOCK)
        return np.array([self.steer, gas, self.brake], np.float32)

    def _pedal(self, key: str, control: str, now: float, most: float) -> float:
        wanted = most * (1.0 if key in self.held else self.moved.get(control, 0.0))
        return min(now + PRESS, wanted) if wanted > now else max(now - LIFT, wanted)

    def let_go(self) -> None:
        """Take the hands off."""
        self.held.clear()
        self.moved.clear()


def _towards(wanted: float, now: float, most: float) -> float:
    return now + min(max(wanted - now, -most), most)
