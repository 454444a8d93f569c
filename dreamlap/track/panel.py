"""The instrument bar: true speed, four wheel speeds, steering angle, turn rate and the score in digits.

Everything on it is one of a few hundred small pictures (a bar of so many window pixels, a number); each is drawn once
in a process by pygame itself, exactly as stock does it, and kept.
"""

import math
from functools import lru_cache

import numpy as np
import pygame
from gymnasium.envs.box2d.car_dynamics import Car
from gymnasium.envs.box2d.car_racing import WINDOW_H, WINDOW_W

from dreamlap.track.frames import ROAD_ROWS, STOCK

HEIGHT = WINDOW_H * (STOCK - ROAD_ROWS) // STOCK
"""Window pixels of the bar: exactly 12 rows of a frame."""
UNIT_X, UNIT_Y = WINDOW_W / 40, WINDOW_H / 40
Color = tuple[int, int, int]
WHITE, BLUE, VIOLET, GREEN, RED = (255, 255, 255), (0, 0, 255), (51, 0, 255), (0, 255, 0), (255, 0, 0)
WHEELS = ((7, BLUE), (8, BLUE), (9, VIOLET), (10, VIOLET))
COVERED = (7, 8, 9)
"""Places of bars that end under the next one: stock draws both one pixel into each other."""
FAINT = 1e-4
"""Stock draws no bar for a smaller value."""


def lay_panel(car: Car, score: float, panel: np.ndarray) -> None:
    """Draws the instrument bar.

    Args:
        car: read.
        score: the episode's reward so far.
        panel: (12, 96, 4) uint8, written.
    """
    panel[:] = 0
    vx, vy = car.hull.linearVelocity
    _upright(panel, 5, math.sqrt(vx * vx + vy * vy), 0.02, WHITE)
    for w, (place, color) in zip(car.wheels, WHEELS, strict=True):
        _upright(panel, place, w.omega, 0.01, color)
    _level(panel, 20, car.wheels[0].joint.angle, -10, GREEN)
    _level(panel, 30, car.hull.angularVelocity, -0.8, RED)
    panel += _digits(f"{score:04.0f}")


def _upright(panel: np.ndarray, place: int, value: float, gain: float, color: Color) -> None:
    """A bar over its place, of which the next wheel's bar covers the last window pixels."""
    if abs(value) > FAINT:
        top = int(WINDOW_H - (UNIT_Y + UNIT_Y * (gain * value))) - (WINDOW_H - HEIGHT)
        right = int((place + 1) * UNIT_X) - (place in COVERED)
        panel += _bar(int(place * UNIT_X), top, right, HEIGHT - int(UNIT_Y), color)


def _level(panel: np.ndarray, place: int, value: float, gain: float, color: Color) -> None:
    """A bar to the left or right of its place."""
    if abs(value) > FAINT:
        end = int((place + gain * value) * UNIT_X)
        panel += _bar(int(place * UNIT_X), HEIGHT - int(4 * UNIT_Y), end, HEIGHT - int(2 * UNIT_Y), color)


@lru_cache(4096)
def _bar(x1: int, y1: int, x2: int, y2: int, color: Color) -> np.ndarray:
    window = pygame.Surface((WINDOW_W, HEIGHT))
    pygame.draw.polygon(window, color, [(x1, y1), (x2, y1), (x2, y2), (x1, y2)])
    return _shrink(window)


@lru_cache(4096)
def _digits(text: str) -> np.ndarray:
    window = pygame.Surface((WINDOW_W, HEIGHT))
    pygame.font.init()
    font = pygame.font.Font(pygame.font.get_default_font(), 42)
    picture = font.render(text, True, WHITE, (0, 0, 0))
    window.blit(picture, picture.get_rect(center=(60, HEIGHT - WINDOW_H * 2.5 / 40)))
    return _shrink(window)


def _shrink(window: pygame.Surface) -> np.ndarray:
    """The bar as it arrives in a frame, (12, 96, 4) uint8."""
    small = pygame.transform.smoothscale(window, (STOCK, STOCK - ROAD_ROWS))
    picture = np.zeros((STOCK - ROAD_ROWS, STOCK, 4), np.uint8)
    picture[..., :3] = pygame.surfarray.array3d(small).transpose(1, 0, 2)
    return picture
