"""The fast track is the stock track: same race to the bit, same frames but for a grey level here and there."""

import gc
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import gymnasium
import numpy as np
import pytest
from gymnasium.envs.box2d.car_dynamics import Car
from gymnasium.envs.box2d.car_racing import PLAYFIELD, CarRacing
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AsyncVectorEnv

from dreamlap.drivers import Autopilot
from dreamlap.errors import Refused
from dreamlap.track import DISCRETE, PEDAL, STOCK, FastCarRacing, TrackConfig, action_form, drift, off_road, seen_by, to_frame
from dreamlap.track.ground import SPARE, _spare
from dreamlap.track.marks import AROUND_CAR, GRAY, ROAD_GRAYS, ROAD_SHARES, _in_frame
from dreamlap.track.palette import find_ground, in_stock_colours

SEEDS = (11, 12, 13)


class UndrawnCarRacing(CarRacing):
    """The stock track without its drawing: the reference for everything but pixels, fast enough to drive long."""

    def _render(self, mode: str) -> Any:
        return np.zeros((96, 96, 3), np.uint8) if mode == "state_pixels" else super()._render(mode)


def varied(rng: np.random.Generator, step: int, action: np.ndarray) -> np.ndarray:
    """An action now and then disturbed by another one held for a while: off the road, spinning, locked wheels."""
    phase = step // 60 % 5
    wild = {1: [rng.uniform(-1, 1), 1, 0], 3: [rng.uniform(-1, 1), rng.random(), rng.choice([0.0, 0.5, 0.95])]}
    return np.array(wild[phase], np.float32) if phase in wild and step % 60 < 25 else action


def car_of(track: CarRacing) -> Car:
    assert track.car is not None
    return track.car


def road_of(track: CarRacing) -> list[Any]:
    assert track.road is not None
    return track.road


def body_state(track: CarRacing) -> list[float]:
    car = car_of(track)
    state = [w.omega for w in car.wheels] + [w.phase for w in car.wheels] + [w.joint.angle for w in car.wheels]
    for body in (car.hull, *car.wheels):
        state += [*body.position, body.angle, *body.linearVelocity, body.angularVelocity]
    return [float(number) for number in state]


def same_race(stock: CarRacing, fast: FastCarRacing, seed: int, steps: int, act: Any) -> int:
    """Drives both alike, asserts that all is equal, returns the steps driven."""
    stock.reset(seed=seed)
    fast.reset(seed=seed)
    assert stock.track == fast.track
    for step in range(steps):
        action = act(fast, step)
        _, *theirs = stock.step(action)
        _, *ours = fast.step(action)
        assert theirs == ours
        assert body_state(stock) == body_state(fast)
        if ours[1]:
            return step + 1
    return steps


@pytest.mark.parametrize("seed", SEEDS)
def test_varied_driving_is_equal_to_the_bit(seed: int) -> None:
    pilot, rng = Autopilot(noise=0.3), np.random.default_rng(seed)

    def act(track: FastCarRacing, step: int) -> np.ndarray:
        if step == 0:
            pilot.reset(track, rng)
        return varied(rng, step, pilot.act(np.empty(0)))

    stock, fast = UndrawnCarRacing(), FastCarRacing()
    assert same_race(stock, fast, seed, 800, act) == 800
    theirs, ours = ([(t.road_visited, tuple(t.color)) for t in road_of(track)] for track in (stock, fast))
    assert theirs == ours
    assert [p.poly for p in car_of(stock).particles] == [p.poly for p in car_of(fast).particles]


def test_a_finished_lap_ends_alike() -> None:
    pilot = Autopilot()

    def act(track: FastCarRacing, step: int) -> np.ndarray:
        if step == 0:
            pilot.reset(track, np.random.default_rng(0))
        return pilot.act(np.empty(0))

    fast = FastCarRacing()
    assert same_race(UndrawnCarRacing(), fast, 106, 1000, act) < 800
    assert fast.tile_visited_count == len(fast.track)


def test_leaving_the_playfield_ends_alike_and_is_black() -> None:
    stock, fast = UndrawnCarRacing(), FastCarRacing()
    straight = np.array([0, 0.7, 0], np.float32)
    assert same_race(stock, fast, 17, 1000, lambda *_: straight) < 1000
    assert max(map(abs, car_of(fast).hull.position)) > PLAYFIELD
    assert (fast.step(straight)[0][:84] == 0).all(-1).mean() > 0.2


@pytest.mark.parametrize("options", [{"continuous": False}, {"domain_randomize": True}, {"lap_complete_percent": 0.5}])
def test_stock_arguments_mean_the_same(options: dict[str, Any]) -> None:
    discrete = not options.get("continuous", True)
    rng = np.random.default_rng(5)

    def act(*_: Any) -> Any:
        if discrete:
            return int(rng.choice(5, p=[0.2, 0.1, 0.1, 0.5, 0.1]))
        return rng.uniform([-0.3, 0, 0], [0.3, 1, 0.1])

    stock, fast = UndrawnCarRacing(**options), FastCarRacing(**options)
    for seed in SEEDS[:2]:
        same_race(stock, fast, seed, 150, act)
    assert np.array_equal(stock.road_color, fast.road_color)
    assert np.array_equal(stock.grass_color, fast.grass_color)


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "randomized"])
def frames(request: pytest.FixtureRequest) -> tuple[np.ndarray, np.ndarray]:
    """Frames of a varied drive, (T, 96, 96, 3) uint8, by stock and by us."""
    stock, fast = CarRacing(domain_randomize=request.param), FastCarRacing(domain_randomize=request.param)
    pairs = []
    for seed in SEEDS[:2]:
        pilot, rng = Autopilot(noise=0.3), np.random.default_rng(seed)
        pairs.append((stock.reset(seed=seed)[0], fast.reset(seed=seed)[0]))
        pilot.reset(fast, rng)
        for step in range(240):
            action = varied(rng, step, pilot.act(pairs[-1][1]))
            pairs.append((stock.step(action)[0], fast.step(action)[0]))
    theirs, ours = zip(*pairs, strict=True)
    return np.array(theirs), np.array(ours)


@pytest.mark.parametrize("size", [96, 64])
def test_frames_are_stocks(frames: tuple[np.ndarray, np.ndarray], size: int) -> None:
    theirs, ours = ([cv2.resize(f, (size, size), interpolation=cv2.INTER_AREA) for f in fs] for fs in frames)
    difference = np.abs(np.array(theirs, np.int16) - np.array(ours)).mean((1, 2, 3))
    assert difference.mean() < 0.3
    assert difference.max() < 1.0


def test_the_score_and_all_bars_are_drawn(frames: tuple[np.ndarray, np.ndarray]) -> None:
    theirs, ours = (bar[:, 84:].astype(np.int16) for bar in frames)
    assert np.abs(theirs - ours).mean() < 0.5
    assert np.abs(theirs - ours)[:, :, :12].max() <= 1  # the digits


def road_behind(track: Any) -> np.ndarray:
    """The road under and behind the car after a while on it, (4, 2, 3)."""
    track.reset(seed=11)
    frames = [track.step(np.array([0, 0.5, 0], np.float32))[0] for _ in range(60)]
    return frames[-1][80:84, 47:49].astype(int)


def test_a_touched_tile_loses_its_shade() -> None:
    assert np.abs(road_behind(CarRacing()) - road_behind(FastCarRacing())).max() <= 1


@pytest.mark.parametrize(("size", "bar"), [(96, True), (64, True), (64, False), (96, False), (84, True)])
def test_observations_are_the_frame_at_that_size(size: int, bar: bool) -> None:
    whole, other = FastCarRacing(), FastCarRacing(size=size, bar=bar)
    assert np.array_equal(to_frame(whole.reset(seed=3)[0], size, bar), other.reset(seed=3)[0])
    action = np.array([0.1, 1, 0], np.float32)
    for _ in range(60):
        a, b = whole.step(action)[0], other.step(action)[0]
        assert b.shape == (size, size, 3) == other.observation_space.shape
        assert np.array_equal(to_frame(a, size, bar), b)


@pytest.mark.parametrize(("size", "bar"), [(64, True), (64, False), (96, False), (48, True)])
def test_to_frame_averages_areas(size: int, bar: bool) -> None:
    stock = np.random.default_rng(0).integers(0, 256, (96, 96, 3), np.uint8)
    wanted = cv2.resize(stock if bar else stock[:84], (size, size), interpolation=cv2.INTER_AREA)
    assert np.abs(to_frame(stock, size, bar).astype(int) - wanted).max() <= (1 if size == 64 and bar else 0)


@pytest.mark.parametrize(
    "frame",
    [
        *(np.zeros(shape, np.uint8) for shape in ((96, 96), (96, 96, 1), (3, 96, 96), (64, 64, 3), (1, 96, 96, 3))),
        *(np.zeros((96, 96, 3), kind) for kind in (np.float32, np.int64)),
        *(np.zeros((96, 96, 3), np.uint8).tolist(), None, "frame"),
    ],
)
def test_what_is_no_frame_is_refused_in_words(frame: Any) -> None:
    with pytest.raises(Refused, match=r"frames, arrays \(96, 96, 3\) uint8, not "):
        seen_by(frame, TrackConfig())


def test_start_tile_puts_the_car_there_at_rest() -> None:
    track = FastCarRacing()
    track.reset(seed=4)
    plain = track.track
    track.reset(seed=4, options={"start_tile": 100})
    assert track.track == plain
    _, beta, x, y = plain[100]
    assert np.allclose(car_of(track).hull.position, (x, y), atol=1e-3)
    assert car_of(track).hull.angle == pytest.approx(beta, abs=1e-3)
    assert car_of(track).hull.linearVelocity.length == 0
    assert road_of(track)[100].road_visited


def test_random_start_is_drawn_after_the_track() -> None:
    track = FastCarRacing()
    starts = []
    for seed in SEEDS:
        track.reset(seed=seed)
        plain = track.track
        track.reset(seed=seed, options={"start_tile": "random"})
        assert track.track == plain
        starts.append(tuple(car_of(track).hull.position))
        track.reset(seed=seed, options={"start_tile": "random"})
        assert starts[-1] == tuple(car_of(track).hull.position)
    assert len(set(starts)) == len(SEEDS)


def test_in_reverse_the_same_lap_is_driven_the_other_way_round() -> None:
    track = FastCarRacing()
    track.reset(seed=4)
    plain = track.track
    track.reset(seed=4, options={"start_tile": 7, "reverse": True})
    assert [place[2:] for place in track.track] == [place[2:] for place in plain[::-1]]
    assert np.allclose(car_of(track).hull.position, track.track[7][2:], atol=1e-3)
    ahead = np.subtract(track.track[8][2:], track.track[7][2:])
    before = np.array(car_of(track).hull.position)
    for _ in range(40):
        track.step(np.array([0, 1, 0], np.float32))
    assert np.dot(np.array(car_of(track).hull.position) - before, ahead) > 5
    assert track.tile_visited_count > 3
    track.reset(seed=4)
    assert track.track == plain


def test_a_wrong_start_tile_is_refused_and_harms_nothing() -> None:
    track = FastCarRacing()
    track.reset(seed=1)
    with pytest.raises(TypeError, match="start_tile"):
        track.reset(seed=1, options={"start_tile": "first"})
    track.reset(seed=1)


@pytest.mark.parametrize(
    ("options", "named"),
    [({"start_tiles": 3}, "start_tiles"), ({"seed": 3}, "seed"), ({"randomize": True}, "domain_randomize=True")],
)
def test_an_option_that_would_do_nothing_is_refused(options: dict[str, Any], named: str) -> None:
    with pytest.raises(Refused, match=named):
        FastCarRacing().reset(seed=1, options=options)


@pytest.mark.parametrize("option", [{"reverse": "no"}, {"reverse": 1}, {"start_tile": 1.5}, {"start_tile": True}])
def test_an_option_of_another_type_is_refused_by_name(option: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=next(iter(option))):
        FastCarRacing().reset(seed=1, options=option)


@pytest.mark.parametrize(
    "argument",
    [
        *({"size": size} for size in (0, -1, 1025, 64.0, "64", True, None)),
        *({"repeat": repeat} for repeat in (0, -2, 1.5, 10**9)),
        *({"lap_complete_percent": share} for share in (float("nan"), float("inf"), "all")),
        *({"continuous": "no"}, {"bar": 1}, {"domain_randomize": "yes"}),
    ],
)
def test_an_argument_out_of_range_is_refused_by_name(argument: dict[str, Any]) -> None:
    with pytest.raises(Refused, match=f"`{next(iter(argument))}` is"):
        gymnasium.make("dreamlap/CarRacing-v3", **argument)


def test_the_least_and_the_greatest_arguments_are_taken() -> None:
    assert FastCarRacing(size=1, repeat=1).reset(seed=1)[0].shape == (1, 1, 3)
    assert FastCarRacing(size=1024, lap_complete_percent=2.0).reset(seed=1)[0].shape == (1024, 1024, 3)


NO_ACTIONS = [
    *([float("nan"), 0, 0], [0, float("inf"), 0], [0, 0, -float("inf")]),
    *(None, 0.5, "left", [0, 0], [0, 0, 0, 0], [[0, 0, 0]], [], ["a", "b", "c"], [1j, 0, 0], [[1], [2, 3], 4], {}),
]


@pytest.mark.parametrize("repeat", [1, 3])
def test_what_is_no_action_is_refused_and_harms_nothing(repeat: int) -> None:
    track, untouched = FastCarRacing(repeat=repeat), FastCarRacing(repeat=repeat)
    track.reset(seed=1)
    untouched.reset(seed=1)
    for action in NO_ACTIONS:
        with pytest.raises(Refused, match=r"an action has 3 numbers \(steer, gas, brake\), not "):
            track.step(action)  # pyright: ignore[reportArgumentType]  # that is what is tried
    good = np.array([0.1, 1, 0], np.float32)
    theirs, ours = untouched.step(good), track.step(good)
    assert np.array_equal(theirs[0], ours[0])
    assert theirs[1:] == ours[1:]


def test_an_action_may_come_in_other_guises() -> None:
    def after(action: Any) -> list[float]:
        track = FastCarRacing()
        track.reset(seed=1)
        for _ in range(5):
            track.step(action)
        return body_state(track)

    wanted = after(np.array([0.5, 1, 0], np.float32))
    assert after([0.5, 1, 0]) == after((0.5, 1.0, 0.0)) == after(np.array([0.5, 1, 0], np.float64)) == wanted
    assert after(np.array([0, 1, 0])) == after([0.0, 1.0, 0.0])


@pytest.mark.parametrize("action", [None, float("nan"), 5, -1, 1.0, [1], np.array([1]), "left"])
def test_what_is_none_of_five_is_refused(action: Any) -> None:
    track = FastCarRacing(continuous=False, repeat=2)
    track.reset(seed=1)
    with pytest.raises(Refused, match="from 0 to 4"):
        track.step(action)
    assert track.step(np.array(3))[0].any()


def test_blind_races_alike_and_sees_again() -> None:
    blind, seeing = FastCarRacing(), FastCarRacing()
    blind.blind = True
    blind.reset(seed=2)
    seeing.reset(seed=2)
    action = np.array([0, 1, 0], np.float32)
    for _ in range(80):
        frame, *rest = blind.step(action)
        assert not frame.any()
        assert rest == list(seeing.step(action)[1:])
    blind.blind = False
    difference = np.abs(blind.step(action)[0].astype(int) - seeing.step(action)[0])
    assert difference.mean() < 0.1


def test_render_stays_stock() -> None:
    stock, fast = CarRacing(render_mode="rgb_array"), FastCarRacing(render_mode="rgb_array")
    for track in (stock, fast):
        track.reset(seed=8)
        for _ in range(40):
            track.step(np.array([0.6, 1, 0], np.float32))
    theirs, ours = np.asarray(stock.render()), np.asarray(fast.render())
    assert ours.shape == (400, 600, 3)
    assert np.array_equal(theirs, ours)


@pytest.mark.filterwarnings("ignore:.*not normalized.*", "ignore:.*symmetric.*", "ignore:.*render.*", "ignore:.*spec.*")
def test_is_a_legal_environment() -> None:
    check_env(FastCarRacing(size=64), skip_render_check=True)


def test_many_tracks_in_one_process() -> None:
    tracks = gymnasium.vector.SyncVectorEnv([lambda: FastCarRacing(size=64) for _ in range(3)])
    frames, _ = tracks.reset(seed=[1, 2, 1])
    assert frames.shape == (3, 64, 64, 3)
    assert np.array_equal(frames[0], frames[2])
    assert not np.array_equal(frames[0], frames[1])
    tracks.close()


def test_resets_leave_nothing_behind() -> None:
    track = FastCarRacing()
    for seed in range(4):
        track.reset(seed=seed)
        assert len(track.world.bodies) == len(road_of(track)) + 5


def test_a_track_shows_nothing_of_one_that_was_closed_before() -> None:
    def frames_of(track: FastCarRacing, seed: int) -> np.ndarray:
        seen = [track.reset(seed=seed)[0]]
        return np.stack(seen + [track.step(np.array([0.1, 0.5, 0.0]))[0] for _ in range(60)])

    _spare.clear()
    first, other = FastCarRacing(), FastCarRacing()
    fresh = frames_of(first, 3)
    frames_of(other, 5)
    other.close()
    assert len(_spare) == 1
    np.testing.assert_array_equal(frames_of(FastCarRacing(), 3), fresh)
    assert not _spare  # that one drew over the picture of the closed one
    np.testing.assert_array_equal(frames_of(other, 3), fresh)  # which may begin again


def test_closed_tracks_keep_little_memory() -> None:
    _spare.clear()
    tracks = [FastCarRacing() for _ in range(SPARE + 1)]
    for track in tracks:
        track.reset(seed=1)
    for track in [*tracks, *tracks]:  # to close twice does no harm
        track.close()
    assert len(_spare) == SPARE


def growth() -> np.ndarray:
    """By how much 1,500 resets after 500 grow the process: KiB of memory, Python objects, Box2D's bodies."""
    track = FastCarRacing()

    def look_after(seeds: range) -> np.ndarray:
        for seed in (*seeds, 0):  # the same track at last, for counts that can be compared
            track.blind = seed % 20 > 0
            track.reset(seed=seed)
        gc.collect()
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return np.array([pages * os.sysconf("SC_PAGESIZE") / 1024, len(gc.get_objects()), len(track.world.bodies)])

    return -look_after(range(500)) + look_after(range(500, 2000))


@pytest.mark.skipif(sys.platform != "linux", reason="reads the process's memory from /proc")
def test_two_thousand_resets_leak_nothing() -> None:
    """But for 2.4 KiB a reset, as stock: pybox2d never frees the shapes of a car's eight fixture definitions."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as alone:  # free memory of other tests could hide a leak
        memory, objects, bodies = alone.submit(growth).result()
    assert memory / 1500 < 5
    assert objects < 100
    assert bodies == 0


@pytest.fixture
def side_by_side() -> Iterator[AsyncVectorEnv]:
    """Two tracks, each in a process of its own."""
    tracks = gymnasium.make_vec("dreamlap/CarRacing-v3", num_envs=2, vectorization_mode="async")
    assert isinstance(tracks, AsyncVectorEnv)
    tracks.reset(seed=1)
    yield tracks
    for process in tracks.processes:
        process.kill()
    tracks.closed = True  # there is nobody left to be asked to close


@pytest.mark.timeout(200)  # what must not happen is that the survivor waits
@pytest.mark.parametrize("during", ["a step", "a pause"])
def test_a_killed_process_of_a_vector_is_told(side_by_side: AsyncVectorEnv, during: str) -> None:
    worker, actions = side_by_side.processes[1], np.zeros((2, 3), np.float32)
    assert worker.pid
    side_by_side.step(actions)
    if during == "a step":
        os.kill(worker.pid, signal.SIGSTOP)
        side_by_side.step_async(actions)
    worker.kill()
    worker.join()
    with pytest.raises((EOFError, ConnectionError)):
        side_by_side.step_wait() if during == "a step" else side_by_side.step(actions)


@pytest.mark.timeout(200)
def test_an_error_in_a_process_of_a_vector_comes_with_its_traceback(side_by_side: AsyncVectorEnv) -> None:
    with (
        pytest.warns(UserWarning, match=r"(?s)dreamlap/track/fast\.py.*Refused"),
        pytest.raises(Refused, match="steer, gas, brake"),
    ):
        side_by_side.step(np.zeros((2, 2), np.float32))


def test_drift_of_gymnasium_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert drift.fingerprint() == drift.FINGERPRINT
    monkeypatch.setattr(drift, "FINGERPRINT", "another")
    with pytest.warns(RuntimeWarning, match=drift.MADE_AFTER):
        drift.warn_of_drift()


def test_needs_no_display() -> None:
    code = "from dreamlap.track import FastCarRacing; print(FastCarRacing().reset(seed=0)[0].shape)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={"PATH": ""}, check=False)
    assert done.stdout.strip() == "(96, 96, 3)", done.stderr


@pytest.mark.parametrize("form", [STOCK, PEDAL])
def test_action_forms_translate_there_and_back(form: Any) -> None:
    actions = np.random.default_rng(0).uniform(form.low, form.high, (4, 5, form.size)).astype(np.float32)
    stock = form.to_stock(actions)
    assert stock.shape == (4, 5, 3)
    assert stock.dtype == np.float32
    assert np.array_equal(form.from_stock(stock), actions)
    assert (form.to_stock(actions * 9) <= STOCK.high).all()
    assert (form.to_stock(actions * 9) >= STOCK.low).all()


def test_the_pedal_is_gas_less_brake() -> None:
    assert np.allclose(PEDAL.from_stock(np.array([0.5, 0.8, 0.3])), [0.5, 0.5])
    assert np.allclose(PEDAL.to_stock(np.array([-2, -0.4])), [-1, 0, 0.4])


@pytest.mark.parametrize("form", [STOCK, PEDAL, DISCRETE])
def test_forms_never_broadcast(form: Any) -> None:
    for shape in ((), (1,), (form.size + 1,), (4, 1), (0,)):
        with pytest.raises(Refused, match="action"):
            form.to_stock(np.zeros(shape))
    for shape in ((2,), (1,), (4, 2)):
        with pytest.raises(Refused, match="steer, gas, brake"):
            form.from_stock(np.zeros(shape))
    with pytest.raises(Refused, match="nan"):
        form.to_stock(np.full((4, form.size), np.nan))
    assert np.isfinite(form.to_stock(np.full((4, form.size), 1e300))).all()  # finite, and then clipped


def test_an_unknown_form_is_refused_with_the_names_there_are() -> None:
    assert action_form("pedal") is PEDAL
    with pytest.raises(ValueError, match="pedal, stock"):
        action_form("joystick")


@pytest.mark.parametrize(("size", "bar"), [(64, True), (64, False), (96, True)])
def test_off_road_can_be_read_off_the_frame(size: int, bar: bool):
    """Beside the truth, the wheels that touch a tile: on a straight, in a corner, and straight on into the grass."""
    track, driver = FastCarRacing(size=size, bar=bar), Autopilot()
    track.reset(seed=5)
    driver.reset(track, np.random.default_rng(0))
    frames, touching, frame = [], [], np.empty(0)
    for step in range(260):
        frame, *_ = track.step(driver.act(frame) if step < 220 else np.zeros(3, np.float32))
        assert track.car
        if step > 50:  # before, the view zooms in
            frames.append(frame)
            touching.append(sum(bool(wheel.tiles) for wheel in track.car.wheels))
    track.close()
    off, wheels = off_road(np.stack(frames), bar), np.array(touching)
    assert {0, 4} <= set(wheels.tolist())
    assert off[wheels == 4].mean() < 0.25
    assert off[wheels == 0].mean() > 0.75
    assert np.corrcoef(off, wheels)[0, 1] < -0.85


def by_grays(frames: np.ndarray, bar: bool) -> np.ndarray:
    """How far off the road, (N,), as it was read before other colours were known: agents were trained on these very bits."""
    patch = frames[:, *_in_frame(AROUND_CAR, frames.shape[1], bar)]
    darkest, brightest = patch.min(-1), patch.max(-1)
    road = (brightest - darkest < GRAY) & (darkest > ROAD_GRAYS[0]) & (brightest < ROAD_GRAYS[1])
    two_wheels, none = ROAD_SHARES
    return np.clip((two_wheels - road.mean((1, 2), dtype=np.float32)) / (two_wheels - none), 0.0, 1.0)


@pytest.fixture(scope="module")
def stock_drive() -> np.ndarray:
    """Frames (T, 96, 96, 3) in stock colours: the zoom, the road, the grass, and beyond the playfield, where all is black."""
    track, pilot, rng = FastCarRacing(), Autopilot(noise=0.3), np.random.default_rng(0)
    frames, over = [track.reset(seed=11)[0]], False
    pilot.reset(track, rng)
    for step in range(300):
        frames.append(track.step(varied(rng, step, pilot.act(frames[-1])))[0])
    frames.append(track.reset(seed=17)[0])
    while not over:
        frame, _, over, *_ = track.step(np.array([0, 0.7, 0], np.float32))
        frames.append(frame)
    frames += [track.step(np.array([0, 1, 0], np.float32))[0] for _ in range(60)]
    return np.stack(frames)


@pytest.mark.parametrize("bar", [True, False])
@pytest.mark.parametrize("size", [32, 48, 64, 96])
def test_in_stock_colours_off_road_is_what_it_was_to_the_bit(stock_drive: np.ndarray, size: int, bar: bool) -> None:
    frames = np.stack([to_frame(frame, size, bar) for frame in stock_drive])
    assert np.array_equal(off_road(frames, bar), by_grays(frames, bar))
    assert in_stock_colours(frames, bar).mean() > 0.7
    assert not in_stock_colours(frames[-1:], bar).any()  # black


def randomized_drive(seed: int) -> tuple[np.ndarray, np.ndarray, FastCarRacing]:
    """Frames (T, 96, 96, 3) in random colours, on the road and then on the grass, and how many wheels touch a tile (T,)."""
    track, frames, wheels = FastCarRacing(domain_randomize=True), [], []
    track.reset(seed=seed)
    for step in range(110):
        track.blind = step < 50 or step % 5 > 0
        frame, *_ = track.step(np.array([float(step > 60), 0.3, 0], np.float32))
        if not track.blind:
            frames.append(frame)
            wheels.append(sum(bool(wheel.tiles) for wheel in car_of(track).wheels))
    return np.stack(frames), np.array(wheels), track


@pytest.fixture(scope="module")
def randomized() -> tuple[np.ndarray, np.ndarray]:
    """Frames of thirty tracks, each with colours of its own, and how many wheels touch a tile."""
    frames, wheels, _ = zip(*(randomized_drive(seed) for seed in range(30)), strict=True)
    return np.concatenate(frames), np.concatenate(wheels)


@pytest.mark.parametrize("bar", [True, False])
@pytest.mark.parametrize("size", [32, 48, 64, 96])
def test_in_random_colours_off_road_is_right(randomized: tuple[np.ndarray, np.ndarray], size: int, bar: bool) -> None:
    frames, wheels = np.stack([to_frame(frame, size, bar) for frame in randomized[0]]), randomized[1]
    off = off_road(frames, bar)
    assert (wheels == 4).sum() > 50
    assert (wheels == 0).sum() > 100
    assert off[wheels == 4].mean() < 0.05
    assert off[wheels == 0].mean() > 0.95
    alone = np.concatenate([off_road(frame[None], bar) for frame in frames[:20]])
    assert np.array_equal(alone, off[:20])  # whatever frames are beside it


def test_the_colours_of_the_ground_are_found() -> None:
    frames, wheels, track = randomized_drive(3)
    ground = find_ground(frames[wheels == 4], bar=True)
    assert ground.plain.all()
    assert ground.shown.all()
    assert np.abs(ground.road - np.asarray(track.road_color)).max() < 9  # a shade of 5, and what scaling takes
    for grass in ground.grass.transpose(1, 0, 2):
        wanted = (track.bg_color, track.grass_color)
        assert min(np.abs(grass - np.asarray(color)).max() for color in wanted) < 4


def test_off_road_is_not_read_off_frames_too_small_for_it() -> None:
    assert np.isnan(off_road(np.zeros((3, 31, 31, 3), np.uint8), bar=True)).all()
    assert np.isfinite(off_road(np.zeros((3, 32, 32, 3), np.uint8), bar=True)).all()
    noise = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), np.uint8)
    assert np.isfinite(off_road(noise, bar=True)).all()
