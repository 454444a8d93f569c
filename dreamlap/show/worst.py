"""The worst of an agent's scored drives: it is driven again for a video, and for a map of where the car went."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium.envs.box2d.car_racing import TRACK_WIDTH
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure

from dreamlap.agent import Agent
from dreamlap.expert import Expert
from dreamlap.files import write_json
from dreamlap.show.films import DriveFilm, titles_of
from dreamlap.show.panels import Board
from dreamlap.show.theme import LIGHT, Theme, picture
from dreamlap.show.video import label_of, write_video
from dreamlap.track.frames import STOCK

SCALE = 3
"""Pixels of the video for each of the stock frame's 96: it lies in the report, which should stay small."""


def film_worst(agent: Agent | Expert, score: Mapping[str, Any], folder: Path, steps: int) -> None:
    """Drive the worst drive of a score again, unless that was done -> `worst.mp4` and, for the map, `worst.json` in `folder`.

    Only of selection tracks of the stock track: test tracks are driven for a final score and for nothing else.
    """
    if score["track"] != "stock" or score["kind"] != "selection":
        return
    worst = int(np.argmin(score["returns"]))
    seed, video, place = score["seeds"][worst], folder / "worst.mp4", folder / "worst.json"
    made_of = f"{agent.fingerprint} {seed} {steps}"
    if label_of(video) == made_of and place.exists():
        return
    place.unlink(missing_ok=True)  # it must never stand beside the video of another drive
    film = DriveFilm(agent, seed, steps, Board(titles_of(agent), STOCK * SCALE))
    write_video(video, film, label=made_of)
    write_json(place, {"seed": seed, "return": score["returns"][worst], "road": film.road, "path": film.path})


def drive_map(road: Sequence[Sequence[float]], path: Sequence[Sequence[float]], theme: Theme = LIGHT) -> bytes:
    """A PNG of the road and of where the car went.

    `road`: the middle of each tile (x, y). `path`: by step, the car (x, y) and whether all its wheels were on the grass.
    """
    x, y, grass = np.array(path, float).T

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        _road(axes, np.array(road), theme)
        axes.plot(x, y, color=theme.series[0], linewidth=1.5, label="the car")
        if grass.any():
            away = np.where(grass > 0, 1, np.nan)
            axes.plot(x * away, y * away, color=theme.series[1], linewidth=3, label="all wheels on the grass")
        axes.plot(x[0], y[0], "o", color=theme.series[2], markersize=7, label="start")
        axes.plot(x[-1], y[-1], "X", color=theme.ink, markersize=8, label=f"end, after {len(x)} steps")
        axes.set_aspect("equal")
        axes.set_axis_off()
        axes.legend(loc="lower left", ncols=4, bbox_to_anchor=(0, 1.01), borderaxespad=0)

    return picture(draw, 8.1, 4.6, theme)


def _road(axes: Axes, road: np.ndarray, theme: Theme) -> None:
    """The closed ribbon of the road: TRACK_WIDTH to both sides of its middle (N, 2)."""
    ring = np.concatenate([road[-1:], road, road[:2]])
    along = ring[2:] - ring[:-2]
    aside = np.stack([-along[:, 1], along[:, 0]], 1) / np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
    left, right = (ring[1:-1] + side * TRACK_WIDTH * aside for side in (1, -1))
    tiles = np.stack([left[:-1], left[1:], right[1:], right[:-1]], 1)  # (N, 4, 2)
    axes.add_collection(PolyCollection(list(tiles), facecolor=theme.line, edgecolor=theme.line, linewidth=0.3, zorder=1))
