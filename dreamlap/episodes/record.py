"""Collecting: drivers on many tracks, in many processes, into one store."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dreamlap.drivers import Driver, DriverConfig, build_driver
from dreamlap.episodes.store import Episode, EpisodeStore
from dreamlap.mind.world import DreamTrack, open_world, ways_to_begin
from dreamlap.parallel import in_parallel
from dreamlap.progress import meter
from dreamlap.seeds import numpy_generator, training_track
from dreamlap.track import ActionForm, FastCarRacing, TrackConfig, action_form

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
    reverse: float
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
    reverse: float = 0.0,
    workers: int = 2,
) -> None:
    """Drive `episodes` episodes of up to `steps` steps and keep them as PREFIX-00000, PREFIX-00001 ...

    Those that are there already are not driven again.
    `random_start`: share of the episodes that begin on a random tile of the track; `reverse`: share that drive the lap the
    other way round.
    """
    names = {f"{prefix}-{i:05d}": i for i in range(episodes)}
    lots = [
        Lot(
            store.folder,
            driver,
            {name: training_track(prefix, i, seed=seed) for name, i in group},
            track,
            steps,
            random_start,
            reverse,
        )
        for group in _groups(list(names.items()), SIDE_BY_SIDE)
        if any(name not in store for name, _ in group)
    ]
    left = sum(len(lot.seeds) for lot in lots)
    with meter(f"{Path(driver.kind).name} drives", episodes, episodes - left) as bar:
        for driven in in_parallel(drive_lot, lots, workers):
            bar.advance(driven)


def _groups(items: list[tuple[str, int]], size: int) -> list[list[tuple[str, int]]]:
    return [items[i : i + size] for i in range(0, len(items), size)]


def drive_lot(lot: Lot) -> int:
    """Drive a lot and write its episodes -> how many."""
    driver = build_driver(lot.driver, len(lot.seeds))
    for name, episode in zip(lot.seeds, drive(driver, lot), strict=True):
        EpisodeStore(lot.store).write(name, episode)
    return len(lot.seeds)


def drive(driver: Driver, lot: Lot) -> list[Episode]:
    """One episode on every track, side by side until the last one has ended."""
    worlds, form = [open_world(lot.track) for _ in lot.seeds], action_form(lot.track.actions)
    tapes = [
        begin(driver, i, world, seed, lot.driver.kind, lot.random_start, lot.reverse)
        for i, (world, seed) in enumerate(zip(worlds, lot.seeds.values(), strict=True))
    ]
    for _ in range(lot.track.decisions(lot.steps)):
        actions = decide(driver, tapes, form)
        for tape, action in zip(tapes, actions, strict=True):
            tape.step(action)
        if all(tape.terminated for tape in tapes):
            break
    for world in worlds:
        world.close()
    return [tape.episode() for tape in tapes]


def begin(
    driver: Driver,
    i: int,
    world: FastCarRacing | DreamTrack,
    seed: int,
    kind: str,
    random_start: float = 0.0,
    reverse: float = 0.0,
) -> "Tape":
    """Begin an episode with the driver's slot `i` at the wheel; all its chance comes from `seed`."""
    if kind == "autopilot" and not isinstance(world, FastCarRacing):
        raise ValueError("the autopilot steers by the real track's geometry, and a dream has none: choose another driver")
    chance = numpy_generator(seed, "drive")
    frame, _ = world.reset(seed=seed, options=ways_to_begin(chance, random_start, reverse))
    driver.reset(i, world, chance)
    return Tape(world, frame, {"track": seed, "driver": kind})


def decide(driver: Driver, tapes: Sequence["Tape"], form: ActionForm) -> np.ndarray:
    """(N, 3) what the driver does now on N tracks: only what C could do, for M is to learn what C's actions do."""
    wishes = driver.act(np.stack([tape.frames[-1] for tape in tapes]))
    return form.to_stock(form.from_stock(wishes))


class Tape:
    """Records one track; once its episode has ended it stands still."""

    def __init__(self, track: FastCarRacing | DreamTrack, frame: np.ndarray, about: dict[str, str | int]):
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
        self.frames.append(frame)
        self.speeds.append(self._speed())
        self.actions.append(action)
        self.rewards.append(float(reward))

    def _speed(self) -> float:
        car = self.track.car
        return car.hull.linearVelocity.length if car else float("nan")

    def episode(self) -> Episode:
        """What was recorded."""
        actions, rewards = np.array(self.actions, np.float32), np.array(self.rewards, np.float32)
        speeds = np.array(self.speeds, np.float32)
        return Episode(np.stack(self.frames), actions, rewards, speeds, self.terminated, not self.terminated, self.about)
