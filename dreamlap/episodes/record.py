"""Collecting: drivers on many tracks, in many processes, into one store."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, NamedTuple

import numpy as np

from dreamlap.agent import bringing, load, load_agent
from dreamlap.drivers import Driver, DriverConfig, build_driver
from dreamlap.episodes.episode import Episode
from dreamlap.episodes.store import EpisodeFile, EpisodeStore, Packed, pack
from dreamlap.errors import Refused
from dreamlap.files import Owned
from dreamlap.mind.world import DreamTrack, open_world, open_worlds, step_all, ways_to_begin
from dreamlap.named import SCRIPTED
from dreamlap.parallel import in_parallel
from dreamlap.progress import counted, meter, notes
from dreamlap.seeds import numpy_generator, training_track
from dreamlap.settings import SEED, SHARE, WORKERS, checked, deviations, differences, least
from dreamlap.track import ActionForm, FastCarRacing, TrackConfig, action_form
from dreamlap.weights import checksum

SIDE_BY_SIDE = 8
"""Episodes that one worker drives at once. Fixed, so that the number of workers changes nothing but the time."""


@dataclass(frozen=True)
class Lot:
    """Episodes that one worker drives side by side."""

    driver: DriverConfig
    seeds: dict[str, int]  # name of the episode -> seed of its chance and its track
    wanted: set[str]  # names of those that are to be kept: the others are there already
    track: TrackConfig
    steps: int
    random_start: float
    reverse: float
    patience: int
    made: dict[str, Any]  # what every episode records of how it was made


@checked
def collect(
    store: EpisodeStore,
    prefix: str,
    episodes: Annotated[int, least(1)],
    driver: DriverConfig,
    track: TrackConfig,
    seed: Annotated[int, SEED],
    steps: Annotated[int, least(1)] = 1000,
    random_start: Annotated[float, SHARE] = 0.0,
    reverse: Annotated[float, SHARE] = 0.0,
    workers: Annotated[int, WORKERS] = 2,
    patience: Annotated[int, least(0)] = 0,
) -> list[str]:
    """Drive `episodes` episodes of up to `steps` steps and keep them as PREFIX-00000, PREFIX-00001 ... -> their names.

    An episode records what made it. Those that are there and were made so are not driven again. Where a name is taken by an
    episode that was made otherwise, that one stays as it is, and the new one gets a name of its own.
    `random_start`: share of the episodes that begin on a random tile of the track; `reverse`: share that drive the lap the
    other way round. An episode ends early when it has earned nothing for `patience` steps of the track; 0: never.
    """
    check_driver(driver, track)
    with Owned(store.folder):
        return _collect(store, prefix, episodes, driver, track, seed, steps, random_start, reverse, workers, patience)


def _collect(
    store: EpisodeStore, prefix: str, episodes: int, driver: DriverConfig, track: TrackConfig, seed: int, steps: int,
    random_start: float, reverse: float, workers: int, patience: int,
) -> list[str]:  # fmt: skip
    """What `collect` does once nothing stands against it."""
    made = recipe(driver, track, steps, random_start, reverse, seed, patience)
    tracks = [training_track(prefix, i, seed=seed) for i in range(episodes)]
    places = [_place(store, prefix, i, made, track_seed, driver, track) for i, track_seed in enumerate(tracks)]
    names, found = [place.name for place in places], {place.name for place in places if place.there}
    if other := next((place.other for place in places if place.other is not None), None):
        notes.print(f"{store.folder} holds episodes of that name already, made with other settings ({other}). They stay.")
    lots = [
        Lot(driver, dict(group), {name for name, _ in group} - found, track, steps, random_start, reverse, patience, made)
        for group in _groups(list(zip(names, tracks, strict=True)), SIDE_BY_SIDE)
        if any(name not in found for name, _ in group)
    ]
    if not lots:
        notes.print(f"{counted(episodes, 'episode')} in {store.folder} already: nothing is driven")
        return names
    drive_lots = bringing(drive_lot, "" if driver.kind in SCRIPTED else driver.kind, track.dream)
    with meter(f"{driver.name} drives", episodes, len(found)) as bar:
        for driven in in_parallel(drive_lots, lots, workers):
            for name, episode in driven.items():
                store.write(name, episode)
            bar.advance(len(driven))
    return names


class _Place(NamedTuple):
    """Where an episode goes."""

    name: str
    there: bool
    """Whether it is there already."""
    other: str | None = None
    """If its first name is taken by an episode that was made otherwise: in what settings."""


def _place(
    store: EpisodeStore,
    prefix: str,
    number: int,
    made: dict[str, Any],
    track_seed: int,
    driver: DriverConfig,
    track: TrackConfig,
) -> _Place:
    """The name of episode `number`; if an episode that was made otherwise has it, one that tells them apart."""
    other = None
    for mark in ("", f"-{checksum([], json.dumps(made, sort_keys=True))[:8]}"):
        name = f"{prefix}-{number:05d}{mark}"
        if name not in store:
            return _Place(name, False, other)
        there = store.open(name)
        if _made_so(there, made, track_seed, driver.kind, track):
            return _Place(name, True, other)
        other = "; ".join(differences(there.about.get("made", {}), made)) or "by a version that did not write them down"
    raise Refused(f"{store.folder / name} is not what its name says: choose another folder, or delete it")


def check_driver(driver: DriverConfig, track: TrackConfig) -> None:
    """Refuse, before anything is driven, a driver that is not there or cannot drive what `track` describes.

    Raises:
        Refused, OSError: the message says what to do.
    """
    world = open_world(track)
    try:
        if driver.kind == "autopilot" and not isinstance(world, FastCarRacing):
            raise Refused("the autopilot steers by the real track's geometry, and a dream has none: choose another driver")
        if driver.kind not in SCRIPTED:
            build_driver(driver, 1).reset(0, world, numpy_generator(0))
    finally:
        world.close()


def recipe(
    driver: DriverConfig,
    track: TrackConfig,
    steps: int,
    random_start: float,
    reverse: float,
    seed: int,
    patience: int = 0,
) -> dict[str, Any]:
    """What an episode records of how it was made: settings that differ from their defaults, agents by their fingerprints."""
    if driver.kind in SCRIPTED:
        who: dict[str, Any] = {"kind": driver.kind} | (deviations(driver) if driver.kind == "autopilot" else {})
    else:
        who = {"kind": load(driver.kind).fingerprint, "noise": list(driver.noise)}
    made = {"driver": who, "track": seen(track), "steps": steps, "random_start": random_start, "reverse": reverse, "seed": seed}
    made |= {"patience": patience} if patience else {}
    return json.loads(json.dumps(made))


def driven_otherwise(about: Mapping[str, Any], track: TrackConfig) -> tuple[str, str] | None:
    """How an episode was driven and how `track` is, as flags, where they differ in what a step lasts or whether the frames have
    the instrument bar. An episode that does not say how it was made may be of any."""
    if not isinstance(made := about.get("made"), dict) or not isinstance(there := made.get("track", {}), dict):
        return None
    its = replace(TrackConfig(), **{name: there[name] for name in ("repeat", "bar") if name in there})
    if (its.repeat, its.bar) == (track.repeat, track.bar):
        return None
    each = [f"--track.repeat {one.repeat} --track.{'' if one.bar else 'no-'}bar" for one in (its, track)]
    return each[0], each[1]


def seen(track: TrackConfig) -> dict[str, Any]:
    """What an episode records of the track: settings that differ from their defaults, and whose dream it is."""
    return deviations(track) | ({"dream": load_agent(track.dream).dream_fingerprint} if track.dream else {})


def _made_so(there: EpisodeFile, made: dict[str, Any], track_seed: int, kind: str, track: TrackConfig) -> bool:
    """Whether an episode is what collecting would make. One of an older version, which tells less, is taken at its word."""
    if "made" in there.about:
        return there.about["made"] == made and there.about.get("track") == track_seed
    told = (there.about.get("track"), there.about.get("driver"), there.shape[1:3])
    return told == (track_seed, kind, (track.size, track.size))


def _groups(items: list[tuple[str, int]], size: int) -> list[list[tuple[str, int]]]:
    return [items[i : i + size] for i in range(0, len(items), size)]


def drive_lot(lot: Lot) -> dict[str, Packed]:
    """Drive a lot -> those of its episodes that are wanted, by their names."""
    driven = zip(lot.seeds, drive(build_driver(lot.driver, len(lot.seeds)), lot), strict=True)
    return {name: pack(episode, name) for name, episode in driven if name in lot.wanted}


def drive(driver: Driver, lot: Lot) -> list[Episode]:
    """One episode on every track, side by side until the last one has ended."""
    worlds, form = open_worlds(lot.track, len(lot.seeds)), action_form(lot.track.actions)
    tapes = [
        begin(driver, i, world, seed, {"driver": lot.driver.kind, "made": lot.made}, lot.random_start, lot.reverse)
        for i, (world, seed) in enumerate(zip(worlds, lot.seeds.values(), strict=True))
    ]
    patience = lot.track.decisions(lot.patience)
    for _ in range(lot.track.decisions(lot.steps)):
        actions = decide(driver, tapes, form)
        on = [i for i, tape in enumerate(tapes) if not tape.over(patience)]
        for i, *made in zip(on, *step_all([worlds[i] for i in on], actions[on]), strict=True):
            tapes[i].record(actions[i], *made)
        if all(tape.over(patience) for tape in tapes):
            break
    for world in worlds:
        world.close()
    return [tape.episode() for tape in tapes]


def begin(
    driver: Driver,
    i: int,
    world: FastCarRacing | DreamTrack,
    seed: int,
    about: dict[str, Any],
    random_start: float = 0.0,
    reverse: float = 0.0,
) -> "Tape":
    """Begin an episode with the driver's slot `i` at the wheel; all its chance comes from `seed`. It records `about`."""
    chance = numpy_generator(seed, "drive")
    frame, _ = world.reset(seed=seed, options=ways_to_begin(chance, random_start, reverse))
    driver.reset(i, world, chance)
    return Tape(world, frame, {"track": seed, **about})


def decide(driver: Driver, tapes: Sequence["Tape"], form: ActionForm) -> np.ndarray:
    """(N, 3) what the driver does now on N tracks: only what C could do, for M is to learn what C's actions do."""
    wishes = driver.act(np.stack([tape.frames[-1] for tape in tapes]))
    return form.to_stock(form.from_stock(wishes))


class Tape:
    """Records one track; once its episode has ended it stands still."""

    def __init__(self, track: FastCarRacing | DreamTrack, frame: np.ndarray, about: dict[str, Any]):
        self.track, self.about = track, about
        self.frames, self.speeds = [frame], [self._speed()]
        self.actions: list[np.ndarray] = []
        self.rewards: list[float] = []
        self.terminated, self.idle = False, 0
        self.info: dict[str, Any] = {}

    def step(self, action: np.ndarray) -> None:
        """Drive and record one step, unless the episode has ended."""
        if self.terminated:
            return
        frame, reward, terminated, _, self.info = self.track.step(action)
        self.record(action, frame, reward, terminated)

    def record(self, action: np.ndarray, frame: np.ndarray, reward: float, terminated: bool) -> None:
        """Keep a step that was driven."""
        self.terminated = bool(terminated)
        self.frames.append(frame)
        self.speeds.append(self._speed())
        self.actions.append(action)
        self.rewards.append(float(reward))
        self.idle = 0 if reward > 0 else self.idle + 1

    def over(self, patience: int) -> bool:
        """Whether the episode has ended, or has earned nothing for `patience` decisions; 0: however long."""
        return self.terminated or 0 < patience <= self.idle

    def _speed(self) -> float:
        car = self.track.car
        return car.hull.linearVelocity.length if car else float("nan")

    def episode(self) -> Episode:
        """What was recorded."""
        actions, rewards = np.array(self.actions, np.float32), np.array(self.rewards, np.float32)
        speeds = np.array(self.speeds, np.float32)
        return Episode(np.stack(self.frames), actions, rewards, speeds, self.terminated, not self.terminated, self.about)
