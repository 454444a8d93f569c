"""Drivers that look at nothing."""

import numpy as np
from gymnasium.envs.box2d.car_racing import CarRacing

from dreamlap.track.actions import PEDAL, STOCK_HIGH, STOCK_LOW


class RandomDriver:
    """Independent uniform actions every step, as the paper's random policy. The car hardly gets anywhere."""

    def reset(self, track: CarRacing, rng: np.random.Generator) -> None:
        """See `Solo.reset`."""
        self.rng = rng

    def act(self, frame: np.ndarray) -> np.ndarray:
        """See `Solo.act`."""
        return self.rng.uniform(STOCK_LOW, STOCK_HIGH).astype(np.float32)


class CorrelatedDriver:
    """Random-walk steer and pedal (Ornstein-Uhlenbeck) with a bias to gas: the car gets going, turns, leaves the road."""

    def __init__(self, memory: float = 0.9, spread: tuple[float, float] = (0.15, 0.3), gas: float = 0.1) -> None:
        """Its noise.

        Args:
            memory: share of the deviation that is left after a step.
            spread: standard deviation of steer and pedal.
            gas: mean of the pedal.
        """
        self.memory = memory
        self.spread = np.array(spread)
        self.mean = np.array([0.0, gas])

    def reset(self, track: CarRacing, rng: np.random.Generator) -> None:
        """See `Solo.reset`."""
        self.rng = rng
        self.deviation = self.spread * rng.normal(size=2)

    def act(self, frame: np.ndarray) -> np.ndarray:
        """See `Solo.act`."""
        kick = self.spread * np.sqrt(1 - self.memory**2)
        self.deviation = self.memory * self.deviation + kick * self.rng.normal(size=2)
        return PEDAL.to_stock(self.mean + self.deviation)
