"""The ground of one episode — grass, road, borders — as a picture that a frame is cut out of.

Stock draws some 740 polygons a frame. They never move, so we draw them once an episode into a picture of the whole
playfield; a frame is then one affine warp of it. A texel is a third of a unit wide: so fine that area averaging into
texels, followed by the bilinear reading of a warp, blurs as much as the stock's area averaging into pixels of
0.64×0.51 units (both have a variance of 0.028 square units). So no further smoothing is needed.
"""

import math
from collections import deque
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import pygame
from gymnasium.envs.box2d.car_racing import PLAYFIELD, SCALE, WINDOW_H, WINDOW_W, ZOOM

from dreamlap.track.frames import ROAD_ROWS, STOCK

FULL_ZOOM = ZOOM * SCALE
"""Window pixels a unit once the first second is over."""
TEXELS = 2000
TEXEL = 2 * PLAYFIELD / TEXELS
"""World units a texel."""
BLOCK = 50
"""Texels a side of a block: exactly one of the grass squares, so an empty block has one colour."""
SUPER = 4
"""Samples a texel and axis while a block with road in it is drawn."""
SHIFT = 4
"""Fractional bits of OpenCV's polygon corners."""

RIM = 0.05
"""Share of a tile, from its edge to its middle, that keeps its shade."""

Color = Sequence[float] | np.ndarray

SPARE = 24
"""How many pictures of closed tracks a process keeps, at most."""
_spare: deque[list[np.ndarray]] = deque(maxlen=SPARE)
"""Those pictures, for the next tracks: fresh memory of that size takes as long to get as to paint."""


def as_arrives(color: Color) -> tuple[int, ...]:
    """RGB to the RGBX in which a plain surface reaches a frame: pygame's smooth scaling rounds down."""
    return (*(_arrives(int(c)) for c in color), 255)


@lru_cache(256)
def _arrives(level: int) -> int:
    """What is left of a colour's level, found by trying: how much is lost depends on the processor."""
    window = pygame.Surface((WINDOW_W // 8, WINDOW_H // 8))
    window.fill((level, level, level))
    return pygame.transform.smoothscale(window, (STOCK // 8, STOCK // 8)).get_at((0, 0))[0]


def _packed(color: tuple[int, ...]) -> np.uint32:
    """RGBX as one number: four bytes are written several times faster at once."""
    return np.array(color, np.uint8).view(np.uint32)[0]


class Ground:
    """The picture of an episode's ground and its smaller copies for the zoom of the first second: 21 MiB, once painted."""

    def __init__(self) -> None:
        self._tiles = np.zeros((0, 4, 2), np.int32)
        self.levels: list[np.ndarray] = []

    def close(self) -> None:
        """Leaves the picture to the next track."""
        if self.levels:
            _spare.append(self.levels)
        self.levels = []

    def paint(self, polygons: Sequence[tuple[Any, Color]], background: Color, grass: Color) -> None:
        """Draws a new track.

        Args:
            polygons: the stock's `road_poly`: four corners in world units, and a colour, in drawing order.
            background: RGB.
            grass: RGB of the lighter squares.
        """
        self.levels = self.levels or _picture()
        n = TEXELS // BLOCK
        blocks = self.levels[0].view(np.uint32).reshape(n, BLOCK, n, BLOCK)
        blocks[:] = _packed(as_arrives(background))
        blocks[::2, :, ::2] = _packed(as_arrives(grass))
        world = np.array([corners for corners, _ in polygons])
        tiles = world[[isinstance(color, np.ndarray) for _, color in polygons]]  # stock gives borders a tuple
        self._tiles = _fixed(tiles + RIM * (tiles.mean(1, keepdims=True) - tiles), 1)
        corners, colors = _fixed(world, SUPER), [as_arrives(color) for _, color in polygons]
        for (row, col), members in _by_block(corners).items():
            origin = np.array([col, row]) * (BLOCK * SUPER << SHIFT)
            blocks[row, :, col] = _block(blocks[row, 0, col, 0], [(corners[i] - origin, colors[i]) for i in members])
        for big, small in zip(self.levels, self.levels[1:], strict=False):
            cv2.resize(big, small.shape[:2], dst=small, interpolation=cv2.INTER_AREA)

    def repaint(self, tile: int, color: Color) -> None:
        """Gives a road tile another shade. Its rim is left alone, for that is blended with the grass beside it."""
        cv2.fillConvexPoly(self.levels[0], self._tiles[tile], as_arrives(color), cv2.LINE_8, SHIFT)

    def view(self, x: float, y: float, angle: float, zoom: float, out: np.ndarray) -> None:
        """Cuts out what the camera sees above the instrument bar.

        Args:
            x, y, angle: the hull's position (world units) and heading (radians).
            zoom: window pixels a unit.
            out: (84, 96, 4) uint8, written.
        """
        wide, high = WINDOW_W / STOCK / zoom, WINDOW_H / STOCK / zoom  # units a pixel
        level = min(round(math.log2(FULL_ZOOM / zoom)), len(self.levels) - 1)
        size = TEXEL * (1 << level)
        cos, sin = math.cos(angle) / size, math.sin(angle) / size
        left = (0.5 - STOCK / 2) * wide
        top = (0.75 * STOCK - 0.5) * high  # the car sits a quarter of the window above its lower edge
        origin_x = (x + PLAYFIELD) / size - 0.5 + cos * left - sin * top
        origin_y = (y + PLAYFIELD) / size - 0.5 + sin * left + cos * top
        matrix = np.array([[cos * wide, sin * high, origin_x], [sin * wide, -cos * high, origin_y]])
        cv2.warpAffine(self.levels[level], matrix, (STOCK, ROAD_ROWS), dst=out, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)


def _picture() -> list[np.ndarray]:
    """A picture and its smaller copies, with anything on them."""
    try:
        return _spare.pop()
    except IndexError:
        return [np.empty((TEXELS >> k, TEXELS >> k, 4), np.uint8) for k in range(5)]


def _fixed(world: np.ndarray, samples: int) -> np.ndarray:
    """World units (P, 4, 2) to OpenCV's fixed-point coordinates in a picture of so many samples a texel, int32."""
    return np.rint(((world + PLAYFIELD) * (samples / TEXEL) - 0.5) * (1 << SHIFT)).astype(np.int32)


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
