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
    WHEEL_R,
    WHEEL_W,
    WHEELPOS,
    Car,
)
from gymnasium.envs.box2d.car_racing import SCALE, WINDOW_H, WINDOW_W, ZOOM

from dreamlap.track.frames import STOCK

FULL_ZOOM = ZOOM * SCALE
TOP, LEFT, ROWS, COLS = 66, 44, 12, 8
"""The part of a frame that the car can cover, in pixels."""
X0, Y0 = int(LEFT * WINDOW_W / STOCK), int(TOP * WINDOW_H / STOCK)
WIDTH, HEIGHT = 84, 100
"""The same in the window: its upper left corner and its extent."""
ANGLES, PHASES = 0.05, 2 * math.pi / 64
"""Grid of the kept wheel pictures, radians: finer ones change no pixel by more than a few levels."""

BLACK, WHITE, RED = (0, 0, 0, 255), (75, 75, 75, 255), (202, 0, 0, 255)  # as they arrive after pygame's rounding
NOTHING = (0, 0, 0, 0)
HULL = [np.array(poly) * SIZE for poly in (HULL_POLY1, HULL_POLY2, HULL_POLY3, HULL_POLY4)]
WHEEL = np.array([(-WHEEL_W, WHEEL_R), (WHEEL_W, WHEEL_R), (WHEEL_W, -WHEEL_R), (-WHEEL_W, -WHEEL_R)]) * SIZE


def lay_car(car: Car, zoom: float, frame: np.ndarray) -> None:
    """Draws the car into a frame.

    Args:
        car: its wheels' joint angles and phases are read.
        zoom: window pixels a unit.
        frame: (96, 96, 4) uint8, written.
    """
    layer = _car_layer(car, zoom) if zoom < FULL_ZOOM else _full_size_layer(car)
    seen = frame[TOP : TOP + ROWS, LEFT : LEFT + COLS]
    seen[:] = seen * (1 - layer[..., 3:] / 255) + layer


def _full_size_layer(car: Car) -> np.ndarray:
    layer = _hull_layer()
    for i, w in enumerate(car.wheels):
        layer = layer + _wheel_layer(i, round(w.joint.angle / ANGLES), int(w.phase % (2 * math.pi) / PHASES))
    return layer


def _car_layer(car: Car, zoom: float) -> np.ndarray:
    window = _window()
    for i, w in enumerate(car.wheels):
        _draw_wheel(window, i, w.joint.angle, w.phase, zoom)
    _draw_hull(window, RED, zoom)
    return _shrink(window)


@lru_cache
def _hull_layer() -> np.ndarray:
    window = _window()
    _draw_hull(window, RED, FULL_ZOOM)
    return _shrink(window)


@lru_cache(8192)
def _wheel_layer(i: int, angle: int, phase: int) -> np.ndarray:
    """What one wheel adds where the hull does not hide it."""
    window = _window()
    _draw_wheel(window, i, angle * ANGLES, (phase + 0.5) * PHASES, FULL_ZOOM)
    _draw_hull(window, NOTHING, FULL_ZOOM)
    return _shrink(window)


def _window() -> np.ndarray:
    return np.zeros((HEIGHT, WIDTH, 4), np.uint8)


def _draw_hull(window: np.ndarray, color: tuple[int, ...], zoom: float) -> None:
    for poly in HULL:
        _draw(window, poly, color, zoom)


def _draw_wheel(window: np.ndarray, i: int, angle: float, phase: float, zoom: float) -> None:
    cos, sin = math.cos(angle), math.sin(angle)
    turn = np.array([[cos, sin], [-sin, cos]])
    axle = np.array(WHEELPOS[i]) * SIZE
    _draw(window, WHEEL @ turn + axle, BLACK, zoom)
    span = _mark(phase)
    if span:
        mark = WHEEL.copy()
        mark[:, 1] *= (span[0], span[0], -span[1], -span[1])
        _draw(window, mark @ turn + axle, WHITE, zoom)


def _mark(phase: float) -> tuple[float, float] | None:
    """Where the white mark begins and ends, in wheel radii; None when it is under the car."""
    a, b = phase, phase + 1.2
    if math.sin(a) > 0 and math.sin(b) > 0:
        return None
    begin = math.copysign(1, math.cos(a)) if math.sin(a) > 0 else math.cos(a)
    end = math.copysign(1, math.cos(b)) if math.sin(b) > 0 else math.cos(b)
    return begin, end


def _draw(window: np.ndarray, poly: np.ndarray, color: tuple[int, ...], zoom: float) -> None:
    """Fills a polygon given in units from the hull's centre; corners fall on whole window pixels as in stock."""
    x = WINDOW_W / 2 + zoom * poly[:, 0]
    y = WINDOW_H - 1 - np.floor(WINDOW_H / 4 + zoom * poly[:, 1])
    corners = np.stack([np.floor(x) - X0, y - Y0], axis=1).astype(np.int32)
    cv2.fillConvexPoly(window, corners, color)


def _overlap(first: int, count: int, scale: float, start: int, length: int) -> np.ndarray:
    """(count, length) float32: which share of pixel first + i is window pixel start + j; a pixel is `scale` wide."""
    pixel = (first + np.arange(count))[:, None] * scale
    window = (start + np.arange(length))[None, :]
    return (np.clip(np.minimum(pixel + scale, window + 1) - np.maximum(pixel, window), 0, 1) / scale).astype(np.float32)


ACROSS = _overlap(LEFT, COLS, WINDOW_W / STOCK, X0, WIDTH)
DOWN = _overlap(TOP, ROWS, WINDOW_H / STOCK, Y0, HEIGHT)


def _shrink(window: np.ndarray) -> np.ndarray:
    """The window's part area-averaged to (12, 8, 4) float32."""
    return np.einsum("rh,hwk,cw->rck", DOWN, window.astype(np.float32), ACROSS, optimize=True)
