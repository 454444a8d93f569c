"""How fast the fast track is, and how like the stock one: python -m benchmarks.track [--seeds 50] [--laps 3].

Speed is over whole episodes with their resets and without the driver: a lap's actions are driven once, unseen, and then
replayed on every kind of track. On one core it is steps per second of processor time, on two (two processes, or EnvPool's two
threads) of wall-clock time, so let nothing else run. Figures are of one machine on one day; it is the ratios that travel.
EnvPool is compared if it is there: `pip install -c constraints.txt envpool` (it stays out of our own dependencies).
"""

import argparse
import importlib
import multiprocessing
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any

import cv2
import numpy as np
from gymnasium.envs.box2d.car_racing import FPS, CarRacing
from rich.table import Column, Table

from dreamlap.config.parts import LIMIT
from dreamlap.drivers import Autopilot
from dreamlap.parallel import in_parallel
from dreamlap.progress import console, meter
from dreamlap.track import FastCarRacing
from dreamlap.track.car import lay_car
from dreamlap.track.frames import ROAD_ROWS
from dreamlap.track.ground import FULL_ZOOM
from dreamlap.track.panel import lay_panel

ENVPOOL = "EnvPool"
Lap = tuple[int, list[np.ndarray]]
"""A seed and the actions of an episode on its track."""


def drive(seed: int, pilot: Autopilot, track: FastCarRacing) -> Iterator[np.ndarray]:
    """The actions of one episode, one by one, while `track` goes along; wild now and then if the pilot is noisy."""
    rng = np.random.default_rng(seed)
    pilot.reset(track, rng)
    for step in range(LIMIT):
        wild = pilot.noise and step % 200 < seed * 7 % 40
        yield np.array([np.sin(seed + step / 50), 1, 0], np.float32) if wild else pilot.act(np.empty(0))


def record(seeds: range) -> list[Lap]:
    """Laps of the autopilot at full speed."""
    track, laps = FastCarRacing(), []
    track.blind = True
    for seed in seeds:
        track.reset(seed=seed)
        actions = []
        for action in drive(seed, Autopilot(), track):
            actions.append(action)
            if track.step(action)[2]:
                break
        laps.append((seed, actions))
    return laps


def replay(make: Callable[[], CarRacing], laps: list[Lap]) -> int:
    """Drives the laps over again, with their resets -> steps."""
    track = make()
    for seed, actions in laps:
        track.reset(seed=seed)
        for action in actions:
            track.step(action)
    return sum(len(actions) for _, actions in laps)


def speed(drive: Callable[[], int], clock: Callable[[], float]) -> float:
    """Steps/s of `drive`, which returns how many it made: the better of two rounds."""
    rates = []
    for _ in range(2):
        began = clock()
        steps = drive()
        rates.append(steps / (clock() - began))
    return max(rates)


def blind() -> FastCarRacing:
    """A track that draws nothing."""
    track = FastCarRacing()
    track.blind = True
    return track


def small() -> FastCarRacing:
    """A track with frames of 64×64."""
    return FastCarRacing(size=64)


def speeds(make: Callable[[], CarRacing], laps: list[Lap]) -> tuple[float, float]:
    """Steps/s on one core, and of two processes on two."""
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        list(pool.map(replay, [make] * 2, [laps[:1]] * 2))  # start both and warm them up
        two = speed(lambda: sum(pool.map(replay, [make] * 2, [laps] * 2)), time.perf_counter)
    return speed(partial(replay, make, laps), time.process_time), two


def envpool_speeds(laps: list[Lap]) -> tuple[float, float]:
    """The same of EnvPool, eight tracks and one thread a core; ImportError if it is not installed.

    Equal seeds make other tracks there, so it gets the same actions and as many steps between resets, but not the same race.
    """
    envpool: Any = importlib.import_module("envpool")

    def drive(pool: Any) -> int:
        for _, actions in laps:
            pool.reset()
            for action in actions:
                pool.step(np.tile(action, (len(pool), 1)))
        return len(pool) * sum(len(actions) for _, actions in laps)

    def pool(cores: int) -> Any:
        return envpool.make("CarRacing-v3", env_type="gymnasium", num_envs=8 * cores, num_threads=cores)

    return speed(partial(drive, pool(1)), time.process_time), speed(partial(drive, pool(2)), time.perf_counter)


def cost(act: Callable[[], Any], times: int) -> float:
    """Microseconds of processor time a call."""
    act()
    began = time.process_time()
    for _ in range(times):
        act()
    return (time.process_time() - began) / times * 1e6


def parts(lap: Lap) -> dict[str, float]:
    """Where the time of a step goes, microseconds."""
    track, blind_track = FastCarRacing(), blind()
    track.reset(seed=lap[0])
    for action in lap[1][:100]:
        track.step(action)
    car, ground, canvas = track.car, track._ground, track._canvas
    assert car is not None
    (x, y), angle = car.hull.position, car.hull.angle
    return {
        "Box2D and contacts": cost(lambda: track.world.Step(1 / FPS, 180, 60), 500),
        "car": cost(lambda: car.step(1 / FPS), 500),
        "ground": cost(lambda: ground.view(x, y, angle, FULL_ZOOM, canvas[:ROAD_ROWS]), 1000),
        "car's picture": cost(lambda: lay_car(car, FULL_ZOOM, canvas), 1000),
        "instrument bar": cost(lambda: lay_panel(car, 123.0, canvas[ROAD_ROWS:]), 1000),
        "a reset's painting": cost(lambda: ground.paint(track.road_poly, track.bg_color, track.grass_color), 5),
        "a reset's track": cost(lambda: blind_track.reset(seed=lap[0]), 5),
    }


def differences(seeds: range, randomize: bool) -> np.ndarray:
    """Mean absolute difference of pixels from stock's, (frames, 2) at 96 and at 64, over episodes on both cores."""
    with meter(f"{len(seeds)} tracks beside stock", len(seeds)) as bar:
        return np.concatenate(list(bar.over(in_parallel(partial(compare, randomize), seeds, 2))))


def compare(randomize: bool, seed: int) -> np.ndarray:
    """One episode on both tracks: how far the frames are apart, (frames, 2); asserts that all else is equal."""
    stock, fast = CarRacing(domain_randomize=randomize), FastCarRacing(domain_randomize=randomize)
    found = [_apart(stock.reset(seed=seed)[0], fast.reset(seed=seed)[0])]
    pilot = Autopilot(noise=(0, 0.6), speed=(0.6, 1.15), offset=(-3, 3))
    for action in drive(seed, pilot, fast):
        theirs, ours = stock.step(action), fast.step(action)
        assert theirs[1:] == ours[1:], f"seed {seed}: another race"
        assert _state(stock) == _state(fast), f"seed {seed}: another car"
        found.append(_apart(theirs[0], ours[0]))
        if theirs[2]:
            break
    return np.array(found)


def _state(track: CarRacing) -> list[Any]:
    assert track.car is not None
    bodies = (track.car.hull, *track.car.wheels)
    return [(*b.position, b.angle, *b.linearVelocity, b.angularVelocity) for b in bodies]


def _apart(theirs: Any, ours: Any) -> tuple[float, float]:
    reduced = [cv2.resize(frame, (64, 64), interpolation=cv2.INTER_AREA) for frame in (theirs, ours)]
    return tuple(np.abs(a.astype(np.int16) - b).mean() for a, b in ((theirs, ours), reduced))


def memory(tracks: int = 4) -> float:
    """MiB a track."""
    kept = [FastCarRacing() for _ in range(tracks + 1)]
    kept[0].reset(seed=9)  # what all tracks share; kept, for otherwise its memory would be used again
    before = _resident()
    for seed, track in enumerate(kept[1:]):
        track.reset(seed=seed)
    return (_resident() - before) / tracks


def growth(make: Callable[[], CarRacing], resets: int) -> float:
    """KiB that a reset leaves behind, over so many after half as many to warm up."""
    track = make()
    for seed in range(resets // 2):
        track.reset(seed=seed)
    before = _resident()
    for seed in range(resets):
        track.reset(seed=seed)
    return (_resident() - before) / resets * 1024


def alone(act: Callable[[], float]) -> float:
    """What it returns in a process of its own."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(act).result()


def _resident() -> float:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 / 2**20


def main() -> None:
    """Prints everything."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seeds", type=int, default=50, help="tracks on which frames are compared (some 5 s each)")
    options.add_argument("--laps", type=int, default=3, help="laps over which speed is measured")
    options.add_argument("--resets", type=int, default=1000, help="resets over which memory is measured")
    chosen = options.parse_args()
    laps = record(range(100, 100 + chosen.laps))
    print_speed(laps)
    console.print("microseconds:", ", ".join(f"{name} {value:.0f}" for name, value in parts(laps[0]).items()))
    left = [alone(partial(growth, make, chosen.resets)) for make in (FastCarRacing, CarRacing)]
    console.print(f"memory: {alone(memory):.1f} MiB a track; a reset leaves {left[0]:.1f} KiB behind, stock's {left[1]:.1f}")
    for randomize in (False, True):
        print_differences(differences(range(200, 200 + chosen.seeds), randomize), randomize)


def print_speed(laps: list[Lap]) -> None:
    """Steps per second, and ratios."""
    kinds = {"stock": CarRacing, "ours 96": FastCarRacing, "ours 64": small, "ours, not drawn": blind}
    found = {name: speeds(make, laps) for name, make in kinds.items()}
    try:
        found[ENVPOOL] = envpool_speeds(laps)
    except ImportError as error:
        console.print(f"{ENVPOOL} is not installed ({error}): compared without it")
    ratios = ("x stock", f"x {ENVPOOL}")
    table = Table(Column("steps/s", no_wrap=True), "one core", *ratios, "two cores", *ratios, "two over twice one", box=None)
    for name, both in found.items():
        cells = [name]
        for core, rate in enumerate(both):
            cells += [f"{rate:,.0f}", *(f"{rate / found[of][core]:.1f}" if of in found else "-" for of in ("stock", ENVPOOL))]
        table.add_row(*cells, f"{both[1] / (2 * both[0]):.2f}")
    console.print(table)


def print_differences(apart: np.ndarray, randomize: bool) -> None:
    """How far frames are from stock's."""
    found = [f"at {size} mean {a.mean():.3f}, worst {a.max():.2f}" for size, a in zip((96, 64), apart.T, strict=True)]
    console.print(f"frames ({'random' if randomize else 'stock'} colours, {len(apart)}), of 255:", "; ".join(found))


if __name__ == "__main__":
    main()
