"""Frames side by side with words around them: the layout of every video."""

from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont

from dreamlap.show.theme import DARK, FONT

GAP = 8
"""Pixels around every panel."""
STRIP = 34
"""Pixels of a line of words. Both lie above the panels: a player lays its controls over the bottom."""
TOP = 2 * STRIP
"""Pixels above the panels."""
BLUE, ORANGE, GREEN = DARK.series


@lru_cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(FONT), size)


def enlarge(frame: np.ndarray, side: int) -> np.ndarray:
    """A frame (S, S, 3) as (side, side, 3), every pixel a sharp square: nothing is drawn that was not seen."""
    return cv2.resize(frame, (side, side), interpolation=cv2.INTER_NEAREST)


class Board:
    """Titled square panels in a row below a status line: a text and, on its right, the action."""

    def __init__(self, titles: Sequence[str], side: int):
        """`side`: of a panel, in pixels."""
        self.side = side
        self.width = GAP + len(titles) * (side + GAP)
        self._empty = Image.new("RGB", (self.width, TOP + side + GAP), DARK.paper)
        draw = ImageDraw.Draw(self._empty)
        for i, title in enumerate(titles):
            draw.text((self._left(i), 1.4 * STRIP), title, DARK.quiet, _font(15), anchor="lm")

    def _left(self, panel: int) -> int:
        return GAP + panel * (self.side + GAP)

    def compose(self, frames: Sequence[np.ndarray], text: str, action: np.ndarray | None = None) -> np.ndarray:
        """Frames (S, S, 3) uint8, one a panel, and the stock action (3,) that followed -> (H, W, 3) uint8."""
        board = self._empty.copy()
        draw = ImageDraw.Draw(board)
        draw.text((GAP, STRIP / 2), text, DARK.ink, _font(15), anchor="lm")
        if action is not None:
            self._draw_action(draw, action)
        picture = np.array(board)
        for i, frame in enumerate(frames):
            picture[TOP : TOP + self.side, self._left(i) :][:, : self.side] = enlarge(frame, self.side)
        return picture

    def _draw_action(self, draw: ImageDraw.ImageDraw, action: np.ndarray) -> None:
        """Three bars: steering around its middle, gas and brake from the left."""
        steer, gas, brake = (float(value) for value in action)
        bars = (("steer", GREEN, 0.5, 0.5 + steer / 2), ("gas", BLUE, 0.0, gas), ("brake", ORANGE, 0.0, brake))
        length, step, middle = 62, 124, STRIP // 2
        for i, (name, color, start, stop) in enumerate(bars):
            left = self.width - GAP - (len(bars) - i) * step + step - length
            draw.text((left - 6, middle), name, DARK.quiet, _font(13), anchor="rm")
            draw.rectangle((left, middle - 5, left + length, middle + 5), DARK.line)
            low, high = sorted((start, stop))
            if high > low:
                draw.rectangle((left + low * length, middle - 5, left + high * length, middle + 5), color)


def mosaic(frames: Sequence[np.ndarray], side: int) -> np.ndarray:
    """Frames (S, S, 3) uint8 as a nearly square grid of panels with thin gaps between: (H, W, 3) uint8."""
    columns = int(np.ceil(np.sqrt(len(frames))))
    rows = -(-len(frames) // columns)
    cell = side + GAP // 2
    picture = np.empty((rows * cell + GAP // 2, columns * cell + GAP // 2, 3), np.uint8)
    picture[:] = ImageColor.getrgb(DARK.paper)
    for i, frame in enumerate(frames):
        top, left = (GAP // 2 + place * cell for place in divmod(i, columns))
        picture[top : top + side, left : left + side] = enlarge(frame, side)
    return picture
