"""The robustness exam: the same race, whose frames are disturbed in three ways that no agent of ours has trained on.

Tang, Nguyen & Ha (2020), *Neuroevolution of Self-Interpretable Agents*, section 4.4: their environments CarRacingColor,
CarRacingBar and CarRacingBlob. Track, car, physics and rewards stay as they are; only the picture changes, on the stock track
and on the fast one alike:

    colours   the road's gray and the grass's base colour are each shifted by one number for an episode
    bars      black bars cover the outer 3/40 of the picture left and right, above the instruments
    blob      a red square of 8 units moves with the car, to its right and ahead
"""

from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import pygame
from gymnasium.envs.box2d.car_racing import WINDOW_H, WINDOW_W, CarRacing
from gymnasium.utils import EzPickle

from dreamlap.config.parts import EXAM
from dreamlap.errors import Refused
from dreamlap.seeds import numpy_generator
from dreamlap.track.fast import FastCarRacing
from dreamlap.track.frames import ROAD_ROWS, STOCK
from dreamlap.track.ground import as_arrives

SHIFT = 51.0
"""The most that colours are shifted, in levels of 255."""
BAR = 3 * WINDOW_W // 40
"""Width of a bar, in pixels of stock's window."""
BLOB = np.array([[21.0, 7.6], [29.0, 15.6]])
"""The square's lower left and upper right corner, in units to the right of the car and ahead of it."""
RED = (204, 0, 0)


def known(variant: str) -> str:
    """The same, if it is one.

    Raises:
        Refused: it is none.
    """
    if variant not in EXAM:
        raise Refused(f"the exam has {', '.join(EXAM)}, not {variant!r}")
    return variant


class Exam:
    """What both tracks have in common: a `CarRacing` that disturbs its frames."""

    variant: str
    road_color: np.ndarray
    bg_color: np.ndarray

    def shift_colours(self, seed: int | None) -> None:
        """Draw the colours of the next episode, if it is theirs to change: the same for the same track."""
        if self.variant != "colours":
            return
        if seed is not None or not hasattr(self, "_chance"):
            self._chance = numpy_generator(seed or 0, "exam")
        road, grass = self._chance.uniform(-SHIFT, SHIFT, 2)
        self.road_color = np.clip(np.array([102.0, 102.0, 102.0]) + road, 0, 255)
        self.bg_color = np.clip(np.array([102.0, 204.0, 102.0]) + grass, 0, 255)


class StockExam(Exam, CarRacing):
    """Gymnasium's own track, drawn by itself, with its frames disturbed."""

    def __init__(self, variant: str, render_mode: str | None = None) -> None:
        """`variant`: one of `EXAM`; `render_mode`: stock's."""
        super().__init__(render_mode)
        EzPickle.__init__(self, variant, render_mode)
        self.variant = known(variant)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """As stock's."""
        self.shift_colours(seed)
        return super().reset(seed=seed, options=options)

    def _render_road(self, zoom: float, translation: Any, angle: float) -> None:
        super()._render_road(zoom, translation, angle)
        assert self.surf is not None
        if self.variant == "blob":
            (left, bottom), (right, top) = _square(zoom)
            pygame.draw.rect(self.surf, RED, (left, bottom, right - left, top - bottom))  # the window is turned over later

    def _render_indicators(self, W: int, H: int) -> None:
        assert self.surf is not None
        if self.variant == "bars":
            for left in (0, W - BAR):
                pygame.draw.rect(self.surf, (0, 0, 0), (left, 0, BAR, H))
        super()._render_indicators(W, H)


class FastExam(Exam, FastCarRacing):
    """The fast track with its frames disturbed as stock's are."""

    def __init__(self, variant: str, **settings: Any) -> None:
        """`variant`: one of `EXAM`; `settings`: those of the fast track."""
        super().__init__(**settings)
        EzPickle.__init__(self, variant, **settings)
        self.variant = known(variant)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """As the fast track's."""
        self.shift_colours(seed)
        return super().reset(seed=seed, options=options)

    def _lay_over(self, zoom: float, road: np.ndarray) -> None:
        if self.variant == "colours":
            return
        cover = _bars() if self.variant == "bars" else _blob(zoom)
        color = np.array(as_arrives(RED if self.variant == "blob" else (0, 0, 0)), np.float32)
        road[:] = np.rint(road * (1 - cover) + color * cover)


def _square(zoom: float) -> np.ndarray:
    """The blob's corners in stock's window, from its lower left corner, in whole pixels (2, 2)."""
    return np.floor(BLOB * zoom + [WINDOW_W / 2, WINDOW_H / 4]).astype(int)


def _shares(window: np.ndarray) -> np.ndarray:
    """What is covered of the window (800, 1000) float32, as shares of the pixels above the instruments (84, 96, 1)."""
    return cv2.resize(window, (STOCK, STOCK), interpolation=cv2.INTER_AREA)[:ROAD_ROWS, :, None]


@lru_cache
def _bars() -> np.ndarray:
    window = np.zeros((WINDOW_H, WINDOW_W), np.float32)
    window[:, :BAR] = window[:, WINDOW_W - BAR :] = 1
    return _shares(window)


@lru_cache(64)
def _blob(zoom: float) -> np.ndarray:
    window = np.zeros((WINDOW_H, WINDOW_W), np.float32)
    (left, bottom), (right, top) = _square(zoom)
    window[bottom:top, left:right] = 1
    return _shares(window[::-1])
