"""The colours of a frame's ground, found in the frame itself: tracks may have colours of their own (`domain_randomize`).

Three things hold whatever the colours are. The ground is two plain colours 20 levels apart in one channel, in squares. The
road is one plain colour, some tiles of it brighter by a few levels in all channels alike. Grass covers most of a frame.

Letters: N frames, P pixels of each that are looked at.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from dreamlap.track.car import covers
from dreamlap.track.frames import ROAD_ROWS, STOCK, to_frame

GREEN = ((90, 190, 90), (112, 240, 112))
"""Between which levels stock's two greens lie as they arrive in frames, V's drawings of them too."""
ENOUGH = 32
"""Rows and columns of a frame that are enough to find its colours."""
LEAST_GREEN = 0.05
"""Share of the frame above the bar that is green in stock's colours, at least: a track is a third of a frame's width."""
SQUARES, SHADE, NEAR = 20, 6, 2
"""Levels: between the two colours of grass; between the road's brightest tile and its plain one; that scaling adds."""
BRIGHT = 235
"""Above which level nothing but the kerbs is."""
PLAIN, SEEN = 0.05, 0.004
"""Share of the pixels that the ground's first colour covers, or else it is no such frame; and that of what is seen at all."""
BLEND, MOST_BLEND = 0.22, 24
"""How far towards the grass, as a share of the way and in levels, a pixel at the road's edge still is road."""


class Ground(NamedTuple):
    """The colours of N frames."""

    road: np.ndarray  # (N, 3)
    grass: np.ndarray  # (N, 2, 3)
    plain: np.ndarray  # (N,) bool: the frame shows plain ground, as a track does
    shown: np.ndarray  # (N,) bool: a road is in view


def in_stock_colours(frames: np.ndarray, bar: bool) -> np.ndarray:
    """Which of N frames (N, S, S, 3) uint8 show stock's green: (N,) bool."""
    step = frames.shape[1] // 16
    seen = frames[:, : _rows(frames, bar) : step, ::step]
    green = ((seen >= GREEN[0]) & (seen <= GREEN[1])).all(-1)
    return green.mean((1, 2)) >= LEAST_GREEN


def road_pixels(frames: np.ndarray, bar: bool, place: tuple[slice, slice]) -> tuple[np.ndarray, np.ndarray]:
    """Which pixels at `place` (h, w) show the road, whatever its colour: (N, h, w) bool; and whether that can be told: (N,)."""
    ground = find_ground(frames, bar)
    seen = np.moveaxis(frames[:, *place], -1, 0).astype(np.int16)  # (3, N, h, w)
    contrast = np.abs(ground.grass - ground.road[:, None]).max(-1).min(-1)
    most = np.minimum(BLEND * contrast, MOST_BLEND)[:, None, None]
    is_road = (_apart(seen, ground.road) <= most) & ground.shown[:, None, None]
    return is_road & ~_car(frames.shape[1], bar)[place], ground.plain


def find_ground(frames: np.ndarray, bar: bool) -> Ground:
    """The colours of the road and of the grass of frames (N, S, S, 3) uint8."""
    step = round(frames.shape[1] / ENOUGH)
    rows = slice(0, _rows(frames, bar), step)
    free = ~_car(frames.shape[1], bar)[rows, ::step]
    pixels = np.ascontiguousarray(np.moveaxis(frames[:, rows, ::step][:, free], -1, 0)).astype(np.int16)  # (3, N, P)
    brightest, packed = pixels.max(0), pixels.astype(np.int32)
    keys = packed[0] << 16 | packed[1] << 8 | packed[2]
    keys[(brightest <= NEAR) | (brightest > BRIGHT)] = -1  # beyond the playfield, and kerbs
    first, often = _mode(keys)
    other_first, beside_first = _square_beside(pixels, first)
    keys[(_apart(pixels, first) <= NEAR) | (_apart(pixels, other_first) <= NEAR)] = -1
    second, seldom = _mode(keys)
    other_second, beside_second = _square_beside(pixels, second)
    few = SEEN * pixels.shape[2]
    swap = ((beside_first < few) & (beside_second >= few) & (seldom >= few))[:, None]
    road, grass, other = np.where(swap, first, second), np.where(swap, second, first), np.where(swap, other_second, other_first)
    return Ground(road, np.stack([grass, other], 1), often >= PLAIN * pixels.shape[2], seldom >= few)


def _mode(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The most frequent of packed colours (N, P), -1 left out -> the colour (N, 3) int16, and how often (N,)."""
    ordered = np.sort(keys, 1)
    index = np.arange(keys.shape[1])
    begins = np.ones_like(ordered, bool)
    begins[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    run = index - np.maximum.accumulate(np.where(begins, index, 0), 1) + 1
    run[ordered < 0] = 0
    best = run.argmax(1)[:, None]
    key = np.take_along_axis(ordered, best, 1)
    return (key >> np.array([16, 8, 0]) & 255).astype(np.int16), np.take_along_axis(run, best, 1)[:, 0]


def _square_beside(pixels: np.ndarray, color: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The colour of the other squares, if `color` (N, 3) is that of grass -> that colour (N, 3), and how often it is (N,)."""
    off = pixels - color.T[..., None]  # (3, N, P)
    same = np.abs(off) <= NEAR
    often, others = [], []
    for channel in range(3):
        alike = same[channel - 1] & same[channel - 2]
        for step in (SQUARES, -SQUARES):
            often.append((alike & (np.abs(off[channel] - step) <= NEAR)).sum(1))
            others.append(color + step * (np.arange(3, dtype=np.int16) == channel))
    best, which = np.array(often).argmax(0), np.arange(len(color))
    most = np.array(often)[best, which]
    return np.where(most[:, None] > 0, np.array(others)[best, which], color), most


def _apart(pixels: np.ndarray, color: np.ndarray) -> np.ndarray:
    """By how many levels pixels (3, N, ...) are off colours (N, 3), in the worst channel; a shade of one is not off."""
    off = pixels - color.T.reshape(3, len(color), *(1,) * (pixels.ndim - 2))
    shade = np.clip(off.sum(0, dtype=np.int16) // 3, -SHADE, SHADE)
    return np.abs(off - shade).max(0)


def _rows(frames: np.ndarray, bar: bool) -> int:
    """Rows above the instrument bar."""
    size = frames.shape[1]
    return round(size * ROAD_ROWS / STOCK) if bar else size


@lru_cache
def _car(size: int, bar: bool) -> np.ndarray:
    """Which pixels of a frame of that size the car covers: (S, S) bool."""
    return to_frame(np.repeat(covers()[..., None], 4, -1), size, bar)[..., 0] > 40
