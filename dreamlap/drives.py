"""Whole episodes on the stock track, the fast one, those of the robustness exam, or in a dream: what a score is made of."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np

from dreamlap.agent import Agent, load
from dreamlap.config.parts import LIMIT
from dreamlap.drivers import seat
from dreamlap.errors import Refused
from dreamlap.expert import Expert
from dreamlap.mind.world import open_world
from dreamlap.protocol import TRACKS
from dreamlap.track import STOCK, FastCarRacing
from dreamlap.track.exam import FastExam


class Drive(NamedTuple):
    """A whole episode."""

    total: float
    """The return."""
    steps: int
    lap: bool
    """Whether the lap was finished."""


class Function:
    """A function from the stock track's frames, (96, 96, 3) uint8, to its actions, three numbers: it drives like an agent."""

    fingerprint = None
    """Nothing tells whether two functions do the same."""

    def __init__(self, function: Callable[[np.ndarray], Any]):
        self.function = function
        self.about = {"function": getattr(function, "__qualname__", type(function).__qualname__)}

    def reset(self) -> None:
        """A function remembers nothing that we know of."""

    def act(self, frame: np.ndarray) -> np.ndarray:
        """See the class; arrays, lists, tuples and tensors of numbers are taken, and clipped to the track's bounds."""
        return STOCK.to_stock(self.function(frame))


Actor = Agent | Expert | Function
"""Whatever drives a track by `reset` and `act`."""
Candidate = Path | str | Agent | Expert | Callable[[np.ndarray], Any]
"""What can be scored: an agent in a folder, or of a name; one that is loaded; or a function from frames to actions."""


def at_the_wheel(driver: Candidate) -> Actor:
    """What drives for a candidate."""
    if isinstance(driver, Path | str):
        return load(driver)
    if isinstance(driver, Agent | Expert):
        return driver
    if callable(driver):
        return Function(driver)
    raise Refused(f"a driver is the folder of an agent, an agent, or a function from frames to actions, not {driver!r:.60}")


def drive_lot(driver: Candidate, track: str, seeds: Sequence[int]) -> list[Drive]:
    """Whole episodes, one on each of the tracks `seeds`."""
    if is_fast(track) and not isinstance(actor := at_the_wheel(driver), Function):
        return drive_side_by_side(actor, seeds, track)
    return [drive_track(driver, track, seed) for seed in seeds]


def is_fast(track: str) -> bool:
    """Whether it is the fast track, or one of its exam: whoever is called so."""
    return track in TRACKS and track.startswith("fast")


def drive_side_by_side(agent: Agent | Expert, seeds: Sequence[int], track: str = "fast") -> list[Drive]:
    """The same on fast tracks at once, so that V and M look at many frames in one go: twice as fast as one by one."""
    seen, driver = agent.config.track, seat(agent, len(seeds))
    make, told = (FastCarRacing if track == "fast" else FastExam), TRACKS[track][1]
    tracks = [make(**told, size=seen.size, bar=seen.bar, repeat=seen.repeat) for _ in seeds]
    frames = np.stack([one.reset(seed=seed)[0] for one, seed in zip(tracks, seeds, strict=True)])
    for i, one in enumerate(tracks):
        driver.reset(i, one, np.random.default_rng(0))  # the driver has no noise to draw
    total, steps = np.zeros(len(seeds)), np.zeros(len(seeds), int)
    over, laps = np.zeros(len(seeds), bool), np.zeros(len(seeds), bool)
    while not over.all():
        actions = driver.act(frames)
        for i in np.flatnonzero(~over):
            frames[i], reward, terminated, _, info = tracks[i].step(actions[i])
            total[i], steps[i] = total[i] + reward, steps[i] + seen.repeat
            over[i], laps[i] = terminated or steps[i] >= LIMIT, bool(info.get("lap_finished", False))
    for one in tracks:
        one.close()
    return [_finite(Drive(*drive)) for drive in zip(total.tolist(), steps.tolist(), laps.tolist(), strict=True)]


def _finite(drive: Drive) -> Drive:
    """The drive, if its return is a number: an agent that gets another one is never scored, and never chosen."""
    if not math.isfinite(drive.total):
        raise Refused(
            f"after {drive.steps} steps the return is {drive.total}: the agent, or its dream, is broken. Train or copy it again"
        )
    return drive


def drive_track(driver: Candidate, track: str, seed: int) -> Drive:
    """One whole episode on the track `seed`."""
    if track not in TRACKS and isinstance(driver, Path | str):
        return drive_dream(load(driver), str(driver) if track == "dream" else track, seed)
    name, told = TRACKS[track]
    env = gym.make(name, **told)
    try:
        return drive_episode(at_the_wheel(driver), env, seed)
    finally:
        env.close()


def drive_dream(agent: Agent | Expert, folder: str, seed: int, steps: int = LIMIT) -> Drive:
    """Drive in the dream of the agent in `folder`, from an initial state of its own: M predicts the return; there is no lap."""
    world, driver = open_world(replace(agent.config.track, dream=folder)), seat(agent, 1)
    frame, _ = world.reset(seed=seed)
    total, step, over = 0.0, 0, False
    while step < agent.config.track.decisions(steps) and not over:
        frame, reward, over, _, _ = world.step(driver.act(frame[None])[0])
        total, step = total + reward, step + 1
    return _finite(Drive(total, step, False))


def drive_episode(actor: Actor, env: gym.Env[np.ndarray, np.ndarray], seed: int) -> Drive:
    """Drive to the end of the episode."""
    actor.reset()
    frame, _ = env.reset(seed=seed)
    total, steps, over, info = 0.0, 0, False, {}
    while not over:
        frame, reward, terminated, truncated, info = env.step(actor.act(frame))
        total, steps, over = total + float(reward), steps + 1, terminated or truncated
    return _finite(Drive(total, steps, bool(info.get("lap_finished", False))))
