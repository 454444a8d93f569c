"""Where one drives: the track, or a dream of it, with a driver at the wheel and everything recorded."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pygame
from gymnasium.envs.box2d.car_racing import WINDOW_H, WINDOW_W

from dreamlap.agent import Agent, Starts
from dreamlap.drivers import AgentDriver, Driver, Person, PerTrack
from dreamlap.episodes.record import Tape, begin, decide
from dreamlap.mind.world import DreamTrack, open_world
from dreamlap.play.observer import Observer, View, starts_on_road
from dreamlap.play.scene import Scene
from dreamlap.play.tally import LAP
from dreamlap.seeds import numpy_generator
from dreamlap.settings import deviations
from dreamlap.track import FastCarRacing, TrackConfig, action_form

AUTOPILOT = "autopilot"


class Place:
    """One episode after another on the track or in a dream; both world and driver can be switched.

    A person sees the track as gymnasium's window shows it; driver and record get V's frames, as ever.
    """

    def __init__(
        self, drivers: Mapping[str, Driver], config: TrackConfig, agent: Agent | None = None, random_start: float = 0.0
    ) -> None:
        """Put the first driver at the wheel.

        Args:
            drivers: who may drive, by name.
            config: the track, or the dream (`config.dream`) of `agent`.
            agent: whose V and M observe, and whose dream it is. Without one there are no views and no dream.
            random_start: share of the episodes that begin on a random tile of the track.
        """
        self.drivers, self.config, self.agent, self.random_start = drivers, replace(config, dream=""), agent, random_start
        self.form, self.observer = action_form(config.actions), Observer(agent) if agent else None
        self.who, self.dreaming = next(iter(drivers)), bool(config.dream)
        self.home = ([self.who], self.dreaming, None)
        self.starts, track = starts_on_road(agent) if agent else None, open_world(self.config)
        assert isinstance(track, FastCarRacing)
        self.track = track

    def begin(self, seed: int, here: Starts | None = None) -> None:
        """Begin the episode of that seed; a dream goes on from the moment `here`, or from one of the agent's."""
        self.world = DreamTrack(self.agent, here or self.starts) if self.dreaming and self.agent else self.track
        self.seed, self.here, self.drove = seed, here, [self.who]
        made = {"driver": {"kind": self.who, "played": True}, "track": deviations(self.config)}
        if self.dreaming and self.agent:
            made["track"]["dream"] = self.agent.dream_fingerprint
        about = {"driver": self.who, "made": made}
        self.tape: Tape = begin(self.driver, 0, self.world, seed, about, self.random_start)
        self.scene = None if self.dreaming else Scene(self.track)
        if self.observer:
            self.observer.begin(self.tape.frames[-1])
            self._join_dream()

    def step(self) -> None:
        """Let the driver act once."""
        self.tape.step(decide(self.driver, [self.tape], self.form)[0])
        if self.observer and not self.dreaming:
            self.observer.follow(self.tape.actions[-1], self.tape.frames[-1])
        self._join_dream()

    def _join_dream(self) -> None:
        """In a dream the observer knows z, and need not look."""
        if self.observer and isinstance(self.world, DreamTrack):
            self.observer.now = self.world.mind.moments

    def switch_world(self, seed: int) -> None:
        """From the track into the dream, which goes on from here; or from the dream to the beginning of a track."""
        here = None if self.dreaming or not self.observer else self.observer.now
        self.dreaming, self.starts = not self.dreaming, self.starts or here
        if self.dreaming and self.who == AUTOPILOT:
            self.who = next(name for name in self.drivers if name != AUTOPILOT)
        self.begin(seed, here)

    def switch_driver(self) -> None:
        """Give the wheel to the other driver, in the middle of the episode."""
        self.who = self.other or self.who
        self.drove.append(self.who)
        self.driver.reset(0, self.world, numpy_generator(self.seed, "switch"))
        if isinstance(self.driver, AgentDriver) and self.observer and self.driver.agent is self.agent:
            self.driver.state = self.observer.now.state.clone()  # it remembers what it has seen

    @property
    def other(self) -> str | None:
        """Who else could drive here."""
        blind = {AUTOPILOT} if self.dreaming else set()  # it needs the track's geometry, and a dream has none
        return next((name for name in self.drivers if name not in {self.who} | blind), None)

    @property
    def driver(self) -> Driver:
        """Who is at the wheel."""
        return self.drivers[self.who]

    @property
    def person(self) -> Person | None:
        """Who is at the wheel, if it is a person."""
        solo = self.driver.solos[0] if isinstance(self.driver, PerTrack) else None
        return solo if isinstance(solo, Person) else None

    @property
    def where(self) -> str:
        """Which of the two worlds it is."""
        return "in the dream" if self.dreaming else "on the real track"

    @property
    def at_home(self) -> bool:
        """Whether the episode was driven from its beginning by the driver and in the world that the place was made with."""
        return (self.drove, self.dreaming, self.here) == self.home

    @property
    def rewards(self) -> list[float]:
        """Of the steps so far."""
        return self.tape.rewards

    @property
    def over(self) -> bool:
        """Whether the track, or M, has ended the episode."""
        return self.tape.terminated

    @property
    def ending(self) -> str:
        """Why the episode has ended."""
        if not self.over:
            return "time is over"
        if self.dreaming:
            return "the dream predicted the end"
        return LAP if self.tape.info["lap_finished"] else "left the playfield"

    @property
    def speed(self) -> float:
        """Units/s; no number in a dream, which knows of no car."""
        return self.tape.speeds[-1]

    @property
    def action(self) -> np.ndarray:
        """(3,) the last stock action."""
        return self.tape.actions[-1] if self.tape.actions else np.zeros(3, np.float32)

    def view(self) -> View | None:
        """What V and M make of the present frame."""
        return self.observer.view() if self.observer else None

    def picture(self, height: int) -> pygame.Surface:
        """What there is to be seen now, `height` pixels high: the track, or V's frame."""
        if self.scene:
            return self.scene.draw(height)
        size = height * WINDOW_W // WINDOW_H, height
        frame = cv2.resize(self.tape.frames[-1], size, interpolation=cv2.INTER_CUBIC)
        return pygame.image.frombuffer(frame.tobytes(), size, "RGB")


def told(who: str) -> str:
    """A driver's name, short."""
    return Path(who).name or who
