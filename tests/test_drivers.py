"""Drivers drive as they promise: reproducibly, and with the variety that M has to learn from."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from gymnasium.envs.box2d.car_dynamics import Car

from benchmarks.keys import Presser, press
from dreamlap.drivers import Autopilot, CorrelatedDriver, Driver, PerTrack, RandomDriver, Solo
from dreamlap.drivers.person import STRAIGHTEN, TURN
from dreamlap.errors import Refused
from dreamlap.track import STOCK, FastCarRacing

NO_FRAME = np.empty(0)


def car_of(track: FastCarRacing) -> Car:
    assert track.car is not None
    return track.car


def drive(solo: Solo, seed: int, steps: int = 1000, reverse: bool = False) -> tuple[float, FastCarRacing, list[np.ndarray]]:
    """(return, track at the end, actions)."""
    track = FastCarRacing()
    track.blind = True
    track.reset(seed=seed, options={"reverse": reverse})
    solo.reset(track, np.random.default_rng(seed))
    total, actions = 0.0, []
    for _ in range(steps):
        actions.append(solo.act(NO_FRAME))
        _, reward, ended, _, _ = track.step(actions[-1])
        total += float(reward)
        if ended:
            break
    return total, track, actions


@pytest.mark.parametrize("make", [RandomDriver, CorrelatedDriver, lambda: Autopilot(noise=(0.1, 0.5), speed=(0.5, 1.1))])
def test_drivers_are_reproducible_and_legal(make: Callable[[], Solo]) -> None:
    (_, _, first), (_, _, again) = drive(make(), 21, 200), drive(make(), 21, 200)
    assert np.array_equal(first, again)
    actions = np.array(first)
    assert actions.dtype == np.float32
    assert ((actions >= STOCK.low) & (actions <= STOCK.high)).all()


def test_the_correlated_driver_gets_going_and_off_the_road() -> None:
    track, driver = FastCarRacing(), CorrelatedDriver()
    track.blind = True
    track.reset(seed=22)
    driver.reset(track, np.random.default_rng(22))
    off = 0
    for _ in range(500):
        track.step(driver.act(NO_FRAME))
        off += not any(w.tiles for w in car_of(track).wheels)
    assert track.tile_visited_count > 10
    assert 50 < off < 450


@pytest.mark.parametrize("reverse", [False, True])
def test_the_autopilot_finishes_laps(reverse: bool) -> None:
    scores = [drive(Autopilot(), seed, reverse=reverse)[0] for seed in range(31, 37)]
    assert np.mean(scores) > 915


def test_the_autopilot_is_varied_on_demand() -> None:
    slow = drive(Autopilot(speed=0.5), 31, 300)[1]
    fast = drive(Autopilot(), 31, 300)[1]
    assert slow.tile_visited_count < 0.8 * fast.tile_visited_count
    left, right = (drive(Autopilot(offset=offset), 31, 150)[1] for offset in (-3.0, 3.0))
    assert (car_of(left).hull.position - car_of(right).hull.position).length > 2


def test_four_keys_drive_in_steps_as_a_keyboard_does() -> None:
    total, _, actions = drive(Presser(), 25, 500)
    assert total > 300
    steer, gas, brake = np.array(actions).T
    turns = np.abs(np.diff(steer))
    assert turns.max() <= STRAIGHTEN + 1e-6
    assert np.median(turns[turns > 1e-6]) == pytest.approx(TURN, abs=1e-3)
    assert gas.min() == 0
    assert gas.max() == pytest.approx(1)
    assert brake.max() > 0.05


def test_drives_by_keys_are_the_same_again_and_others_are_refused(tmp_path: Path) -> None:
    press(tmp_path, episodes=1, steps=20, seed=3)
    before = (tmp_path / "keys-00000.episode").read_bytes()
    press(tmp_path, episodes=1, steps=20, seed=3)
    for other in ({"steps": 21, "seed": 3}, {"steps": 20, "seed": 4}):
        with pytest.raises(Refused, match="is another episode: choose another folder"):
            press(tmp_path, episodes=1, **other)
    assert (tmp_path / "keys-00000.episode").read_bytes() == before


@pytest.mark.parametrize("seed", [301, 304, 307])
def test_the_autopilot_comes_back_to_the_road(seed: int) -> None:
    track, rng = FastCarRacing(), np.random.default_rng(seed)
    track.blind = True
    track.reset(seed=seed)
    for _ in range(180):  # straight on at full gas, and spinning at last
        track.step(np.array([0.05, 1, 0], np.float32))
    assert not any(w.tiles for w in car_of(track).wheels)
    before = track.tile_visited_count
    pilot = Autopilot()
    pilot.reset(track, rng)
    for _ in range(700):
        if track.step(pilot.act(NO_FRAME))[2]:
            break
    assert all(w.tiles for w in car_of(track).wheels)
    assert track.tile_visited_count > before + 20


def test_per_track_drives_many() -> None:
    driver: Driver = PerTrack(RandomDriver, 3)
    track = FastCarRacing()
    track.blind = True
    track.reset(seed=1)
    for i in range(3):
        driver.reset(i, track, np.random.default_rng(i % 2))
    actions = driver.act(np.zeros((3, 8, 8, 3), np.uint8))
    assert actions.shape == (3, 3)
    assert np.array_equal(actions[0], actions[2])
    assert not np.array_equal(actions[0], actions[1])
