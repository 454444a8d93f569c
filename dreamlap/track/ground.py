"""The ground of one episode — grass, road, borders — as a picture that a frame is cut out of.

Stock draws some 740 polygons a frame. They never move, so we draw them once an episode into a picture of the whole
playfield; a frame is then one affine warp of it. A texel is a third of a unit wide: so fine that area averaging into
texels, followed by the bilinear reading of a warp, blurs as much as the stock's area averaging into pixels of
0.64×0.51 units (both have a variance of 0.028 square units). So no further smoothing is needed.
"""

import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from gymnasium.envs.box2d.car_racing import PLAYFIELD, WINDOW_H, WINDOW_W

from dreamlap.track.frames import ROAD_ROWS, STOCK

TEXELS = 2000
TEXEL = 2 * PLAYFIELD / TEXELS
"""World units a texel."""
BLOCK = 50
"""Texels a side of a block: exactly one of the grass squares, so an empty block has one colour."""
SUPER = 4
"""Samples a texel and axis while a block with road in it is drawn."""
SHIFT = 4
"""Fractional bits of OpenCV's polygon corners."""

Color = Sequence[float] | np.ndarray


def as_arrives(color: Color) -> tuple[int, ...]:
    """RGB to the RGBX in which a plain surface reaches a frame: pygame's smooth scaling rounds down, twice."""
    return (*(max(int(c) - 2, 0) for c in color), 255)


def _packed(color: tuple[int, ...]) -> np.uint32:
    """RGBX as one number: four bytes are written several times faster at once."""
    return np.array(color, np.uint8).view(np.uint32)[0]


class Ground:
    """The picture of an episode's ground and its smaller copies for the zoom of the first second."""

    def __init__(self) -> None:
        self.levels = [np.zeros((TEXELS >> k, TEXELS >> k, 4), np.uint8) for k in range(5)]

    def paint(self, polygons: Sequence[tuple[Any, Color]], background: Color, grass: Color) -> None:
        """Draws a new track.

        Args:
            polygons: the stock's `road_poly`: four corners in world units, and a colour, in drawing order.
            background: RGB.
            grass: RGB of the lighter squares.
        """
        n = TEXELS // BLOCK
        blocks = self.levels[0].view(np.uint32).reshape(n, BLOCK, n, BLOCK)
        blocks[:] = _packed(as_arrives(background))
        blocks[::2, :, ::2] = _packed(as_arrives(grass))
        corners = _subsamples(np.array([corners for corners, _ in polygons]))
        colors = [as_arrives(color) for _, color in polygons]
        for (row, col), members in _by_block(corners).items():
            origin = np.array([col, row]) * (BLOCK * SUPER << SHIFT)
            blocks[row, :, col] = _block(blocks[row, 0, col, 0], [(corners[i] - origin, colors[i]) for i in members])
        for big, small in zip(self.levels, self.levels[1:], strict=False):
            cv2.resize(big, small.shape[:2], dst=small, interpolation=cv2.INTER_AREA)

    def repaint(self, corners: Any, color: Color) -> None:
        """Gives one road tile another shade."""
        points = np.asarray(corners)
        inside = points + 0.05 * (points.mean(0) - points)
        texels = np.rint(((inside + PLAYFIELD) / TEXEL - 0.5) * (1 << SHIFT)).astype(np.int32)
        cv2.fillConvexPoly(self.levels[0], texels, as_arrives(color), cv2.LINE_8, SHIFT)

    def view(self, x: float, y: float, angle: float, zoom: float, out: np.ndarray) -> None:
        """Cuts out what the camera sees above the instrument bar.

        Args:
            x, y, angle: the hull's position (world units) and heading (radians).
            zoom: window pixels a unit.
            out: (84, 96, 4) uint8, written.
        """
        wide, high = WINDOW_W / STOCK / zoom, WINDOW_H / STOCK / zoom  # units a pixel
        level = min(max(int(math.log2(wide / 0.65)), 0), len(self.levels) - 1)
        size = TEXEL * (1 << level)
        cos, sin = math.cos(angle) / size, math.sin(angle) / size
        left = (0.5 - STOCK / 2) * wide
        top = (0.75 * STOCK - 0.5) * high  # the car sits a quarter of the window above its lower edge
        origin_x = (x + PLAYFIELD) / size - 0.5 + cos * left - sin * top
        origin_y = (y + PLAYFIELD) / size - 0.5 + sin * left + cos * top
        matrix = np.array([[cos * wide, sin * high, origin_x], [sin * wide, -cos * high, origin_y]])
        cv2.warpAffine(
            self.levels[level], matrix, (STOCK, ROAD_ROWS), dst=out, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        )


def _subsamples(corners: np.ndarray) -> np.ndarray:
    """World units (P, 4, 2) to fixed-point sample coordinates, int32."""
    return np.rint(((corners + PLAYFIELD) * (SUPER / TEXEL) - 0.5) * (1 << SHIFT)).astype(np.int32)


def _by_block(corners: np.ndarray) -> dict[tuple[int, int], list[int]]:
    """Which polygons may touch which block (row, column)."""
    side, margin = BLOCK * SUPER << SHIFT, 2 << SHIFT
    low = np.maximum((corners.min(1) - margin) // side, 0).tolist()
    high = np.minimum((corners.max(1) + margin) // side, TEXELS // BLOCK - 1).tolist()
    members: dict[tuple[int, int], list[int]] = {}
    for i, ((left, bottom), (right, top)) in enumerate(zip(low, high, strict=True)):
        for row in range(bottom, top + 1):
            for col in range(left, right + 1):
                members.setdefault((row, col), []).append(i)
    return members


def _block(base: np.uint32, polygons: list[tuple[np.ndarray, tuple[int, ...]]]) -> np.ndarray:
    """One block with its polygons, area-averaged: (50, 50) packed RGBX."""
    packed = np.full((BLOCK * SUPER, BLOCK * SUPER), base)
    fine = packed.view(np.uint8).reshape(*packed.shape, 4)
    for corners, color in polygons:
        cv2.fillConvexPoly(fine, corners, color, cv2.LINE_8, SHIFT)
    half = cv2.resize(fine, (BLOCK * 2, BLOCK * 2), interpolation=cv2.INTER_AREA)  # twice by two: OpenCV's fast path
    return cv2.resize(half, (BLOCK, BLOCK), interpolation=cv2.INTER_AREA).view(np.uint32)[..., 0]
