"""The robustness exam: the same race, stock and fast, with disturbed frames."""

import copy
import pickle

import gymnasium as gym
import numpy as np
import pytest

from dreamlap.cli import main
from dreamlap.config.parts import EXAM
from dreamlap.errors import Refused
from dreamlap.evaluation import evaluate
from dreamlap.protocol import TRACKS
from dreamlap.scores import check_score, headline
from dreamlap.track import FastCarRacing
from dreamlap.track.exam import BLOB, FastExam, StockExam


def drive(track, seed: int, steps: int) -> list[tuple[np.ndarray, float, bool]]:
    """Frames, rewards and ends of the same driving."""
    chance = np.random.default_rng(seed)
    seen = [(track.reset(seed=seed)[0], 0.0, False)]
    for _ in range(steps):
        action = np.array([chance.uniform(-0.3, 0.3), 0.3, 0.0], np.float32)
        frame, reward, over, *_ = track.step(action)
        seen.append((frame, float(reward), bool(over)))
    track.close()
    return seen


@pytest.mark.parametrize("variant", EXAM)
def test_the_fast_exam_is_the_stock_one(variant: str):
    stock, fast, plain = drive(StockExam(variant), 5, 70), drive(FastExam(variant), 5, 70), drive(FastCarRacing(), 5, 70)
    assert [one[1:] for one in stock] == [one[1:] for one in fast] == [one[1:] for one in plain]  # the race is the same
    off = [np.abs(a[0].astype(int) - b[0]).mean() for a, b in zip(stock, fast, strict=True)]
    assert np.mean(off) < 0.5
    assert max(off) < 1.5
    changed = [np.abs(a[0].astype(int) - b[0]).mean() for a, b in zip(fast, plain, strict=True)]
    assert changed[-1] > 2 * off[-1]  # and the frames are not


def test_colours_are_each_shifted_by_one_number_that_the_track_decides():
    shifts = []
    for seed in (1, 2, 1):
        track = StockExam("colours")
        track.reset(seed=seed)
        road, grass = track.road_color - 102, track.bg_color - [102, 204, 102]
        assert np.ptp(road) == pytest.approx(0, abs=1e-9)
        assert np.ptp(grass) == pytest.approx(0, abs=1e-9)
        assert track.grass_color.tolist() == [102, 230, 102]
        shifts.append((road[0], grass[0]))
        track.close()
    assert shifts[0] == shifts[2] != shifts[1]
    assert np.abs(shifts).max() <= 51
    assert shifts[0][0] != shifts[0][1]
    track = FastExam("colours")
    track.reset(seed=1)
    first = track.road_color[0]
    track.reset()
    assert track.road_color[0] != first  # the next episode has colours of its own


def test_bars_are_black_and_leave_the_instruments_alone():
    frame, plain = drive(FastExam("bars"), 3, 60)[-1][0], drive(FastCarRacing(), 3, 60)[-1][0]
    assert frame[:84, :7].max() == frame[:84, -7:].max() == 0
    assert np.array_equal(frame[84:], plain[84:])
    assert np.array_equal(frame[:84, 8:-8], plain[:84, 8:-8])


def test_the_blob_stays_where_it_is_beside_the_car():
    for frame, _, _ in drive(FastExam("blob"), 3, 70)[55:]:
        red = (frame[:84, 60:] == frame[50, 88]).all(-1)
        rows, columns = np.nonzero(red)
        units = 1000 / 96 / 16.2  # a pixel's width
        assert (columns.max() - columns.min() + 1) * units == pytest.approx(BLOB[1, 0] - BLOB[0, 0], abs=1)
        assert frame[50, 88, 0] > 190
        assert frame[50, 88, 1:].max() < 10
        assert columns.min() > 10
        assert rows.max() < 72


def test_unknown_variants_are_refused():
    for make in (StockExam, FastExam):
        with pytest.raises(Refused, match="the exam has colours, bars, blob, not 'snow'"):
            make("snow")


@pytest.mark.parametrize("exam", [StockExam("bars"), FastExam("bars", size=32)])
def test_an_exam_is_copied_whole(exam: StockExam | FastExam):
    other = pickle.loads(pickle.dumps(exam))
    assert other.variant == copy.deepcopy(exam).variant == "bars"
    assert other.observation_space == exam.observation_space


def test_the_exam_is_driven_and_is_no_score():
    fast = evaluate("champion", range(900_000, 900_002), 1, "fast-bars")
    assert fast["track"] == "fast-bars"
    assert fast["caveats"] == ["robustness exam, bars: not a score", "fast track: a quick look, not a score"]
    assert "on 2 fast-bars tracks" in headline(check_score(fast, "it"))
    env = gym.make(TRACKS["stock-blob"][0], **TRACKS["stock-blob"][1])
    assert isinstance(env.unwrapped, StockExam)
    env.close()


def test_the_command_makes_three_scores_and_a_table(tmp_path, capsys: pytest.CaptureFixture[str]):
    flags = ["--exam", "--track", "fast", "--seeds", "900000:900001", "--workers", "1"]
    main(["evaluate", "champion", *flags, "--json", str(tmp_path / "one.json")])
    assert sorted(path.name for path in tmp_path.glob("*.json")) == ["one-bars.json", "one-blob.json", "one-colours.json"]
    told = capsys.readouterr().out
    assert "AttentionAgent" in told
    assert "866 ± 112" in told
    with pytest.raises(SystemExit):
        main(["evaluate", "champion", "--exam", "--track", "dream"])
    assert "--exam disturbs the frames of the stock or of the fast track" in capsys.readouterr().err
