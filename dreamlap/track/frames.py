"""The geometry of a frame: how the stock window becomes 96×96 pixels, and how those become ours.

The stock track is drawn in a window of 1000×800 and scaled to 96×96, so a pixel is wider than it is high. The lowest
12 rows are the instrument bar.
"""

from functools import lru_cache

import cv2
import numpy as np

from dreamlap.config.parts import TrackConfig
from dreamlap.errors import Refused

cv2.setNumThreads(1)
# Frames are so small that OpenCV's threads make none of them faster, yet they double the processor time: two processes
# of tracks on two cores would be slower than one.

STOCK = 96
"""Width and height of a stock frame, in pixels."""
ROAD_ROWS = 84
"""Rows of a stock frame above the instrument bar."""


def to_frame(stock: np.ndarray, size: int, bar: bool) -> np.ndarray:
    """The frame that V sees: a stock one, with or without its instrument bar, area-averaged to another size.

    Args:
        stock: (96, 96, C) uint8.
        size: width and height wanted, in pixels.
        bar: False cuts the instrument bar off before scaling, as the paper does (Ha & Schmidhuber 2018, appendix).

    Returns:
        (size, size, C) uint8; `stock` itself when nothing is to be done.
    """
    shown = stock if bar else stock[:ROAD_ROWS]
    if shown.shape[:2] == (size, size):
        return shown
    if bar and size * 3 == STOCK * 2:
        return cv2.remap(shown, *_two_thirds(), cv2.INTER_LINEAR)
    return cv2.resize(shown, (size, size), interpolation=cv2.INTER_AREA)


def seen_by(frame: np.ndarray, track: TrackConfig) -> np.ndarray:
    """The stock track's frame (96, 96, 3) uint8 -> the frame that someone trained on `track` sees, (S, S, 3) uint8.

    Raises:
        Refused: it is no such frame.
    """
    if not isinstance(frame, np.ndarray) or frame.shape != (STOCK, STOCK, 3) or frame.dtype != np.uint8:
        found = f"{frame.shape} {frame.dtype}" if isinstance(frame, np.ndarray) else f"{type(frame).__name__}"
        raise Refused(f"an agent sees the stock track's frames, arrays (96, 96, 3) uint8, not {found}")
    return to_frame(frame, track.size, track.bar)


@lru_cache
def _two_thirds() -> tuple[np.ndarray, np.ndarray]:
    """Where to read a frame so that bilinear reading averages areas, at two thirds of its size.

    A new pixel covers one and a half old ones, so its mean is two thirds of one and one third of its neighbour: what
    is read a third of the way between them. Several times faster than OpenCV's general area averaging, same result.
    """
    k = np.arange(STOCK * 2 // 3)
    at = (k // 2 * 3 + np.where(k % 2, 5 / 3, 1 / 3)).astype(np.float32)
    across, down = np.meshgrid(at, at)
    return across, down
