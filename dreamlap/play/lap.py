"""A map of the track: where the car is, and what of the lap is done."""

import math
from collections.abc import Callable

import pygame

from dreamlap.show.theme import DARK
from dreamlap.track import FastCarRacing

MARGIN = 12
"""Pixels around the map's track."""
LENGTH = 25
"""Units of the line that shows where the car points."""


def lap_share(track: FastCarRacing) -> float:
    """Share of the track's tiles that a wheel has touched; the lap is finished with all of them.

    Stock also ends it when the first tile is touched after 95 % of the others. The car touches that tile in its first steps.
    """
    return track.tile_visited_count / len(track.track)


def draw_map(screen: pygame.Surface, place: pygame.Rect, track: FastCarRacing) -> None:
    """Draw the track into a rectangle, north up: green what is done, gray what is not, and the car."""
    assert track.car is not None
    (x, y), heading = track.car.hull.position, track.car.hull.angle
    at, width = _scale(place, track), max(round(place.width / 60), 1)
    points = [at(x, y) for _, _, x, y in track.track]
    for tile in track.road or []:
        color = DARK.series[2] if tile.road_visited else DARK.line
        pygame.draw.line(screen, color, points[tile.idx - 1], points[tile.idx], width + tile.road_visited)
    screen.set_clip(place)  # the car may be far away
    tip = at(x - LENGTH * math.sin(heading), y + LENGTH * math.cos(heading))
    pygame.draw.line(screen, DARK.series[1], at(x, y), tip, width)
    pygame.draw.circle(screen, DARK.series[1], at(x, y), 1.5 * width)
    screen.set_clip(None)


def _scale(place: pygame.Rect, track: FastCarRacing) -> Callable[[float, float], tuple[float, float]]:
    """From the track's coordinates to the screen's."""
    _, _, xs, ys = zip(*track.track, strict=True)
    middle_x, middle_y = (min(xs) + max(xs)) / 2, (min(ys) + max(ys)) / 2
    scale = min((place.width - 2 * MARGIN) / (max(xs) - min(xs)), (place.height - 2 * MARGIN) / (max(ys) - min(ys)))
    return lambda x, y: (place.centerx + (x - middle_x) * scale, place.centery - (y - middle_y) * scale)
