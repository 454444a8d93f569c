"""The track as gymnasium's window shows it, without the instrument bar, drawn at any size and only as far as it is seen."""

from functools import cache

import numpy as np
import pygame
from gymnasium.envs.box2d.car_racing import GRASS_DIM, PLAYFIELD, SCALE, WINDOW_H, WINDOW_W, ZOOM
from pygame import gfxdraw

from dreamlap.track import FastCarRacing
from dreamlap.track.panel import HEIGHT as BAR

SHAPE = WINDOW_W / (WINDOW_H - BAR)
"""Width of the picture, if its height is 1."""


class Scene:
    """Draws one episode's track."""

    def __init__(self, track: FastCarRacing) -> None:
        """To be made when the episode has begun."""
        self.track = track
        self.road = np.array([polygon for polygon, _ in track.road_poly])  # (P, 4, 2)

    def draw(self, height: int) -> pygame.Surface:
        """The present moment, `height` pixels high: stock's own drawing, at another size."""
        track, size = self.track, height / (WINDOW_H - BAR)
        assert track.car is not None
        hull, screen = track.car.hull, pygame.Surface((round(height * SHAPE), height))
        zoom = size * (0.1 * SCALE * max(1 - track.t, 0) + ZOOM * SCALE * min(track.t, 1))
        cos, sin = np.cos(hull.angle), np.sin(hull.angle)
        turn = zoom * np.array([[cos, -sin], [sin, cos]])
        shift = size * np.array([WINDOW_W / 2, WINDOW_H / 4 - BAR]) - np.array(hull.position) @ turn
        field, grass = _ground()
        _fill(screen, field @ turn + shift, [track.bg_color])
        _fill(screen, grass @ turn + shift, [track.grass_color] * len(grass))
        _fill(screen, self.road @ turn + shift, [color for _, color in track.road_poly])
        track.car.draw(screen, zoom, tuple(shift), -hull.angle)
        return pygame.transform.flip(screen, False, True)


@cache
def _ground() -> tuple[np.ndarray, np.ndarray]:
    """The playfield (1, 4, 2) and the lighter squares of grass (400, 4, 2) on it."""
    square = np.array([(1, 0), (0, 0), (0, 1), (1, 1)])
    corners = np.array([(x, y) for x in range(-20, 20, 2) for y in range(-20, 20, 2)])
    return PLAYFIELD * (2 * square[None] - 1), GRASS_DIM * (corners[:, None] + square)


def _fill(screen: pygame.Surface, polygons: np.ndarray, colors: list) -> None:
    """Draw those of the polygons (P, 4, 2) that are in sight."""
    seen = (polygons.max(1) > 0).all(1) & (polygons.min(1) < screen.get_size()).all(1)
    for i in np.flatnonzero(seen):
        points, color = polygons[i].tolist(), [int(c) for c in colors[i]]
        gfxdraw.aapolygon(screen, points, color)
        gfxdraw.filled_polygon(screen, points, color)
