"""The tables that commands make of raw figures, and the included agents."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import ablations, real_steps, scores, steadiness
from benchmarks.ship import ship
from dreamlap.agent import load_agent
from dreamlap.estimate import cost
from dreamlap.files import write_json
from dreamlap.named import PRETRAINED
from dreamlap.pipeline import ROUND
from dreamlap.presets import PRESETS
from dreamlap.protocol import TEST_SEEDS
from dreamlap.scores import check_score, score

TRAINED = {"mind": "dream", "real_steps": 220_000, "dream_steps": 3_700_000, "seconds": 660}


def _score(returns: list[float], laps: int) -> dict:
    return {**score(returns), "laps": laps, "trained": TRAINED, "seeds": list(range(len(returns)))}


def test_scores_of_several_training_seeds_are_one_row():
    row, *published = scores.rows({"sprint": [_score([900.0, 940.0], 2), _score([880.0, 920.0], 1)]}, scores.PUBLISHED)
    assert row[0] == "**`sprint`**"
    assert row[1] == "**910**: 920 ± 28, 900 ± 28"
    assert row[2:] == ("880", "3 of 4", "0 of 4 (0.0–49.0 %)", "dream", "220 k real steps; 4 M dream steps; 11 min")
    assert any("World Models" in who and result == "906 ± 21" for who, result, *_ in published)


def test_a_table_takes_the_place_of_the_one_between_its_marks():
    one, two = scores.BEGIN.format("one"), scores.BEGIN.format("two")
    text = f"before\n{one}old\n{scores.END}\nbetween\n{two}old\n{scores.END}\nafter"
    made = scores.filled(text, {"two": "2\n", "one": "1\n"})
    assert made == f"before\n{one}1\n{scores.END}\nbetween\n{two}2\n{scores.END}\nafter"


def test_every_page_shows_what_the_raw_scores_say():
    for path, tables in scores.pages().items():
        text = path.read_text("utf-8")
        assert scores.filled(text, tables) == text, path.name


def test_final_scores_are_on_all_test_tracks_and_nothing_else():
    for name, found in scores.finals().items():
        for one in found:
            assert one["seeds"] == list(range(TEST_SEEDS, TEST_SEEDS + 100)), name
            assert one["track"] == "stock"
            assert one["mean"] == pytest.approx(sum(one["returns"]) / 100, abs=1e-3)


def test_ablations_are_told_by_name_with_all_their_seeds():
    found = {"whole-0": _score([900.0, 940.0], 2), "whole-2": _score([880.0, 920.0], 1)}
    assert (
        "| `whole` | V + M, in the dream: what the others change | **910** | 920 ± 28, 900 ± 28 | 880 | 3 of 4 |"
        in ablations.page(found)
    )
    text = ablations.PAGE.read_text("utf-8") if ablations.PAGE.exists() else ""
    raw = {path.stem: json.loads(path.read_text("utf-8")) for path in sorted((scores.HERE / ablations.RAW).glob("*.json"))}
    assert not raw or ablations.page(raw) == text


def test_every_ablation_is_a_setting_that_exists():
    from dreamlap.cli.runs import parse

    base = parse("run", ["sprint"])
    for ablation in ablations.ABLATIONS.values():
        command = parse("run", ["sprint", *ablation.flags])
        assert (command.config != base.config) == bool(ablation.flags)
        assert ablation.since in (*ROUND, "rounds")


def test_an_ablation_shares_what_comes_before_its_change_and_nothing_else(tmp_path: Path):
    whole, run = tmp_path / "whole", tmp_path / "run"
    for stage in ("collect", "vision", "encode", "trust", "memory", "controller"):
        write_json(whole / "round-0" / stage / "done.json", {})
    write_json(whole / "round-1/collect/done.json", {})
    for episode in ("r00-autopilot-00000.episode", "r01-agent-00000.episode"):
        write_json(whole / "episodes" / episode, {})
    ablations.share(whole, run, "memory")
    assert sorted(path.name for path in (run / "round-0").iterdir()) == ["collect", "encode", "trust", "vision"]
    assert [path.name for path in (run / "episodes").iterdir()] == ["r00-autopilot-00000.episode"]
    assert sorted(path.name for path in run.iterdir()) == ["episodes", "round-0"]


def test_an_agent_is_shipped_with_what_made_it(tmp_path: Path):
    run = tmp_path / "run"
    load_agent("champion").save(run / "agent")
    for file in ("config.json", "versions.json"):
        write_json(run / file, {"from": file})
    write_json(run / "round-0/collect/done.json", {"seconds": 3.0, "steps": 10, "returns": [1.0, 3.0]})
    made = _score([900.0, 910.0], 2) | {"fingerprint": load_agent("champion").fingerprint}
    write_json(run / "scores/selection.json", made)
    ship(run, tmp_path / "kept", run / "scores/selection.json")
    assert json.loads((tmp_path / "kept/score.json").read_text()) == made
    log = json.loads((tmp_path / "kept/log.json").read_text())
    assert log["rounds"]["0"]["collect"] == {"seconds": 3.0, "steps": 10, "mean_return": 2.0}
    assert load_agent(tmp_path / "kept").starts is not None
    write_json(run / "scores/selection.json", made | {"fingerprint": load_agent("unprivileged").fingerprint})
    with pytest.raises(ValueError, match="score of another agent"):
        ship(run, tmp_path / "kept", run / "scores/selection.json")


def test_what_comes_along_is_small():
    for folder in PRETRAINED.iterdir():
        assert sum(file.stat().st_size for file in folder.iterdir()) < 20_000_000


def test_every_score_of_the_project_is_one():
    folder = scores.HERE / "scores"
    paths = [*PRETRAINED.glob("*/score.json"), *folder.rglob("*-?.json"), *folder.glob("demo*.json"), *folder.glob("seeds/*")]
    assert len(paths) > 50
    for path in paths:
        value = json.loads(path.read_text("utf-8"))
        value = value.get("score", value)
        made = check_score(value, str(path))
        assert made["mean"] == pytest.approx(value["mean"], abs=1e-3), path
        assert made["interval"] == pytest.approx(value["interval"], abs=1e-3), path


def test_a_table_shows_no_spread_of_one_track_and_no_score_that_was_interrupted(tmp_path: Path):
    found = {"whole-0": _score([900.0], 1), "whole-1": _score([900.0, 940.0], 1)}
    assert "| **910** | 900, 920 ± 28 |" in ablations.page(found)
    write_json(tmp_path / "a.json", _score([900.0], 1))
    write_json(tmp_path / "b.json", {"seeds": [1, 2], "returns": [900.0], "complete": False})
    assert list(ablations.whole_scores(tmp_path)) == ["a"]


@pytest.mark.parametrize("kind", real_steps.KINDS)
@pytest.mark.parametrize("amount", real_steps.AMOUNTS)
def test_a_recipe_drives_as_much_as_its_name_says(kind: str, amount: int):
    recipe = real_steps.recipe(kind, amount)
    assert recipe.rounds.more == 0  # rounds that are added would be driven, too
    assert 0.97 < cost(recipe).real / 1000 / amount < 1.03
    assert bool(recipe.collect.autopilot) == (kind == "autopilot")
    if (kind, amount) == ("autopilot", 198):
        demo = PRESETS["demo"].config
        assert recipe == replace(demo, rounds=replace(demo.rounds, more=0))
    if (kind, amount) == ("autopilot", 25):
        assert recipe == PRESETS["frugal"].config


def test_what_was_not_run_yet_is_told_below_the_table():
    some = [("autopilot", 25), ("autopilot", 50), ("autopilot", 100)]
    left = "198,000 with the autopilot; 25,000, 50,000, 100,000, 198,000 without"
    assert real_steps.missing(dict.fromkeys(some)) == f"\nNot run yet: {left}.\n"
    assert real_steps.missing(dict.fromkeys((kind, each) for kind in real_steps.KINDS for each in real_steps.AMOUNTS)) == ""


def test_real_steps_are_told_by_what_was_driven(tmp_path: Path):
    found = {f"autopilot-25-{seed}": _score([800.0 + 50 * seed, 700.0], 0) for seed in (4, 5)}
    assert [len(real_steps.seeds_of(found, kind, 25)) for kind in real_steps.KINDS] == [2, 0]
    row = real_steps.row("autopilot", 25, list(found.values()))
    assert row == (
        "25,000", "with the autopilot", "220 k, 220 k", "**862**", "850 ± 212, 875 ± 247", "700", "2 of 4 (15.0–85.0 %)"
    )  # fmt: skip
    real_steps.draw({("autopilot", 25): list(found.values())}, tmp_path / "figure")
    assert (tmp_path / "figure").read_bytes()[1:4] == b"PNG"


def test_steadiness_sums_up_the_trainings_of_a_preset():
    found = {f"demo-4-{kind}": _score([930.0, last], 2) for kind, last in (("bfloat16", 790.0), ("float32", 920.0))}
    *each, whole = [line for line in steadiness.page(found).splitlines() if line.startswith("| `demo`")]
    assert [line.split(" | ")[1:3] for line in each] == [["4", "bfloat16"], ["4", "float32"]]
    assert "**892.5** (860.0 to 925.0) | 790 | 925 | 4 of 4 | 1 of 4" in whole
