"""The window: it shows a game and listens to its keys."""

import math
import os
import sys

import cv2
import numpy as np
import pygame

from dreamlap.errors import Failed
from dreamlap.play.game import Game, Phase
from dreamlap.play.keys import BUTTONS, axis_moved, gamepads, key_named
from dreamlap.play.lap import draw_map, lap_share
from dreamlap.play.place import Place, told
from dreamlap.show.theme import DARK, FONT

PICTURE, COLUMN, STRIP = (800, 560), 250, 76
"""Width and height of the picture, width of the views beside it, height of the words under it: in units, which are pixels
until somebody resizes the window."""
SIZE = PICTURE[0] + COLUMN, PICTURE[1] + STRIP
PANEL = (234, 187)
"""Width and height of a view of V or M, in units: the shape of the stock window."""
PEDALS = (("steer", DARK.series[2]), ("gas", DARK.series[0]), ("brake", DARK.series[1]))
LENGTH = 76
"""Units of the bar of an action."""
LARGE, SMALL = 22, 13
"""Units of the type."""
IN_DREAM = ("No track is behind a dream.", "M predicts what follows from each", "action; V decodes it into a picture.")
SLOWLY = 0.25
"""Speed of slow motion."""

INVISIBLE = ("offscreen", "dummy")
"""What SDL falls back on where there is no display: nobody would see it, so it has to be asked for (SDL_VIDEODRIVER)."""


class Window:
    """A window of the operating system; there is one at a time. It can be resized."""

    def __init__(self, title: str) -> None:
        """Open it.

        Raises:
            RuntimeError: there is no display; the message says what to do.
        """
        self.screen = _open(SIZE)
        pygame.display.set_caption(f"dreamlap: {title}")
        pygame.font.init()
        self.fonts: dict[int, pygame.font.Font] = {}
        self.gamepads = gamepads()

    def run(self, game: Game, place: Place, fps: float, recording: bool = False) -> None:
        """Play until the game at `place` ends, at `fps` steps of the track a second, or as fast as it goes with 0."""
        clock = pygame.time.Clock()
        while game.phase is not Phase.ENDED:
            self._listen(game)
            game.tick()
            self.draw(game, place, recording)
            clock.tick((fps * SLOWLY if game.slow else fps) / place.config.repeat)

    def close(self) -> None:
        """Close it."""
        pygame.display.quit()

    def _listen(self, game: Game) -> None:
        for event in pygame.event.get():
            if event.type == pygame.KEYDOWN:
                game.press(key_named(event.key, event.scancode))
            elif event.type == pygame.KEYUP:
                game.release(key_named(event.key, event.scancode))
            elif event.type == pygame.CONTROLLERBUTTONDOWN and event.button in BUTTONS:
                game.press(BUTTONS[event.button])
            elif event.type == pygame.CONTROLLERBUTTONUP and event.button in BUTTONS:
                game.release(BUTTONS[event.button])
            elif event.type == pygame.CONTROLLERAXISMOTION and (moved := axis_moved(event.axis, event.value)):
                game.move(*moved)
            elif event.type in (pygame.CONTROLLERDEVICEADDED, pygame.CONTROLLERDEVICEREMOVED):
                self.gamepads = gamepads()
            elif event.type == pygame.QUIT:
                game.press("escape")

    def draw(self, game: Game, place: Place, recording: bool = False) -> None:
        """Draw what there is to be seen now."""
        self._fit()
        self.screen.fill(DARK.paper)
        picture = self._place(0, 0, *PICTURE)
        seen = place.picture(picture.height)
        self.screen.blit(seen, seen.get_rect(center=picture.center))
        self._draw_status(game, place, recording)
        self._draw_views(place)
        self._draw_readings(game, place)
        self._draw_action(place.action)
        if game.message:
            self._say([game.message, *(game.help if game.phase is Phase.READY else [])])
        pygame.display.flip()

    def _fit(self) -> None:
        """Adapt to the window's size: a unit is as large as the window allows."""
        self.screen = pygame.display.get_surface() or self.screen
        width, height = self.screen.get_size()
        self.unit = unit = max(min(width / SIZE[0], height / SIZE[1]), 0.25)
        self.left, self.top = (width - SIZE[0] * unit) / 2, (height - SIZE[1] * unit) / 2

    def _place(self, x: float, y: float, width: float = 0, height: float = 0) -> pygame.Rect:
        """From units to pixels of the window."""
        u = self.unit
        return pygame.Rect(round(self.left + x * u), round(self.top + y * u), round(width * u), round(height * u))

    def _words(self, size: float, text: str, color: str, room: float) -> pygame.Surface:
        """Text of `size` units, or as much smaller as it must be to fit into `room` units."""
        pixels = round(size * self.unit)
        while (font := self._font(pixels)).size(text)[0] > room * self.unit and pixels > 1:
            pixels -= 1
        return font.render(text, True, color)

    def _font(self, pixels: int) -> pygame.font.Font:
        if pixels not in self.fonts:
            self.fonts[pixels] = pygame.font.Font(str(FONT), pixels)
        return self.fonts[pixels]

    def _write(self, size: float, text: str, color: str, x: float, y: float, room: float) -> None:
        """Text that begins at `x`, its middle at height `y`, and goes on for at most `room` units."""
        words = self._words(size, text, color, room)
        self.screen.blit(words, words.get_rect(midleft=self._place(x, y).topleft))

    def _say(self, lines: list[str]) -> None:
        """Words on a plate in the middle of the picture, the first line large."""
        words = [self._words(SMALL if i else LARGE, line, DARK.ink, PICTURE[0] - 48) for i, line in enumerate(lines)]
        heights = [line.get_height() + 6 * self.unit for line in words]
        plate = pygame.Rect(0, 0, max(line.get_width() for line in words) + 48 * self.unit, sum(heights) + 28 * self.unit)
        plate.center = self._place(PICTURE[0] / 2, PICTURE[1] / 3).topleft
        self.screen.fill(DARK.paper, plate)
        for i, line in enumerate(words):
            self.screen.blit(line, line.get_rect(midtop=(plate.centerx, plate.top + 17 * self.unit + sum(heights[:i]))))

    def _draw_status(self, game: Game, place: Place, recording: bool) -> None:
        """Who drives where, in the picture's corner."""
        kept = ["recording" if place.at_home else "not recorded"] * recording
        words = "   ".join([f"{told(place.who)} drives {place.where}", *kept, *["slow motion"] * game.slow])
        text = self._words(SMALL, words, DARK.ink, PICTURE[0] - 20)
        plate = text.get_rect().inflate(20 * self.unit, 10 * self.unit)
        plate.topleft = self._place(0, 0).topleft
        self.screen.fill(DARK.paper, plate)
        self.screen.blit(text, text.get_rect(center=plate.center))

    def _draw_views(self, place: Place) -> None:
        """What V and M make of the frame, and the map."""
        x, y = PICTURE[0] + 8, 0
        if view := place.view():
            frames = {"M's prediction (mean)": view.prediction}
            if not place.dreaming:  # there V's reconstruction is the picture itself
                frames = {"V's reconstruction": view.reconstruction} | frames
            for title, frame in frames.items():
                self._write(SMALL, title, DARK.quiet, x, y + 10, PANEL[0])
                self._draw_frame(frame, self._place(x, y + 20, *PANEL))
                y += PANEL[1] + 24
            self._write(SMALL, view.words, DARK.quiet, x, y + 8, PANEL[0])
            y += 22
        if place.dreaming:
            for i, line in enumerate(IN_DREAM):
                self._write(SMALL, line, DARK.quiet, x, y + 24 + 20 * i, PANEL[0])
        else:
            self._write(SMALL, f"lap {lap_share(place.track):.0%}", DARK.quiet, x, y + 10, PANEL[0])
            draw_map(self.screen, self._place(x, y + 20, PANEL[0], SIZE[1] - y - 24), place.track)

    def _draw_frame(self, frame: np.ndarray, place: pygame.Rect) -> None:
        """A frame (S, S, 3), every pixel of it sharp: nothing is drawn that was not seen."""
        large = cv2.resize(frame, place.size, interpolation=cv2.INTER_NEAREST)
        self.screen.blit(pygame.image.frombuffer(large.tobytes(), place.size, "RGB"), place)

    def _draw_readings(self, game: Game, place: Place) -> None:
        readings = {
            "return": f"{sum(place.rewards):.1f}",
            "speed": "–" if math.isnan(place.speed) else f"{place.speed:.0f}",
            "step": f"{len(place.rewards)} / {game.steps}",
            "episode": f"{min(game.kept + 1, game.episodes)} / {game.episodes}",
        }
        for i, (name, value) in enumerate(readings.items()):
            self._write(SMALL, name, DARK.quiet, 16 + 144 * i, PICTURE[1] + 15, 136)
            self._write(LARGE, value, DARK.ink, 16 + 144 * i, PICTURE[1] + 36, 136)
        self._write(SMALL, "    ".join(game.help), DARK.quiet, 16, PICTURE[1] + 61, PICTURE[0] - 24)

    def _draw_action(self, action: np.ndarray) -> None:
        """Three bars: steering around its middle, gas and brake from the left."""
        left = PICTURE[0] - 16 - LENGTH
        for i, ((name, color), value) in enumerate(zip(PEDALS, action, strict=True)):
            y = PICTURE[1] + 11 + 17 * i
            zero = left + LENGTH / 2 if name == "steer" else left
            end = float(value) * (LENGTH / 2 if name == "steer" else LENGTH) + zero
            self._write(SMALL, name, DARK.quiet, left - 50, y, 46)
            self.screen.fill(DARK.line, self._place(left, y - 5, LENGTH, 10))
            self.screen.fill(color, self._place(min(zero, end), y - 5, abs(end - zero), 10))


def check_seen() -> None:
    """Find out whether anybody sees the window that is open.

    Raises:
        Failed: nobody does.
    """
    if (driver := pygame.display.get_driver()) in INVISIBLE:
        raise Failed(f"nobody sees this window: SDL_VIDEODRIVER is {driver}. Unset it, or let another driver drive (--driver)")


def _open(size: tuple[int, int]) -> pygame.Surface:
    try:
        pygame.display.init()
        if pygame.display.get_driver() in INVISIBLE and not os.environ.get("SDL_VIDEODRIVER"):
            raise pygame.error("there is no display")
        return pygame.display.set_mode(size, pygame.RESIZABLE)
    except pygame.error as error:
        pygame.display.quit()
        command = " ".join(["dreamlap", *sys.argv[1:]])
        raise Failed(
            f"no window can be opened: {error}. On a server, connect with `ssh -X`, or use a virtual display: "
            f"`xvfb-run {command}`. Drivers who are not persons need none: `dreamlap collect`, `dreamlap video`."
        ) from error
