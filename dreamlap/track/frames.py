"""The geometry of a frame: how the stock window becomes 96×96 pixels, and how those become ours.

The stock track is drawn in a window of 1000×800 and scaled to 96×96, so a pixel is wider than it is high. The lowest
12 rows are the instrument bar.
"""

import cv2
import numpy as np

STOCK = 96
"""Width and height of a stock frame, in pixels."""
ROAD_ROWS = 84
"""Rows of a stock frame above the instrument bar."""


def to_frame(stock: np.ndarray, size: int, bar: bool) -> np.ndarray:
    """The frame that V sees: a stock one, with or without its instrument bar, area-averaged to another size.

    Args:
        stock: (96, 96, 3) uint8.
        size: width and height wanted, in pixels.
        bar: False cuts the instrument bar off before scaling, as the paper does (Ha & Schmidhuber 2018, appendix).

    Returns:
        (size, size, 3) uint8; `stock` itself when nothing is to be done.
    """
    shown = stock if bar else stock[:ROAD_ROWS]
    if shown.shape[:2] == (size, size):
        return shown
    return cv2.resize(shown, (size, size), interpolation=cv2.INTER_AREA)
