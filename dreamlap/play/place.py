"""Where one drives: the track, or a dream of it, with a driver at the wheel and everything recorded."""

from dataclasses import replace

import cv2
import numpy as np
import pygame
from gymnasium.envs.box2d.car_racing import WINDOW_H, WINDOW_W

from dreamlap.drivers import AgentDriver, Driver
from dreamlap.episodes.record import Tape, begin, decide
from dreamlap.mind.world import open_world
from dreamlap.track import FastCarRacing, TrackConfig, action_form
from dreamlap.track.panel import HEIGHT as BAR

VIEW = (800, 560)
"""Pixels of the picture: the stock window without its instrument bar, four fifths as large."""


class Place:
    """One episode after another on a track, or in a dream.

    A track is drawn by gymnasium itself for the person, and by us, as ever, for the driver and the record.
    """

    def __init__(self, driver: Driver, kind: str, config: TrackConfig, random_start: float = 0.0) -> None:
        """`kind`: name of the driver. An agent that drives acts, and sees, as it has learned to, whatever `config` says."""
        if isinstance(driver, AgentDriver):
            config = replace(driver.agent.config.track, dream=config.dream)
        self.driver, self.kind, self.config, self.random_start = driver, kind, config, random_start
        self.world, self.form = open_world(config), action_form(config.actions)
        if isinstance(self.world, FastCarRacing):
            self.world.render_mode = "rgb_array"

    def begin(self, seed: int) -> None:
        """Begin the episode of that seed."""
        about = {"driver": self.kind}
        self.tape: Tape = begin(self.driver, 0, self.world, seed, about, self.random_start)

    def step(self) -> None:
        """Let the driver act once."""
        self.tape.step(decide(self.driver, [self.tape], self.form)[0])

    @property
    def rewards(self) -> list[float]:
        """Of the steps so far."""
        return self.tape.rewards

    @property
    def over(self) -> bool:
        """Whether the track, or M, has ended the episode."""
        return self.tape.terminated

    @property
    def speed(self) -> float:
        """Units/s; no number in a dream, which knows of no car."""
        return self.tape.speeds[-1]

    @property
    def action(self) -> np.ndarray:
        """(3,) the last stock action."""
        return self.tape.actions[-1] if self.tape.actions else np.zeros(3, np.float32)

    def picture(self) -> pygame.Surface:
        """What there is to be seen now."""
        if isinstance(self.world, FastCarRacing):
            self.world.render()  # leaves the window's own drawing behind, larger than the array that it returns
            assert self.world.surf is not None
            return pygame.transform.smoothscale(self.world.surf.subsurface((0, 0, WINDOW_W, WINDOW_H - BAR)), VIEW)
        size = VIEW[1] * WINDOW_W // WINDOW_H, VIEW[1]
        frame = cv2.resize(self.tape.frames[-1], size, interpolation=cv2.INTER_CUBIC)
        return pygame.image.frombuffer(frame.tobytes(), size, "RGB")
