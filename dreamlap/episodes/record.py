"""Collecting: drivers on many tracks, in many processes, into one store."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from joblib import Parallel, delayed
from joblib.externals.loky.process_executor import TerminatedWorkerError

from dreamlap.drivers import Driver, DriverConfig, build_driver
from dreamlap.episodes.store import Episode, EpisodeStore
from dreamlap.progress import meter
from dreamlap.seeds import numpy_generator, training_track
from dreamlap.track import FastCarRacing, TrackConfig

SIDE_BY_SIDE = 8
"""Episodes that one worker drives at once. Fixed, so that the number of workers changes nothing but the time."""


@dataclass(frozen=True)
class Lot:
    """Episodes that one worker drives side by side."""

    store: Path
    driver: DriverConfig
    seeds: dict[str, int]  # name of the episode -> seed of its chance and its track
    track: TrackConfig
    steps: int
    random_start: float
    about: dict[str, str] = field(default_factory=dict)


def collect(
    store: EpisodeStore,
    prefix: str,
    episodes: int,
    driver: DriverConfig,
    track: TrackConfig,
    seed: int,
    steps: int = 1000,
    random_start: float = 0.0,
    workers: int = 2,
) -> None:
    """Drive `episodes` episodes of up to `steps` steps and keep them as PREFIX-00000 ...; those that are there are not driven again.

    `random_start`: share of the episodes that begin on a random tile of the track.
    """
    names = {f"{prefix}-{i:05d}": i for i in range(episodes)}
    lots = [
        Lot(store.folder, driver, {name: training_track(prefix, i, seed=seed) for name, i in group}, track, steps, random_start)
        for group in _groups(list(names.items()), SIDE_BY_SIDE)
        if any(name not in store for name, _ in group)
    ]
    left = sum(len(lot.seeds) for lot in lots)
    with meter(f"{Path(driver.kind).name} drives", episodes, episodes - left) as bar:
        for driven in _in_parallel(lots, workers):
            bar.advance(driven)


def _groups(items: list[tuple[str, int]], size: int) -> list[list[tuple[str, int]]]:
    return [items[i : i + size] for i in range(0, len(items), size)]


def _in_parallel(lots: list[Lot], workers: int):
    try:
        yield from Parallel(n_jobs=workers, return_as="generator_unordered")(delayed(drive_lot)(lot) for lot in lots)
    except TerminatedWorkerError as error:
        raise RuntimeError(
            "a collecting process died (out of memory, or killed); every episode finished so far is kept. "
            f"Run the same command again to go on, with fewer workers if memory was short. {error}"
        ) from error


def drive_lot(lot: Lot) -> int:
    """Drive a lot and write its episodes -> how many."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        driver = build_driver(lot.driver, len(lot.seeds))
        for name, episode in zip(lot.seeds, drive(driver, lot), strict=True):
            EpisodeStore(lot.store).write(name, episode)
    finally:
        torch.set_num_threads(threads)
    return len(lot.seeds)


def drive(driver: Driver, lot: Lot) -> list[Episode]:
    """One episode on every track, side by side until the last one has ended."""
    tracks = [FastCarRacing(size=lot.track.size, bar=lot.track.bar) for _ in lot.seeds]
    tapes = []
    for i, (track, seed) in enumerate(zip(tracks, lot.seeds.values(), strict=True)):
        chance = numpy_generator(seed, "drive")
        options = {"start_tile": "random"} if chance.random() < lot.random_start else None
        frame, _ = track.reset(seed=seed, options=options)
        driver.reset(i, track, chance)
        tapes.append(Tape(track, frame, {"track": seed, "driver": lot.driver.kind}))
    for _ in range(lot.steps):
        actions = driver.act(np.stack([tape.frames[-1] for tape in tapes]))
        for tape, action in zip(tapes, actions, strict=True):
            tape.step(action)
        if all(tape.terminated for tape in tapes):
            break
    for track in tracks:
        track.close()
    return [tape.episode() for tape in tapes]


class Tape:
    """Records one track; once its episode has ended it stands still."""

    def __init__(self, track: FastCarRacing, frame: np.ndarray, about: dict[str, str | int]):
        self.track, self.about = track, about
        self.frames, self.speeds = [frame], [self._speed()]
        self.actions: list[np.ndarray] = []
        self.rewards: list[float] = []
        self.terminated = False

    def step(self, action: np.ndarray) -> None:
        """Drive and record one step, unless the episode has ended."""
        if self.terminated:
            return
        frame, reward, self.terminated, _, _ = self.track.step(action)
        self.frames.append(frame), self.speeds.append(self._speed())
        self.actions.append(action), self.rewards.append(float(reward))

    def _speed(self) -> float:
        car = self.track.car
        return car.hull.linearVelocity.length if car else 0.0

    def episode(self) -> Episode:
        """What was recorded."""
        actions, rewards = np.array(self.actions, np.float32), np.array(self.rewards, np.float32)
        speeds = np.array(self.speeds, np.float32)
        return Episode(np.stack(self.frames), actions, rewards, speeds, self.terminated, not self.terminated, self.about)


