"""What can be read off a frame without learning: where the instrument bar is, and how much grass is around the car.

No privilege in it: these are pixels that everyone sees.
"""

import numpy as np

from dreamlap.track.frames import ROAD_ROWS, STOCK

AROUND_CAR = (slice(66, 79), slice(43, 54))
"""Rows and columns of a stock frame that hold the car, which is always drawn there, and about a wheel's width around it."""
CAR_SHARE = 0.25
"""Share of that place that the car itself covers."""


def bar_rows(size: int) -> slice:
    """The rows of a frame of `size` pixels that show the instrument bar, if it is not cropped."""
    return slice(round(size * ROAD_ROWS / STOCK), size)


def grass(frames: np.ndarray, bar: bool) -> np.ndarray:
    """How far the car has left the road: 0 with none of the grass around it, 1 with grass on all sides.

    Args:
        frames: (N, S, S, 3) uint8, in the stock colours.
        bar: whether they show the instrument bar (without it they are stretched).

    Returns:
        (N,) float32.
    """
    rows, columns = (_scaled(part, frames.shape[1], part_of) for part, part_of in zip(
        AROUND_CAR, (STOCK if bar else ROAD_ROWS, STOCK), strict=True))  # fmt: skip
    patch = frames[:, rows, columns].astype(np.int16)
    green = (patch[..., 1] > patch[..., 0] + 40) & (patch[..., 1] > patch[..., 2] + 40)
    return np.minimum(green.mean((1, 2), dtype=np.float32) / (1 - CAR_SHARE), 1.0)


def _scaled(part: slice, size: int, of: int) -> slice:
    return slice(round(part.start * size / of), round(part.stop * size / of))
