"""What a driver is."""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np


class Driver(Protocol):
    """Drives N tracks of one process at once."""

    def reset(self, i: int, track: Any, rng: np.random.Generator) -> None:
        """Slot `i` has just started an episode on `track` (unwrapped). All its randomness comes from `rng`."""
        ...

    def act(self, frames: np.ndarray) -> np.ndarray:
        """(N, size, size, 3) uint8 frames to (N, 3) float32 stock actions [steer, gas, brake]."""
        ...


class Solo(Protocol):
    """Drives one track."""

    def reset(self, track: Any, rng: np.random.Generator) -> None:
        """An episode has just started on `track` (unwrapped). All its randomness comes from `rng`."""
        ...

    def act(self, frame: np.ndarray) -> np.ndarray:
        """(size, size, 3) uint8 frame to (3,) float32 stock action [steer, gas, brake]."""
        ...


class PerTrack:
    """A `Driver` made of one `Solo` driver a track."""

    def __init__(self, make_one: Callable[[], Solo], n: int) -> None:
        self.solos = [make_one() for _ in range(n)]

    def reset(self, i: int, track: Any, rng: np.random.Generator) -> None:
        """See `Driver.reset`."""
        self.solos[i].reset(track, rng)

    def act(self, frames: np.ndarray) -> np.ndarray:
        """See `Driver.act`."""
        return np.stack([solo.act(frame) for solo, frame in zip(self.solos, frames, strict=True)])
