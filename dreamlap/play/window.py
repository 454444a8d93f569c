"""The window: it shows a game and listens to its keys."""

import math
import os
import sys

import numpy as np
import pygame

from dreamlap.errors import Failed
from dreamlap.play.game import Game, Phase
from dreamlap.play.place import VIEW, Place
from dreamlap.show.theme import DARK, FONT

STRIP = 76
"""Pixels of the words under the picture."""
PEDALS = (("steer", DARK.series[2]), ("gas", DARK.series[0]), ("brake", DARK.series[1]))
LENGTH = 76
"""Pixels of the bar of an action."""

INVISIBLE = ("offscreen", "dummy")
"""What SDL falls back on where there is no display: nobody would see it, so it has to be asked for (SDL_VIDEODRIVER)."""


class Window:
    """A window of the operating system; there is one at a time."""

    def __init__(self, title: str) -> None:
        """Open it.

        Raises:
            RuntimeError: there is no display; the message says what to do.
        """
        self.screen = _open((VIEW[0], VIEW[1] + STRIP))
        pygame.display.set_caption(f"dreamlap: {title}")
        pygame.font.init()
        self.large, self.small = (pygame.font.Font(str(FONT), size) for size in (22, 13))

    def run(self, game: Game, place: Place, fps: float, help_line: str) -> None:
        """Play until the game at `place` ends, at `fps` steps of the track a second, or as fast as it goes with 0."""
        clock = pygame.time.Clock()
        while game.phase is not Phase.ENDED:
            self._listen(game)
            game.tick()
            self._draw(game, place, help_line)
            clock.tick(fps / place.config.repeat)

    def close(self) -> None:
        """Close it."""
        pygame.display.quit()

    def _listen(self, game: Game) -> None:
        for event in pygame.event.get():
            if event.type == pygame.KEYDOWN:
                game.press(pygame.key.name(event.key))
            elif event.type == pygame.KEYUP:
                game.release(pygame.key.name(event.key))
            elif event.type == pygame.QUIT:
                game.press("escape")

    def _draw(self, game: Game, place: Place, help_line: str) -> None:
        picture = place.picture()
        self.screen.fill(DARK.paper)
        self.screen.blit(picture, ((VIEW[0] - picture.get_width()) // 2, 0))
        if game.phase.value:
            self._say(game.phase.value)
        readings = {
            "reward": f"{sum(place.rewards):.1f}",
            "speed": "–" if math.isnan(place.speed) else f"{place.speed:.0f}",
            "step": f"{len(place.rewards)} / {game.steps}",
            "episode": f"{min(game.kept + 1, game.episodes)} / {game.episodes}",
        }
        for i, (name, value) in enumerate(readings.items()):
            self._write(self.small, name, DARK.quiet, 16 + 128 * i, VIEW[1] + 15)
            self._write(self.large, value, DARK.ink, 16 + 128 * i, VIEW[1] + 36)
        self._write(self.small, help_line, DARK.quiet, 16, VIEW[1] + 61)
        self._draw_action(place.action)
        pygame.display.flip()

    def _write(self, font: pygame.font.Font, text: str, color: str, x: int, y: int) -> None:
        """Text that begins at `x`, its middle at height `y`."""
        words = font.render(text, True, color)
        self.screen.blit(words, words.get_rect(midleft=(x, y)))

    def _say(self, text: str) -> None:
        """Words on a plate in the middle of the picture."""
        words = self.large.render(text, True, DARK.ink, DARK.paper)
        plate = words.get_rect(center=(VIEW[0] // 2, VIEW[1] // 3))
        self.screen.fill(DARK.paper, plate.inflate(48, 28))
        self.screen.blit(words, plate)

    def _draw_action(self, action: np.ndarray) -> None:
        """Three bars: steering around its middle, gas and brake from the left."""
        left = VIEW[0] - 16 - LENGTH
        for i, ((name, color), value) in enumerate(zip(PEDALS, action, strict=True)):
            y = VIEW[1] + 15 + 23 * i
            zero = left + LENGTH // 2 if name == "steer" else left
            end = round(float(value) * (LENGTH // 2 if name == "steer" else LENGTH)) + zero
            self._write(self.small, name, DARK.quiet, left - 50, y)
            self.screen.fill(DARK.line, (left, y - 5, LENGTH, 10))
            self.screen.fill(color, (min(zero, end), y - 5, abs(end - zero), 10))


def _open(size: tuple[int, int]) -> pygame.Surface:
    try:
        pygame.display.init()
        if pygame.display.get_driver() in INVISIBLE and not os.environ.get("SDL_VIDEODRIVER"):
            raise pygame.error("there is no display")
        return pygame.display.set_mode(size)
    except pygame.error as error:
        pygame.display.quit()
        command = " ".join(["dreamlap", *sys.argv[1:]])
        raise Failed(
            f"no window can be opened: {error}. On a server, connect with `ssh -X`, or use a virtual display: "
            f"`xvfb-run {command}`. Drivers who are not persons need none: `dreamlap collect`, `dreamlap video`."
        ) from error
