"""What can be read off a frame without learning: where the instrument bar is, and how far the car has left
the road.

No privilege in it: these are pixels that everyone sees.
"""

import numpy as np

from dreamlap.track.frames import ROAD_ROWS, STOCK
from dreamlap.track.palette import in_stock_colours, road_pixels

SMALLEST = 32
"""Pixels a side of frames that show how far the car has left the road."""
AT_ONCE = 256
"""Frames that are looked at together, for the sake of memory."""

AROUND_CAR = (slice(66, 79), slice(43, 54))
"""Rows and columns of a stock frame that hold the car, which is always drawn there, and about a wheel's width around it."""
ROAD_SHARES = (0.285, 0.085)
"""Share of that place that shows the road while two wheels, and while none, are on it; 0.6 with all of them well on it."""
ROAD_GRAYS, GRAY = (80, 140), 24
"""Between which levels the road's colour lies, and how far apart its red, green and blue may be."""


def bar_rows(size: int) -> slice:
    """The rows of a frame of `size` pixels that show the instrument bar, if it is not cropped."""
    return slice(round(size * ROAD_ROWS / STOCK), size)


def around_car(size: int, bar: bool) -> tuple[slice, slice]:
    """The rows and columns of a frame of `size` pixels that show the car and what is under its wheels."""
    return _in_frame(AROUND_CAR, size, bar)


def off_road(frames: np.ndarray, bar: bool) -> np.ndarray:
    """How far the car has left the road: 0 while two wheels are on it, 1 when none is. A tile that no wheel touches is missed.

    It is read off the road's colour around the car, not off the grass: a wheel on the kerb of a sharp corner touches no tile.
    In stock's colours the road is gray; in others its colour is looked for in the frame. It cannot be told from grass of all
    but the same colour (fewer than 10 levels apart in every channel: one random track in a thousand). Frames without plain
    ground, such as V's drawings of random colours, are read as stock's.

    Args:
        frames: (N, S, S, 3) uint8. Smaller ones than 32 pixels do not show it.
        bar: whether they show the instrument bar (without it they are stretched).

    Returns:
        (N,) float32; NaN where it cannot be seen, in frames of fewer than 32 pixels.
    """
    if frames.shape[1] < SMALLEST:
        return np.full(len(frames), np.nan, np.float32)
    place = around_car(frames.shape[1], bar)
    patch = frames[:, *place]
    darkest, brightest = patch.min(-1), patch.max(-1)
    road = (brightest - darkest < GRAY) & (darkest > ROAD_GRAYS[0]) & (brightest < ROAD_GRAYS[1])
    for i in range(0, len(frames), AT_ONCE):
        _see_other_colours(frames[i : i + AT_ONCE], bar, place, road[i : i + AT_ONCE])
    two_wheels, none = ROAD_SHARES
    return np.clip((two_wheels - road.mean((1, 2), dtype=np.float32)) / (two_wheels - none), 0.0, 1.0)


def _see_other_colours(frames: np.ndarray, bar: bool, place: tuple[slice, slice], road: np.ndarray) -> None:
    """Puts right which pixels at `place` are `road` (N, h, w) in frames of other colours. What is no track's frame is left."""
    others = np.flatnonzero(~in_stock_colours(frames, bar))
    if len(others):
        found, told = road_pixels(frames[others], bar, place)
        road[others[told]] = found[told]


def _in_frame(place: tuple[slice, slice], size: int, bar: bool) -> tuple[slice, slice]:
    """Rows and columns of a stock frame as those of a frame of `size` pixels (without the bar it is stretched)."""
    rows, columns = place
    return _scaled(rows, size, STOCK if bar else ROAD_ROWS), _scaled(columns, size, STOCK)


def _scaled(part: slice, size: int, of: int) -> slice:
    return slice(round(part.start * size / of), round(part.stop * size / of))
