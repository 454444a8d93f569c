"""The stock's car and referee, computed with fewer detours: every number is the same to the bit.

Stock works on single numbers with numpy functions, which cost ten times what Python's own do and give the same IEEE
results. The order of operations here is stock's, for rounding depends on it.
"""

from math import copysign, sqrt
from typing import Any

from gymnasium.envs.box2d.car_dynamics import (
    ENGINE_POWER,
    FRICTION_LIMIT,
    SIZE,
    WHEEL_MOMENT_OF_INERTIA,
    Car,
)
from gymnasium.envs.box2d.car_racing import FrictionDetector

BRAKE_FORCE = 15
"""Radians/s that a full brake takes off a wheel's turning in a step."""
STIFFNESS = 205000 * SIZE * SIZE
"""Force a unit/s of slip."""


class QuickCar(Car):
    """Gymnasium's car."""

    def gas(self, gas: float) -> None:
        """Sets the gas of the rear wheels, clipped to [0, 1]; it rises by at most 0.1 a step."""
        wanted = min(max(float(gas), 0.0), 1.0)
        for w in self.wheels[2:4]:
            w.gas += min(wanted - w.gas, 0.1)

    def step(self, dt: float) -> None:
        """Applies steering, engine, brakes and tyre friction for `dt` seconds."""
        for w in self.wheels:
            turn = float(w.steer) - w.joint.angle
            w.joint.motorSpeed = copysign(min(50.0 * abs(turn), 3.0), turn) if turn else 0.0
            self._engine(w, dt)
            self._tyre(w, dt)

    def _engine(self, w: Any, dt: float) -> None:
        """What gas and brake do to a wheel's turning."""
        omega = w.omega
        if w.gas:
            omega += dt * ENGINE_POWER * w.gas / WHEEL_MOMENT_OF_INERTIA / (abs(omega) + 5.0)
            self.fuel_spent += dt * ENGINE_POWER * w.gas
        brake = float(w.brake)
        if brake >= 0.9:
            omega = 0.0
        elif brake > 0:
            omega -= copysign(min(BRAKE_FORCE * brake, abs(omega)), omega)
        w.omega = omega
        w.phase += omega * dt

    def _tyre(self, w: Any, dt: float) -> None:
        """What the road does to a wheel and the wheel to the car."""
        limit = FRICTION_LIMIT * 0.6  # of grass
        for tile in w.tiles:
            limit = max(limit, FRICTION_LIMIT * tile.road_friction)
        ahead, aside, v = w.GetWorldVector((0, 1)), w.GetWorldVector((1, 0)), w.linearVelocity
        ahead_x, ahead_y, aside_x, aside_y, vx, vy = ahead.x, ahead.y, aside.x, aside.y, v.x, v.y
        along = (-(ahead_x * vx + ahead_y * vy) + w.omega * w.wheel_rad) * STIFFNESS
        across = -(aside_x * vx + aside_y * vy) * STIFFNESS
        force = sqrt(along * along + across * across)
        self._skid(w, force > 2.0 * limit)
        if force > limit:
            along = along / force * limit
            across = across / force * limit
        w.omega -= dt * along * w.wheel_rad / WHEEL_MOMENT_OF_INERTIA
        w.ApplyForceToCenter((across * aside_x + along * ahead_x, across * aside_y + along * ahead_y), True)

    def _skid(self, w: Any, skids: bool) -> None:
        """Keeps the skid marks that `render()` shows."""
        if not skids:
            w.skid_start = w.skid_particle = None
            return
        grass, mark = not w.tiles, w.skid_particle
        if mark and mark.grass == grass and len(mark.poly) < 30:
            mark.poly.append((w.position[0], w.position[1]))
        elif w.skid_start is None:
            w.skid_start = w.position
        else:
            w.skid_particle = self._create_particle(w.skid_start, w.position, grass)
            w.skid_start = None


class Referee(FrictionDetector):
    """Gymnasium's referee, which also says which tiles have been touched (and so lost their shade)."""

    def __init__(self, env: Any, lap_complete_percent: float) -> None:
        super().__init__(env, lap_complete_percent)
        self.touched: set[int] = set()

    def _contact(self, contact: Any, begin: bool) -> None:
        tile, other = contact.fixtureA.body.userData, contact.fixtureB.body.userData
        if hasattr(other, "road_friction"):
            tile, other = other, tile
        elif not hasattr(tile, "road_friction"):
            return
        if tile.idx not in self.touched:
            self.touched.add(tile.idx)
            tile.color[:] = self.env.road_color
            self.env.repaint(tile)
        if other is None:  # the hull: it takes no part in the race
            return
        if not begin:
            other.tiles.remove(tile)
            return
        other.tiles.add(tile)
        if not tile.road_visited:
            self._visit(tile)

    def _visit(self, tile: Any) -> None:
        env, tiles = self.env, len(self.env.track)
        tile.road_visited = True
        env.reward += 1000.0 / tiles
        env.tile_visited_count += 1
        if tile.idx == 0 and env.tile_visited_count / tiles > self.lap_complete_percent:
            env.new_lap = True
