"""The presets are what docs/presets.md says of them."""

import json
import re
from dataclasses import asdict, replace
from functools import reduce
from pathlib import Path

import pytest
import torch
from torch.nn.utils import parameters_to_vector

from benchmarks.seeds import CLAIMS, draw, page, words
from dreamlap import pace, pipeline
from dreamlap.agent import build_agent, load_agent
from dreamlap.cli import main
from dreamlap.cli.runs import parse
from dreamlap.config.run import Config, RestartConfig, RoundsConfig
from dreamlap.config.training import CMAESConfig, PPOConfig
from dreamlap.control import ControllerConfig, Linear
from dreamlap.errors import Refused
from dreamlap.estimate import Timetable, cost, phases, until, usual
from dreamlap.mind import Dream
from dreamlap.presets import PRESETS, settings_of
from dreamlap.scores import check_score
from dreamlap.settings import differences

DOCS = Path(__file__).parents[1] / "docs/presets.md"


def documented() -> list[tuple[str, str, str]]:
    """(preset, setting, value) of every row of the tables."""
    rows, preset = [], ""
    for line in DOCS.read_text("utf-8").splitlines():
        if line.startswith("## "):
            preset = line[3:]
        elif found := re.fullmatch(r"\|.*\| `([\w.]+)` \| (.+) \|", line):
            rows.append((preset, found[1], found[2]))
    return rows


@pytest.mark.parametrize(("preset", "setting", "value"), documented())
def test_a_setting_is_what_its_table_says(preset: str, setting: str, value: str):
    assert str(reduce(getattr, setting.split("."), PRESETS[preset].full or PRESETS[preset].config)) == value


AMOUNTS = {
    "track.dream",  # the dream of the first system at the same size
    *("collect.random", "collect.correlated", "collect.steps", "collect.random_start", "vision_training.updates"),
    *("vision_training.kl_warmup", "vision_training.batch", "vision_training.learning_rate", "memory_training.updates"),
    *("memory_training.window", "cmaes.generations", "cmaes.budget", "cmaes.first_rollouts", "workers"),
    *("cmaes.final_sigma", "cmaes.mean_rate"),  # how a search uses a budget, of which the full one has none
}
"""What a preset may have less of by default than its text: data, updates and generations."""


@pytest.mark.parametrize("name", [name for name, preset in PRESETS.items() if preset.full])
def test_a_preset_of_an_hour_is_made_of_what_its_text_names(name: str):
    preset = PRESETS[name]
    assert preset.full
    less = {change.removeprefix("--").split(" ")[0] for change in differences(asdict(preset.full), asdict(preset.config))}
    assert less <= AMOUNTS
    assert cost(preset.config).seconds < min(3600, cost(preset.full).seconds)


def test_the_amounts_of_an_hour_are_what_their_table_says():
    rows = re.findall(r"\| `([\w-]+)` \| (\d+) × (\d+) \| (\d+) \| (\d+) \| (.+) \|", DOCS.read_text("utf-8"))
    assert {name for name, *_ in rows} == {name for name, preset in PRESETS.items() if preset.full}
    for name, drives, steps, vision, memory, evolved in rows:
        config = PRESETS[name].config
        first = config.collect
        assert int(drives) == first.random + first.correlated + first.autopilot + first.expert
        assert int(steps) == first.steps
        assert (int(vision), int(memory)) == (config.vision_training.updates, config.memory_training.updates)
        assert evolved == (f"{config.cmaes.budget:,}" if config.controller.mind == "awake" else "none: C dreams")


def test_full_is_refused_where_there_is_one_size():
    assert settings_of("ha2018", full=True) is PRESETS["ha2018"].full
    assert settings_of("demo") is PRESETS["demo"].config
    with pytest.raises(Refused, match=r"demo has one size, its full one\. Two sizes have ha2018, "):
        settings_of("demo", full=True)


def test_every_system_has_a_table_and_a_row_on_the_page_of_all():
    systems = {name for name, preset in PRESETS.items() if preset.published}
    assert systems == {words(name, 0)[0] for name in CLAIMS}
    for name in CLAIMS:
        assert parse("run", words(name, 1)).config.seed == 1
    told = {name for name, *_ in documented()}
    assert systems - told == {"rl-world-models-awake"}  # told of with rl-world-models
    assert len(documented()) > 45


def test_presets_are_listed_on_a_screen(capsys: pytest.CaptureFixture[str]):
    main(["presets"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    assert [line.split()[0] for line in lines[1 : len(PRESETS) + 1]] == list(PRESETS)
    for preset in PRESETS.values():
        assert cost(preset.config).seconds > 0
        assert len(preset.title) <= 30


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("carracing-nvae", "V nvae 32"),
        ("rl-world-models", "M gru 256"),
        ("jk2500", "V conv 1024"),
        ("jk2500", "data 100 expert"),
        ("debug", "a smoke test"),
        ("demo", "time 8 min measured"),
    ],
)
def test_a_preset_is_told_with_its_parts(name: str, parts: str, capsys: pytest.CaptureFixture[str]):
    main(["presets", name])
    assert parts in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("name", PRESETS)
def test_only_published_systems_are_compared_with_their_originals(name: str, capsys: pytest.CaptureFixture[str]):
    main(["presets", name])
    compared = "docs/presets.md compares its settings" in capsys.readouterr().out
    assert compared == (name in {words(claim, 0)[0] for claim in CLAIMS})


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("demo", "demo.json"),
        ("sprint", "demo.json"),
        ("quick", "quick.json"),
        ("frugal", "frugal-?.json"),
        ("champion", "final/champion-??.json"),
        ("champion-tuned", "final/champion-tuned-?.json"),
        ("linear", "final/linear-?.json"),
        ("unprivileged", "final/unprivileged-??.json"),
        ("linear-from-scratch", "linear-from-scratch-?.json"),
        *((name, f"seeds/{name}-?.json") for name in ("rl-world-models", "rl-world-models-awake", "world-models-pytorch")),
        *((name, f"seeds/{name}-?.json") for name in ("jk2500", "carracing-nvae", "world-model-toy")),
        *((name, f"seeds/{name}-?.json") for name in ("ha2018", "carracing-nvae-dream")),
    ],
)
def test_a_listed_score_is_the_mean_of_its_files(name: str, files: str):
    found = [json.loads(path.read_text("utf-8")) for path in sorted((DOCS.parents[1] / "scores").glob(files))]
    means = [check_score(each.get("score", each), name)["mean"] for each in found]
    assert int(PRESETS[name].score.rstrip("*")) == round(sum(means) / len(means))


def test_ppo_awake_takes_its_time_whatever_the_workers():
    config = PRESETS["champion-tuned"].config
    steps = 360 * 32 * 128
    assert steps / 2000 < cost(config).seconds < steps / 800  # 1,320 steps a second of one core, measured beside other work
    assert cost(replace(config, workers=8)).seconds == pytest.approx(cost(config).seconds, rel=0.01)


def test_repeated_steps_count_and_their_frames_are_not_kept():
    awake = PRESETS["rl-world-models-awake"].config
    once = replace(awake, track=replace(awake.track, repeat=1))
    repeated, each = cost(awake), cost(once)
    assert repeated.real == each.real
    assert repeated.controlled == 4 * each.controlled
    assert repeated.disk == pytest.approx(each.disk / 4)


def test_the_page_of_systems_has_a_row_for_each_training():
    score = {"mean": 12.3, "sd": 4.0, "min": 1.0, "laps": 0, "lost": 2, "returns": [1.0, 2.0]}
    system = {
        "score": score | {"trained": {"real_steps": 1_000_000, "awake_steps": 2_340_000}},
        "dreams": {"first": 40.0, "own": 50.0},
        "vision": {"bits_per_dimension": 1.5, "rms": 9.0},
        "memory": {"nll_per_dim": -0.1, "reward_rmse": 1.2},
        "seconds": {"collect": 61.0, "score": 9.0},
        "stages": {"collect": 61.0},
        "config": {"controller": {"mind": "awake"}, "track": {"repeat": 4}},
        "curve": {"x": "steps of the track", "y": "mean return of a generation", "points": [[1e5, 3.0], [2e6, 7.0]]},
    }
    asleep = {"controller": {"mind": "dream"}, "track": {"repeat": 1}}
    dreamed = system | {
        "config": asleep,
        "score": score | {"trained": {"real_steps": 20_000, "dream_steps": 5_000_000}},
        "dreams": {},
    }
    found = {"carracing-nvae-dream-1": system, "world-model-toy-0": dreamed, "world-model-toy-1": dreamed}
    text = page(found)
    row = "| `carracing-nvae-dream` | 1 | 12 ± 4 | 1 | 2 of 2 (34.2–100.0 %) | 0 of 2 | 6.00 M | – | 1:10 |"
    assert row in text
    assert "| `world-model-toy` | 1 | 12 ± 4 | 1 | 2 of 2 (34.2–100.0 %) | 0 of 2 | 0.02 M | 5.0 M | 1:10 |" in text
    assert "| `carracing-nvae-dream` | 1 | 1.500 | 9.0 | -0.100 | 1.20 |" in text
    assert "| `carracing-nvae-dream` | 1 | 1:01 | 0:00 | 0:00 | 0:00 | 0:00 |" in text
    assert "(seed 1): predicted 40 in the first dream, 50 in the own dream; actual 12 on the real track" in text
    assert "Not trained at this size yet: `rl-world-models`, `rl-world-models-awake`, " in text
    assert draw(found).startswith(b"\x89PNG")


def test_rates_and_the_bonus_on_entropy_fall_over_the_rounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    rounds = RoundsConfig(rounds=4, decay=0.01)
    assert [rounds.rate(n) for n in (0, 2, 4)] == pytest.approx([1, 0.1, 0.01])
    given: list[PPOConfig] = []
    monkeypatch.setattr(pipeline, "dreams", lambda *_: [])
    monkeypatch.setattr(pipeline, "train_ppo", lambda *arguments: given.extend(arguments[3]))
    config = replace(PRESETS["debug"].config, rounds=rounds, ppo=PPOConfig(num_envs=2, off_road_penalty=16.0))
    run, agent = pipeline.Run(tmp_path / "run", config), build_agent(config.agent)
    for number in (0, 2, 4):
        pipeline.fit_controller(run, number, run.stage(number, "controller"), agent, 0)
    assert [ppo.off_road_penalty for ppo in given] == [16, 16, 16]
    assert [ppo.learning_rate / given[0].learning_rate for ppo in given] == pytest.approx([1, 0.1, 0.01])
    assert [ppo.entropy / given[0].entropy for ppo in given] == pytest.approx([1, 0.1, 0.01])


def test_c_is_trained_from_scratch_in_the_round_of_its_restart():
    rounds = RoundsConfig(rounds=4, decay=0.01, penalty_growth=4.0, controller_updates=7, restart=(2,), restart_updates=5)
    ppo = PPOConfig(updates=9, learning_rate=1.0, leaving_penalty=10.0, noise=0.5)
    told = {n: [(c.updates, c.learning_rate, c.leaving_penalty, c.noise) for c in rounds.curriculum(ppo, n)] for n in range(4)}
    assert told[0] == [(9, 1, 10, 0.5)]
    assert told[1] == [(7, pytest.approx(0.01**0.25), pytest.approx(10 * 4**0.25), None)]
    assert told[2] == [(5, pytest.approx(0.1**s), pytest.approx(10 * 2**s), 0.5) for s in (0, 0.5, 1)]
    assert told[3] == [(7, pytest.approx(0.01**0.75), pytest.approx(10 * 4**0.75), None)]
    evolved = rounds.evolution(CMAESConfig(leaving_penalty=10.0), 2)
    assert (evolved.generations, evolved.leaving_penalty) == (7, pytest.approx(20.0))


def test_a_run_may_begin_with_an_agent_that_is_there():
    config = PRESETS["champion-tuned"].config
    begun, champion = pipeline.first_agent(config), load_agent("champion")
    assert begun.config == config.agent
    for name in ("vision", "memory", "controller"):
        for own, theirs in zip(getattr(begun, name).parameters(), getattr(champion, name).parameters(), strict=True):
            assert torch.equal(own, theirs)
    with pytest.raises(ValueError, match=r"champion is made otherwise than .*--controller\.smoothing 0\.0 -> 0\.3"):
        pipeline.first_agent(replace(config, controller=replace(config.controller, smoothing=0.3)))


def test_a_linear_c_that_begins_with_an_agent_imitates_it(monkeypatch: pytest.MonkeyPatch):
    config, champion, asked = PRESETS["linear"].config, load_agent("champion"), []
    monkeypatch.setattr(pipeline, "distill", lambda *given: asked.append(given))
    begun = pipeline.first_agent(config)
    assert isinstance(begun.controller, Linear)
    assert sum(part.numel() for part in begun.controller.parameters()) == 578
    ((student, teacher, mind, _),) = asked
    assert student is begun.controller
    own, theirs = (parameters_to_vector(c.parameters()) for c in (teacher, champion.controller))
    assert torch.equal(own, theirs)
    assert isinstance(mind, Dream)
    with pytest.raises(ValueError, match=r"--track\.actions pedal -> stock"):
        pipeline.first_agent(replace(config, track=replace(config.track, actions="stock")))


def test_a_controller_that_begins_anew_learns_to_drive_and_then_not_to_miss_a_tile():
    ppo = PPOConfig(learning_rate=1e-3, entropy=0.01, off_road_penalty=2.5, updates=25)
    course = RestartConfig(controllers=1, updates=18, off_road_penalty=8).curriculum(ppo)
    assert [lesson.updates for lesson in course] == [18] * 8
    assert [lesson.off_road_penalty for lesson in course] == [2.5] * 5 + [8] * 3
    shares = [1, 0.1**0.25, 0.1**0.5, 0.1**0.75, 0.1, 0.1**0.5, 0.1**0.75, 0.1]
    assert [lesson.learning_rate for lesson in course] == pytest.approx([1e-3 * share for share in shares])
    assert [lesson.entropy for lesson in course] == pytest.approx([0.01 * share for share in shares])
    with pytest.raises(ValueError, match=r"only an actor-critic can be restarted: --restarts\.controllers 0"):
        Config(controller=ControllerConfig(kind="linear"), restarts=RestartConfig(controllers=1))


def test_the_phases_of_a_run_are_those_that_it_goes_through():
    config = PRESETS["demo"].config
    expected = phases(config, usual(config))
    assert list(expected)[:5] == [f"round-0/{stage}" for stage in ("collect", "vision", "encode", "memory", "controller")]
    assert list(expected)[-4:] == ["select", "score", "check", "videos"]
    assert {phase.split("/")[0] for phase in until("controller", expected)} == {f"round-{n}" for n in range(10)}
    assert list(until("vision", expected)) == ["round-0/collect", "round-0/vision"]
    assert sum(phases(config, usual(config), 1).values()) > 1.5 * sum(expected.values())
    assert "check" not in phases(PRESETS["ha2018"].config, usual(config))
    again = replace(config, restarts=RestartConfig(1), rounds=replace(config.rounds, more=0))
    assert f"round-{config.last + 1}/controller" in phases(again, usual(config))


@pytest.mark.parametrize("dream", ["", "champion"])
def test_the_pace_is_that_of_one_step_of_what_is_driven(dream: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pace, "_seconds", lambda work, *_, **__: float(bool([work()])))
    config, repeat = PRESETS["debug"].config, 1 if dream else 4
    measured = pace.measure(replace(config, track=replace(config.track, dream=dream, repeat=repeat)))
    assert measured.track == pytest.approx(1 / pace.STEPS / repeat)


def test_what_is_left_follows_the_pace_of_what_is_done():
    timetable = Timetable({"a": 10.0, "b": 20.0, "c": 30.0})
    assert timetable.left == 60
    timetable.passed("a", 0.1)  # it had been done before
    assert timetable.left == 50
    timetable.passed("b", 40.0)
    assert timetable.left == 60
    timetable.passed("c", 60.0)
    assert timetable.left == 0
