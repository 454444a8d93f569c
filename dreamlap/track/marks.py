"""What can be read off a frame without learning: where the instrument bar is, and how far the car has left
the road.

No privilege in it: these are pixels that everyone sees.
"""

import numpy as np

from dreamlap.track.frames import ROAD_ROWS, STOCK

AROUND_CAR = (slice(66, 79), slice(43, 54))
"""Rows and columns of a stock frame that hold the car, which is always drawn there, and about a wheel's width around it."""
ROAD_SHARES = (0.285, 0.085)
"""Share of that place that shows the road while two wheels, and while none, are on it; 0.6 with all of them well on it."""
ROAD_GRAYS, GRAY = (80, 140), 24
"""Between which levels the road's colour lies, and how far apart its red, green and blue may be."""


def bar_rows(size: int) -> slice:
    """The rows of a frame of `size` pixels that show the instrument bar, if it is not cropped."""
    return slice(round(size * ROAD_ROWS / STOCK), size)


def off_road(frames: np.ndarray, bar: bool) -> np.ndarray:
    """How far the car has left the road: 0 while two wheels are on it, 1 when none is. A tile that no wheel touches is missed.

    It is read off the road's gray around the car, not off the grass: a wheel on the kerb of a sharp corner touches no tile.

    Args:
        frames: (N, S, S, 3) uint8, in the stock colours.
        bar: whether they show the instrument bar (without it they are stretched).

    Returns:
        (N,) float32.
    """
    patch = frames[:, *_in_frame(AROUND_CAR, frames.shape[1], bar)]
    darkest, brightest = patch.min(-1), patch.max(-1)
    road = (brightest - darkest < GRAY) & (darkest > ROAD_GRAYS[0]) & (brightest < ROAD_GRAYS[1])
    two_wheels, none = ROAD_SHARES
    return np.clip((two_wheels - road.mean((1, 2), dtype=np.float32)) / (two_wheels - none), 0.0, 1.0)


def _in_frame(place: tuple[slice, slice], size: int, bar: bool) -> tuple[slice, slice]:
    """Rows and columns of a stock frame as those of a frame of `size` pixels (without the bar it is stretched)."""
    rows, columns = place
    return _scaled(rows, size, STOCK if bar else ROAD_ROWS), _scaled(columns, size, STOCK)


def _scaled(part: slice, size: int, of: int) -> slice:
    return slice(round(part.start * size / of), round(part.stop * size / of))
