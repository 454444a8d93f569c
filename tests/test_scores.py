"""A score is what it says: worked out from its returns, labelled, told before it is written, and never lost half way."""

import json
import math
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

import dreamlap
from dreamlap import evaluation as protocol
from dreamlap.agent import Agent, Starts, load, load_agent
from dreamlap.cli import main
from dreamlap.drives import drive_side_by_side, drive_track
from dreamlap.errors import Failed, Refused
from dreamlap.evaluation import (
    Asked,
    Stopped,
    evaluate,
    evaluate_each,
    score_kept,
    scores_kept,
)
from dreamlap.files import read_json, write_json
from dreamlap.named import PRETRAINED
from dreamlap.protocol import seed_range
from dreamlap.run import commit
from dreamlap.scores import (
    bootstrap_interval,
    check_score,
    compare,
    headline,
    kind_of_tracks,
    read_score,
    score,
    wilson_interval,
)

ROOT = Path(dreamlap.__file__).parents[1]


def made(returns: list[float], first: int = 900_000, **label: Any) -> dict[str, Any]:
    """A score on the tracks from `first` on, as a file has it."""
    seeds = list(range(first, first + len(returns)))
    return {"seeds": seeds, **score(returns), "laps": 0, "track": "stock", "agent": "a", "fingerprint": "a" * 32} | label


def ran(*args: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """The command line in another process."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "300"} | options.pop("env", {})
    command = [sys.executable, "-m", "dreamlap", *args]
    return subprocess.run(command, env=environment, errors="replace", capture_output=True, timeout=300, check=False, **options)


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Drives that take no time: the return is the track's last three digits. -> the seeds that were driven."""
    driven: list[int] = []

    def drive(_path: str, _track: str, seeds: list[int]) -> list[tuple[float, int, bool]]:
        driven.extend(seeds)
        return [(float(seed % 1000) / 3, 700, True) for seed in seeds]

    monkeypatch.setattr(protocol, "drive_lot", drive)
    return driven


def test_evaluation_is_the_same_with_any_workers(tmp_path: Path, agent: Agent):
    agent.save(tmp_path / "agent")
    results = [evaluate(tmp_path, [7, 8], workers, track="fast") for workers in (1, 2)]
    assert results[0]["returns"] == results[1]["returns"]
    assert results[0]["track"] == "fast"


def test_fast_tracks_side_by_side_are_driven_as_one_by_one():
    tracks = [900_100, 900_101, 900_102]
    together = drive_side_by_side(load_agent("champion"), tracks)
    alone = [drive_track(str(PRETRAINED / "champion"), "fast", seed) for seed in tracks]
    for (total, steps, lap), (expected, expected_steps, expected_lap) in zip(together, alone, strict=True):
        assert total == pytest.approx(expected, abs=20)  # sums in another order, hundreds of steps ago
        assert steps == pytest.approx(expected_steps, abs=100)
        assert lap == expected_lap


def test_a_score_is_what_it_says():
    result = score([900.0, 920.0, 880.0])
    assert (result["mean"], result["sd"], result["min"], result["median"]) == (900, 20, 880, 900)
    low, high = bootstrap_interval(np.random.default_rng(0).normal(0, 1, 400))
    assert -0.2 < low < 0 < high < 0.2
    assert high - low == pytest.approx(2 * 1.96 / 20, rel=0.15)


def test_one_track_has_no_spread_and_a_few_have_no_interval():
    assert (score([900.0])["sd"], score([900.0])["interval"]) == (None, None)
    assert score([1.0, 2.0, 3.0, 4.0])["interval"] is None
    assert score([1.0, 2.0, 3.0, 4.0, 5.0])["interval"] is not None
    line = headline(check_score(made([927.0], track="fast"), "it"))
    assert line == "927 on 1 fast track  (no ± of one drive, laps 0)  (fast track: a quick look, not a score)"
    assert "927 on 1 tracks" in headline(check_score(made([927.0]), "it"))
    assert "too few tracks for an interval" in headline(check_score(made([927.0, 928.0]), "it"))


@given(st.lists(st.floats(-1000, 1000), min_size=1, max_size=30))
def test_what_follows_from_a_score_is_the_same_once_it_was_written(returns: list[float]):
    result = made(returns)
    again = check_score(json.loads(json.dumps(result, allow_nan=False)), "it")
    assert {name: again[name] for name in result} == result


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_return_that_is_no_number_is_never_scored(bad: float, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    with pytest.raises(Refused, match="broken"):
        score([1.0, bad])

    class Track:
        def reset(self, seed: int) -> tuple[np.ndarray, dict[str, Any]]:
            return np.zeros((96, 96, 3), np.uint8), {}

        def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
            return np.zeros((96, 96, 3), np.uint8), bad, True, False, {}

        def close(self) -> None:
            pass

    monkeypatch.setattr("gymnasium.make", lambda _: Track())
    with pytest.raises(Refused, match="is broken"):
        evaluate("champion", [900_000], 1, file=tmp_path / "s.json")
    assert not (tmp_path / "s.json").exists()


EDITS = {
    "no seeds": {"seeds": None},
    "no returns": {"returns": None},
    "text": {"returns": "abc", "seeds": "abc"},
    "uneven": {"returns": [1.0] * 5},
    "unknown": {"returns": [None] * 6},
    "infinite": {"returns": [math.inf] * 6},
    "true": {"returns": [True] * 6},
    "huge": {"returns": [10**400] * 6},
    "one track twice": {"seeds": [900_000] * 6},
    "half a seed": {"seeds": [900_000.5, 1, 2, 3, 4, 5]},
    "mean": {"mean": 950.0},
    "minimum": {"min": 5.0},
    "median of words": {"median": "high"},
    "laps": {"laps": 7},
    "steps": {"steps": [1, 2]},
    "track": {"track": ["stock"]},
    "trained": {"trained": "well"},
    "complete": {"complete": "yes"},
    "interrupted": {"complete": False, "returns": [1.0]},
}


@pytest.mark.parametrize("name", EDITS)
def test_what_is_no_score_is_refused_by_the_name_of_its_file(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    good = made([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    write_json(tmp_path / "good.json", good | {"fingerprint": "b" * 32})
    path = tmp_path / "edited.json"
    path.write_text(json.dumps(good | EDITS[name]))
    with pytest.raises(Refused, match=r"edited\.json"):
        read_score(path)
    with pytest.raises(SystemExit):
        main(["compare", str(tmp_path / "good.json"), str(path)])
    assert "edited.json" in capsys.readouterr().err


def test_an_older_score_reads_with_what_it_lacks_worked_out():
    old = {"seeds": [900_000, 900_001], "returns": [900.0, 910.0], "interval": [900.0, 910.0], "sd": 0.0}
    new = check_score(old, "it")
    assert (new["mean"], new["track"], new["laps"], new["interval"], new["complete"]) == (905, "stock", None, None, True)
    assert new["sd"] == pytest.approx(math.sqrt(50))
    assert "laps" not in headline(new)


def test_scores_are_compared_track_by_track(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    first = {"seeds": [1, 2, 3], **score([10.0, 20.0, 30.0]), "laps": 0, "track": "stock"}
    second = {"seeds": [3, 2, 9], **score([25.0, 22.0, 0.0]), "laps": 0, "track": "stock"}
    paired = compare(first, second)
    assert paired["seeds"] == [2, 3]
    assert paired["differences"] == [-2.0, 5.0]
    assert (paired["mean"], paired["higher"], paired["lower"], paired["interval"]) == (1.5, 1, 1, None)
    for name, result in (("a", first), ("b", second)):
        write_json(tmp_path / f"{name}.json", result)
    main(["compare", str(tmp_path / "a.json"), str(tmp_path / "b.json"), "--json", str(tmp_path / "c.json")])
    assert "first minus second: +1.5 on 2 tracks, too few tracks for an interval" in capsys.readouterr().out
    assert read_json(tmp_path / "c.json")["seeds"] == [2, 3]


def test_scores_of_different_tracks_are_not_compared():
    one, other = made([1.0, 2.0]), made([1.0, 2.0], fingerprint="b" * 32, agent="b")
    with pytest.raises(Refused, match="the stock track, the second of the fast track: these are not the same"):
        compare(one, other | {"track": "fast"})
    with pytest.raises(Refused, match=r"no track in common.*2 training tracks \(0 to 1\).*2 selection tracks"):
        compare(made([1.0, 2.0], first=0), other)
    with pytest.raises(Refused, match="not the same tracks"):
        compare(one | {"track": "dream"}, other | {"track": "dream"})  # each in its own
    with pytest.raises(Refused, match="the second is no whole score"):
        compare(one, other | {"complete": False, "returns": [1.0]})
    in_one_dream = compare(one | {"track": "dream"}, other | {"track": "a/agent", "dreamer": "a" * 32})
    assert in_one_dream["notes"] == []
    same = compare(one, one | {"track": "fast"})
    assert same["notes"] == ["both are scores of one agent", "not the same tracks: the stock track and the fast track"]


def test_a_comparison_claims_no_interval_where_nothing_differs():
    many = made([float(n) for n in range(9)])
    assert compare(many, many | {"fingerprint": "b" * 32})["interval"] is None
    other = made([float(n % 4) for n in range(9)], fingerprint="b" * 32, versions={"gymnasium": "1.0"})
    paired = compare(many | {"versions": {"gymnasium": "2.0"}}, other)
    assert paired["interval"][0] < paired["mean"] < paired["interval"][1]
    assert paired["notes"] == ["gymnasium 2.0 and 1.0"]


@pytest.mark.parametrize("command", ["evaluate champion --track AGENT", "evaluate AGENT", "compare champion AGENT"])
def test_a_result_replaces_no_file_of_an_agent(command: str, path: str, capsys: pytest.CaptureFixture[str]):
    for file in sorted(Path(path).iterdir()):
        before = file.read_bytes()
        with pytest.raises(SystemExit):
            main([*command.replace("AGENT", path).split(), "--seeds", "900000:900001", "--json", str(file)])
        assert "would be lost" in capsys.readouterr().err
        assert file.read_bytes() == before


def test_a_score_beside_its_agent_may_be_made_again(path: str):
    for name in ("score.json", "../score.json"):
        for _ in range(2):
            main(["evaluate", path, "--track", "dream", "--seeds", "900000:900001", "--json", f"{path}/{name}"])
        assert read_score(Path(path, name))["seeds"] == [900_000]


def test_a_comparison_does_not_replace_a_score(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for name, returns in (("a.json", [1.0, 2.0]), ("b.json", [2.0, 4.0])):
        write_json(tmp_path / name, made(returns, fingerprint=name[0] * 32))
    before = (tmp_path / "a.json").read_bytes()
    with pytest.raises(SystemExit):
        main(["compare", str(tmp_path / "a.json"), str(tmp_path / "b.json"), "--json", str(tmp_path / "a.json")])
    assert "would be lost" in capsys.readouterr().err
    assert (tmp_path / "a.json").read_bytes() == before


def test_the_commit_is_that_of_the_source_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def git(*words: str) -> str:
        who = ("-c", "user.name=a", "-c", "user.email=a@b.c")
        return subprocess.run(["git", *who, *words], cwd=tmp_path, capture_output=True, text=True, check=True).stdout.strip()

    source, elsewhere = tmp_path / "dreamlap" / "run.py", tmp_path / ".venv" / "dreamlap" / "run.py"
    for path in (source, elsewhere):
        path.parent.mkdir(parents=True)
        path.write_text("")
    (tmp_path / ".gitignore").write_text(".venv\n")
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "first")
    monkeypatch.setattr("dreamlap.run.__file__", str(elsewhere))
    assert commit() == "unknown"
    monkeypatch.setattr("dreamlap.run.__file__", str(source))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "nothing"))
    assert (
        commit()
        == subprocess.run(
            ["git", "-C", str(tmp_path), "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            check=True,
            env={name: value for name, value in os.environ.items() if name != "GIT_DIR"},
        ).stdout.strip()
    )
    source.write_text("# changed")
    assert commit().endswith("+changes")


def test_what_is_compared_with_itself_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], pretended: list[int]):
    write_json(tmp_path / "a.json", made([1.0]))
    (tmp_path / "b.json").symlink_to("a.json")
    for first, second, words in (
        (tmp_path / "a.json", tmp_path / "b.json", "compared with itself"),
        ("champion", PRETRAINED / "champion", "the same agent"),
    ):
        with pytest.raises(SystemExit):
            main(["compare", str(first), str(second)])
        assert words in capsys.readouterr().err
    assert pretended == []


def test_an_agent_that_is_compared_with_a_score_drives_its_tracks(tmp_path: Path, pretended: list[int]):
    write_json(tmp_path / "a.json", made([1.0, 2.0], first=900_500, track="fast"))
    main(["compare", "champion", str(tmp_path / "a.json"), "--workers", "1"])
    assert pretended == [900_500, 900_501]
    write_json(tmp_path / "final.json", made([1.0, 2.0], first=1_000_000))
    with pytest.raises(SystemExit):
        main(["compare", "champion", str(tmp_path / "final.json")])
    with pytest.raises(SystemExit):
        main(["compare", str(tmp_path / "a.json"), str(tmp_path / "final.json"), "--seeds", "900000:900002"])
    assert len(pretended) == 2


def test_what_cannot_be_compared_is_refused_before_it_is_driven(
    tmp_path: Path, pretended: list[int], capsys: pytest.CaptureFixture[str]
):
    write_json(tmp_path / "a.json", made([1.0, 2.0], first=900_500, track="fast"))
    dream = made([1.0, 2.0], track="champion") | {"dreamer": "another fingerprint"}
    write_json(tmp_path / "dream.json", dream)
    for words, why in (
        (["a.json", "--seeds", "900000:900002"], "no track in common: the first has 2 selection tracks (900000 to 900001)"),
        (["dream.json"], "these are not the same tracks"),
    ):
        with pytest.raises(SystemExit):
            main(["compare", "unprivileged", str(tmp_path / words[0]), *words[1:]])
        assert why in " ".join(capsys.readouterr().err.split())
    assert pretended == []


def test_test_tracks_are_driven_for_a_final_score_alone():
    assert seed_range("", final=True) == range(1_000_000, 1_000_100)
    assert seed_range("", final=False) == range(900_000, 900_020)
    assert seed_range(" 900000 : 900003 ", final=False) == range(900_000, 900_003)
    assert seed_range("0900000:900003", final=False) == range(900_000, 900_003)
    assert seed_range("1000000:1000003", final=True) == range(1_000_000, 1_000_003)
    for text in ("999999:1000001", "1000000:1000001"):
        with pytest.raises(ValueError, match="test tracks"):
            seed_range(text, final=False)
    for text in ("999999:1000001", "900000:900001"):
        with pytest.raises(ValueError, match="--final drives test tracks"):
            seed_range(text, final=True)
    for text in ("5", "7:3", "a:b", "-5:3", "1:", "1:2:2", "1.5:3", "²:5", "9" * 5000 + ":1"):
        with pytest.raises(ValueError, match="range A:B"):
            seed_range(text, final=False)
    with pytest.raises(ValueError, match="5:6"):
        seed_range("5", final=False)
    with pytest.raises(ValueError, match="100,000"):
        seed_range("0:900000", final=False)


@pytest.mark.parametrize("seeds", [[], [7, 7], [-1]])
def test_seeds_that_are_none_are_refused_in_python_too(seeds: list[int]):
    with pytest.raises(Refused, match="seed"):
        evaluate("champion", seeds)


def test_a_score_says_on_which_tracks_it_was_made(pretended: list[int]):
    assert kind_of_tracks([5, 900_000, 1_000_000]) == "training and selection and test"
    training = evaluate("champion", [0, 1], 1)
    assert (training["kind"], training["caveats"]) == ("training", ["training tracks: not a score"])
    assert "training tracks: not a score" in headline(training)
    assert evaluate("champion", [899_999, 900_000], 1)["caveats"] == ["1 of 2 are training tracks: not a score"]
    assert evaluate("champion", [900_000], 1)["caveats"] == []
    older = evaluate("champion", [901_000], 1)["caveats"]
    assert older == ["tracks on which this agent may have been chosen: not a score"]
    chosen = made([1.0, 2.0], first=901_004, trained={"chosen_on": [901_000, 901_005]})
    assert check_score(chosen, "it")["caveats"] == ["1 of 2 are tracks on which this agent was chosen: not a score"]
    judged = made([1.0], first=903_000, trained={"score": 5.0})
    assert "may have been chosen" in check_score(judged, "it")["caveats"][0]


def test_an_interrupted_score_is_kept_and_ends_as_an_uninterrupted_one(
    tmp_path: Path, pretended: list[int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    seeds, file, whole = range(900_000, 900_025), tmp_path / "s.json", protocol.drive_lot
    expected = evaluate("champion", seeds, 1, track="fast")

    def interrupted(path: str, track: str, lot: list[int]) -> Any:
        if lot[0] == 900_010:
            raise KeyboardInterrupt
        return whole(path, track, lot)

    monkeypatch.setattr(protocol, "drive_lot", interrupted)
    with pytest.raises(SystemExit) as stopped:
        main(["evaluate", "champion", "--seeds", "900000:900025", "--track", "fast", "--workers", "1", "--json", str(file)])
    assert stopped.value.code == 130
    assert "10 of 25 tracks driven, mean 2 so far: not a score. They are kept in" in capsys.readouterr().err
    kept = read_json(file)
    assert (kept["complete"], len(kept["seeds"]), len(kept["returns"]), "mean" in kept) == (False, 25, 10, False)
    with pytest.raises(Refused, match="10 of 25 tracks are driven"):
        read_score(file)
    monkeypatch.setattr(protocol, "drive_lot", whole)
    pretended.clear()
    assert score_kept(file, Path("champion"), seeds, 1, "fast") == expected
    assert pretended == list(seeds[10:])
    assert read_json(file) == expected


def test_an_interrupted_score_of_something_else_is_not_gone_on_with(
    tmp_path: Path, pretended: list[int], monkeypatch: pytest.MonkeyPatch
):
    file, half = tmp_path / "s.json", made([5.0], complete=False, steps=[7], commit="", versions={})
    agent = load("champion").fingerprint
    for change in ({"fingerprint": "b" * 32}, {"track": "dream"}, {"versions": {"gymnasium": "0"}}, {"seeds": [900_000, 7]}):
        write_json(file, half | {"seeds": [900_000, 900_001], "fingerprint": agent} | change)
        pretended.clear()
        assert evaluate("champion", [900_000, 900_001], 1, file=file)["returns"] == [0, 0.3333]
        assert pretended == [900_000, 900_001]


@pytest.mark.parametrize("content", ["{}", "notes", json.dumps(made([1.0]))])
def test_what_is_in_the_file_outlives_an_interrupted_score(
    content: str, tmp_path: Path, pretended: list[int], monkeypatch: pytest.MonkeyPatch
):
    whole = protocol.drive_lot

    def interrupted(path: str, track: str, lot: list[int]) -> Any:
        if lot[0] == 900_001:
            raise Failed("a working process died.")
        return whole(path, track, lot)

    monkeypatch.setattr(protocol, "drive_lot", interrupted)
    (tmp_path / "s.json").write_text(content)
    with pytest.raises(Failed, match=r"died\. 1 of 2 tracks driven.*holds something else"):
        evaluate("champion", [900_000, 900_001], 1, file=tmp_path / "s.json")
    assert (tmp_path / "s.json").read_text() == content
    with pytest.raises(Failed, match="Nothing was kept"):
        evaluate("champion", [900_000, 900_001], 1)


def test_what_an_interrupted_comparison_says_is_true(
    pretended: list[int], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def interrupted(path: str, *_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(protocol, "drive_lot", interrupted)
    with pytest.raises(SystemExit):
        main(["compare", "champion", "unprivileged", "--workers", "1"])
    assert "Interrupted. No track was driven to its end." in capsys.readouterr().err
    with pytest.raises(Stopped):
        evaluate("champion", [1], 1)


def test_a_kept_score_that_is_broken_is_made_again(tmp_path: Path, pretended: list[int], capsys: pytest.CaptureFixture[str]):
    (tmp_path / "s.json").write_text("{}")
    assert score_kept(tmp_path / "s.json", Path("champion"), [900_003], 1)["returns"] == [1.0]
    assert "it is made again" in capsys.readouterr().err
    assert score_kept(tmp_path / "s.json", Path("champion"), [900_003], 1)["returns"] == [1.0]
    assert pretended == [900_003]


def test_a_score_of_a_dream_that_goes_on_from_other_moments_is_made_again(tmp_path: Path, agent: Agent, pretended: list[int]):
    folder, file = tmp_path / "agent", tmp_path / "s.json"
    agent.save(folder)
    first = score_kept(file, folder, [900_003], 1, "dream")
    assert score_kept(file, folder, [900_003], 1, "dream") == first
    assert pretended == [900_003]
    assert agent.starts is not None
    agent.starts = Starts(agent.starts.z[:2], agent.starts.state[:2])
    agent.save(folder)
    second = score_kept(file, folder, [900_003], 1, "dream")
    assert pretended == [900_003] * 2
    assert second["fingerprint"] == first["fingerprint"]
    assert second["dreamer"] != first["dreamer"]


def test_several_scores_are_made_in_one_go_and_each_as_if_alone(tmp_path: Path, agent: Agent):
    agent.save(tmp_path / "other")
    asked = [
        Asked(driver, range(3), None, track) for driver in ("champion", tmp_path / "other") for track in ("fast", "fast-bars")
    ]
    each = evaluate_each(asked, workers=2)
    assert each == [evaluate(driver, range(3), 1, track) for driver, _, _, track in asked]


def test_of_several_scores_those_that_are_missing_are_made(tmp_path: Path, pretended: list[int]):
    score_kept(tmp_path / "1.json", Path("champion"), [900_003], 1)
    asked = [Asked(Path("champion"), [900_001 + n], tmp_path / f"{n}.json") for n in (1, 2, 3)]
    score_kept(tmp_path / "2.json", Path("champion"), [900_003], 1)
    pretended.clear()
    assert [each["seeds"] for each in scores_kept(asked, 1)] == [[900_002], [900_003], [900_004]]
    assert pretended == [900_002, 900_004]
    assert scores_kept(asked, 1) == [json.loads(each.file.read_text()) for each in asked if each.file]
    assert pretended == [900_002, 900_004]


def test_of_several_scores_an_interrupted_one_is_kept_and_told(
    tmp_path: Path, pretended: list[int], monkeypatch: pytest.MonkeyPatch
):
    whole = protocol.drive_lot

    def interrupted(path: str, track: str, lot: list[int]) -> Any:
        if lot[0] == 900_002:
            raise KeyboardInterrupt
        return whole(path, track, lot)

    monkeypatch.setattr(protocol, "drive_lot", interrupted)
    asked = [Asked("champion", [900_000 + n, 900_001 + n], tmp_path / f"{n}.json") for n in (0, 2, 4)]
    with pytest.raises(Stopped) as stopped:
        evaluate_each(asked, 1)
    assert f"2 of 2 tracks driven, mean 0. They are kept in {tmp_path / '0.json'}." in stopped.value.told
    assert read_json(tmp_path / "0.json") == score_kept(tmp_path / "0.json", Path("champion"), [900_000, 900_001], 1)
    assert [each.file.exists() for each in asked if each.file] == [True, False, False]
    monkeypatch.setattr(protocol, "drive_lot", whole)
    pretended.clear()
    assert [each["complete"] for each in scores_kept(asked, 1)] == [True] * 3
    assert pretended == [900_002, 900_003, 900_004, 900_005]


def test_no_more_processes_start_than_there_is_work(pretended: list[int], monkeypatch: pytest.MonkeyPatch):
    asked: list[int] = []
    parallel = protocol.in_parallel
    monkeypatch.setattr(
        protocol, "in_parallel", lambda function, lots, workers: asked.append(workers) or parallel(function, lots, 1)
    )
    evaluate("champion", range(900_000, 900_011), 24, track="fast")
    evaluate("champion", range(900_000, 900_011), 24)
    assert asked == [2, 11]
    with pytest.raises(Refused, match="at least 1"):
        evaluate("champion", [900_000], 0)


FAST = ("evaluate", "champion", "--seeds", "900000:900001", "--workers", "1", "--track", "fast")


def test_where_a_score_goes_is_checked_before_it_is_made(
    tmp_path: Path, pretended: list[int], capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "file").touch()
    for place in (tmp_path, tmp_path / "file" / "s.json", tmp_path / ("n" * 300 + ".json")):
        with pytest.raises(SystemExit) as refused:
            main([*FAST, "--json", str(place)])
        assert refused.value.code == 1
        assert "nothing is lost" in capsys.readouterr().err
    assert pretended == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
def test_a_score_that_cannot_be_written_is_told(pretended: list[int], capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as failed:
        main([*FAST, "--json", "/dev/full"])
    told = capsys.readouterr()
    assert failed.value.code == 1
    assert "0 on 1 fast track" in told.out  # the result comes first
    assert "/dev/full: no space is left" in told.err


def test_a_score_is_written_through_links_and_into_names_of_any_length(tmp_path: Path, pretended: list[int]):
    (tmp_path / "link.json").symlink_to("real.json")
    for name in ("link.json", "n" * 240 + ".json", "[/bold]x.json"):
        main([*FAST, "--json", str(tmp_path / name)])
        assert read_score(tmp_path / name)["returns"] == [0.0]
    assert (tmp_path / "link.json").is_symlink()


def test_a_score_can_be_printed_for_another_program(pretended: list[int], capsys: pytest.CaptureFixture[str]):
    main([*FAST, "--json", "-"])
    printed = capsys.readouterr()
    assert json.loads(printed.out)["seeds"] == [900_000]
    assert "0 on 1 fast track" in printed.err


def test_what_an_agent_notes_of_itself_does_not_cost_the_score(
    tmp_path: Path, agent: Agent, pretended: list[int], capsys: pytest.CaptureFixture[str]
):
    agent.save(tmp_path / "agent")
    told = read_json(tmp_path / "agent/agent.json") | {"about": {"loss": math.nan, "rates": [math.inf]}}
    (tmp_path / "agent/agent.json").write_text(json.dumps(told))
    main(["evaluate", str(tmp_path), *FAST[2:], "--json", "-"])
    made = json.loads(capsys.readouterr().out)
    assert made["returns"] == [0.0]
    assert made["trained"] == {"loss": None, "rates": [None]}


def test_a_signal_ends_a_score_in_words_even_with_workers(tmp_path: Path):
    program = "import sys; from dreamlap.cli import main; main()"
    command = [sys.executable, "-c", program, "evaluate", "champion", "--seeds", "900000:900300", "--json", "s.json"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            command, cwd=tmp_path, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
            while process.poll() is None and children.exists() and len(children.read_text().split()) < 2:
                pass
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(15)
            process.send_signal(signal.SIGTERM)
            assert process.wait(100) == 130
        finally:
            process.kill()
    told = (tmp_path / "log").read_text()
    assert "Traceback" not in told
    assert "Interrupted. " in told
    assert (tmp_path / "s.json").exists() == ("kept in s.json" in told)


@pytest.mark.parametrize("encoding", ["ascii", "POSIX"])
def test_any_terminal_shows_what_there_is(encoding: str, tmp_path: Path):
    posix = {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    environment = posix if encoding == "POSIX" else {"PYTHONIOENCODING": encoding}
    for args, code, words in (
        (["presets"], 0, "sprint"),
        (["run", "debug", "--help"], 0, "--vision.latent"),
        (["evaluate", "ränke"], 1, "no agent in r"),
        (["evaluate"], 2, "required"),
    ):
        done = ran(*args, env=environment, cwd=tmp_path)
        assert done.returncode == code, done.stderr
        assert words in done.stdout + done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("args", [["presets"], ["evaluate", "nowhere"]])
def test_nobody_need_listen(args: list[str], tmp_path: Path):
    command = " ".join([sys.executable, "-m", "dreamlap", *args])
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    for where in (">&-", "2>&-", "| true", ">/dev/full", ">&- 2>&-"):
        shell = ["bash", "-c", f"{command} {where}"]
        done = subprocess.run(shell, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False)
        assert "Traceback" not in done.stderr, where
        assert "Exception ignored" not in done.stderr, where


@pytest.mark.parametrize(("count", "of"), [(0, 1), (0, 100), (3, 100), (13, 100), (50, 100), (100, 100), (2, 1200)])
def test_the_interval_of_a_share_is_wilsons(count: int, of: int):
    found = binomtest(count, of).proportion_ci(0.95, "wilson")
    assert wilson_interval(count, of) == pytest.approx([found.low, found.high], abs=1e-12)


def test_drives_below_800_are_lost(tmp_path: Path):
    made = score([799.99, 800.0, 930.0, -20.0])
    assert made["lost"] == 2
    assert made["lost_interval"] == pytest.approx([0.15, 0.85], abs=0.01)
    told = headline(made | {"seeds": [1, 2, 3, 4], "track": "fast", "laps": 1, "caveats": []})
    assert "lost drives 2 of 4, 95 % interval 15.0 to 85.0 %" in told


def test_the_page_of_the_included_agents_has_their_scores():
    page = (Path(__file__).parents[1] / "docs/agents.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| `([\w-]+)` \| (.*) \|$", page, re.MULTILINE))
    scores = {name: load_agent(name).score for name in ("unprivileged", "champion", "champion-tuned")}
    for name, kept in scores.items():
        assert kept
        assert len(kept["seeds"]) == 100
        returns = np.array(kept["returns"])
        told = f"{returns.mean():.1f} ± {returns.std(ddof=1):.1f} | {returns.min():.1f} | {kept['laps']}"
        assert rows[name] == f"{told} | {(returns < 800).sum()}"
    assert rows.keys() == scores.keys()
