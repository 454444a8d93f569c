"""The time for a picture of `dreamlap play`, with everything that it shows, on one core; and docs/play.png.

50 pictures a second leave 20 ms for each.
"""

import os
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

os.environ["SDL_VIDEODRIVER"] = "dummy"  # nobody looks

import pygame

from dreamlap.parallel import own_settings
from dreamlap.play.game import Game
from dreamlap.play.place import Place
from dreamlap.play.play import STEADY, make_place
from dreamlap.play.window import Window
from dreamlap.seeds import training_track
from dreamlap.track import TrackConfig

PICTURES = 300
SHOWN = 225
"""The step of the drive that docs/play.png shows: a bend."""


def main() -> None:
    """Measure an agent's drive on the track and in its dream."""
    agent = replace(STEADY, kind="champion")
    with closing(Window("play")) as window, own_settings():
        for dream in (None, Path("champion")):
            place = make_place(agent, dream, TrackConfig())
            print(f"{place.where}: {_measure(window, place):.1f} ms of CPU for a picture (20 ms are 50 pictures a second)")


def _measure(window: Window, place: Place) -> float:
    game = Game(place, lambda number: training_track("play", number, seed=0), lambda _: True, 9, 1000)
    begun = time.process_time()
    for step in range(PICTURES):
        game.tick()
        window.draw(game, place)
        if step == SHOWN and not place.dreaming:
            pygame.image.save(window.screen, "docs/play.png")
    return 1000 * (time.process_time() - begun) / PICTURES


if __name__ == "__main__":
    main()
