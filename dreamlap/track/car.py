"""The car in a frame: hull, wheels and their turning marks, as a small layer laid over the ground.

The camera follows the hull, so the hull never moves in a frame and a wheel only turns about its axle and its steering
joint. After the zoom of the first second, pictures of each wheel are therefore kept for a grid of both angles.
"""

import math
from functools import lru_cache

import cv2
import numpy as np
from gymnasium.envs.box2d.car_dynamics import (
    HULL_POLY1,
    HULL_POLY2,
    HULL_POLY3,
    HULL_POLY4,
    SIZE,
    WHEEL_COLOR,
    WHEEL_R,
    WHEEL_W,
    WHEEL_WHITE,
    WHEELPOS,
    Car,
)
from gymnasium.envs.box2d.car_racing import WINDOW_H, WINDOW_W

from dreamlap.track.frames import STOCK
from dreamlap.track.ground import FULL_ZOOM, as_arrives

TOP, LEFT, ROWS, COLS = 66, 44, 12, 8
"""The part of a frame that the car can cover, in pixels."""
X0, Y0 = int(LEFT * WINDOW_W / STOCK), int(TOP * WINDOW_H / STOCK)
WIDTH, HEIGHT = 84, 100
"""The same in the window: its upper left corner and its extent."""
CENTRE = np.array([WINDOW_W / 2 - X0, HEIGHT + Y0 - 0.75 * WINDOW_H])
"""The hull's centre in the window's part, from its lower left corner."""
ANGLES, PHASES = 0.05, 2 * math.pi / 64
"""Grid of the kept wheel pictures, radians: finer ones change no pixel by more than a few levels."""

BLACK, WHITE, RED = as_arrives(WHEEL_COLOR), as_arrives(WHEEL_WHITE), as_arrives((204, 0, 0))
NOTHING = (0, 0, 0, 0)


def _pixels(units: np.ndarray) -> np.ndarray:
    """Units from the hull's centre (P, 2) to pixels of the window's part, int32: whole ones, as in stock."""
    corners = np.floor(units * FULL_ZOOM + CENTRE).astype(np.int32)
    corners[:, 1] = HEIGHT - 1 - corners[:, 1]
    return corners


HULL = [_pixels(np.array(poly) * SIZE) for poly in (HULL_POLY1, HULL_POLY2, HULL_POLY3, HULL_POLY4)]
AXLES = np.array(WHEELPOS) * SIZE
WHEEL = np.array([(-WHEEL_W, WHEEL_R), (WHEEL_W, WHEEL_R), (WHEEL_W, -WHEEL_R), (-WHEEL_W, -WHEEL_R)]) * SIZE


def lay_car(car: Car, zoom: float, frame: np.ndarray) -> None:
    """Draws the car into a frame.

    Args:
        car: its wheels' joint angles and phases are read.
        zoom: window pixels a unit.
        frame: (96, 96, 4) uint8, written.
    """
    layer = _zooming_layer(car, zoom) if zoom < FULL_ZOOM else _layer(car)
    seen = frame[TOP : TOP + ROWS, LEFT : LEFT + COLS]
    seen[:] = seen * (1 - layer[..., 3:]) + layer


def covers() -> np.ndarray:
    """How much of each pixel of a frame the car covers with its wheels straight: (96, 96) uint8, up to 255."""
    frame = np.zeros((STOCK, STOCK), np.float32)
    shares = (_hull_layer(), *(_wheel_layer(i, 0, 0) for i in range(len(AXLES))))
    frame[TOP : TOP + ROWS, LEFT : LEFT + COLS] = sum(layer[..., 3] for layer in shares)
    return (frame.clip(0, 1) * 255).astype(np.uint8)


def _layer(car: Car) -> np.ndarray:
    """(12, 8, 4) float32: red, green, blue and the share of the pixel that they cover."""
    layer = _hull_layer()
    for i, w in enumerate(car.wheels):
        layer = layer + _wheel_layer(i, round(w.joint.angle / ANGLES), int(w.phase % (2 * math.pi) / PHASES))
    return layer


def _zooming_layer(car: Car, zoom: float) -> np.ndarray:
    """The same for another zoom, (12, 8, 4) float32: drawn at full size and averaged over larger pixels."""
    window = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    for i, w in enumerate(car.wheels):
        _draw_wheel(window, i, w.joint.angle, w.phase)
    _draw_hull(window, RED)
    return _shrink(window, zoom)


@lru_cache
def _hull_layer() -> np.ndarray:
    window = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    _draw_hull(window, RED)
    return _shrink(window, FULL_ZOOM)


@lru_cache(8192)
def _wheel_layer(i: int, angle: int, phase: int) -> np.ndarray:
    """What one wheel adds where the hull does not hide it."""
    window = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    _draw_wheel(window, i, angle * ANGLES, (phase + 0.5) * PHASES)
    _draw_hull(window, NOTHING)
    return _shrink(window, FULL_ZOOM)


def _draw_hull(window: np.ndarray, color: tuple[int, ...]) -> None:
    for poly in HULL:
        cv2.fillConvexPoly(window, poly, color)


def _draw_wheel(window: np.ndarray, i: int, angle: float, phase: float) -> None:
    cos, sin = math.cos(angle), math.sin(angle)
    turn = np.array([[cos, sin], [-sin, cos]])
    cv2.fillConvexPoly(window, _pixels(WHEEL @ turn + AXLES[i]), BLACK)
    mark = _mark(phase)
    if mark:
        begin, end = mark
        outline = WHEEL * [(1, begin), (1, begin), (1, -end), (1, -end)]
        cv2.fillConvexPoly(window, _pixels(outline @ turn + AXLES[i]), WHITE)


def _mark(phase: float) -> tuple[float, float] | None:
    """Where a wheel's white mark begins and ends, in wheel radii ahead of the axle; None when it is underneath."""
    begin, end = math.cos(phase), math.cos(phase + 1.2)
    begins_below, ends_below = math.sin(phase) > 0, math.sin(phase + 1.2) > 0
    if begins_below and ends_below:
        return None
    return math.copysign(1, begin) if begins_below else begin, math.copysign(1, end) if ends_below else end


def _shrink(window: np.ndarray, zoom: float) -> np.ndarray:
    """The window's part, drawn at full zoom, area-averaged at another to (12, 8, 4) float32."""
    down, across = _shares(zoom)
    rows = (down @ window.reshape(HEIGHT, -1).astype(np.float32)).reshape(ROWS, WIDTH, 4)
    layer = across @ rows
    layer[..., 3] /= 255
    return layer


@lru_cache
def _shares(zoom: float) -> tuple[np.ndarray, np.ndarray]:
    """Which share of each pixel is which row (12, 100) and which column (8, 84) of the window's part."""
    ratio = zoom / FULL_ZOOM
    return (
        _overlap(TOP, ROWS, WINDOW_H / STOCK, Y0, HEIGHT, 0.75 * WINDOW_H, ratio),
        _overlap(LEFT, COLS, WINDOW_W / STOCK, X0, WIDTH, 0.5 * WINDOW_W, ratio),
    )


def _overlap(first: int, count: int, scale: float, start: int, length: int, centre: float, ratio: float) -> np.ndarray:
    """(count, length) float32: which share of pixel first + i is window pixel start + j.

    A pixel is `scale` window pixels wide, and those are `ratio` times as large as at full zoom, measured from `centre`.
    """
    left = (centre + ((first + np.arange(count)) * scale - centre) / ratio)[:, None]
    right = left + scale / ratio
    window = start + np.arange(length)
    shared = np.minimum(right, window + 1) - np.maximum(left, window)
    return (np.clip(shared, 0, 1) / (right - left)).astype(np.float32)
