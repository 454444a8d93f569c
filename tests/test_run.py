"""A whole run at the smallest size: by the command a user types, broken off in any stage, and started again."""

import dataclasses
import hashlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import dreamlap
from dreamlap.agent import load_agent
from dreamlap.cli.runs import PresetCommand, parse
from dreamlap.history import history
from dreamlap.presets import PRESETS, settings_of
from dreamlap.settings import from_dict, scaled

TINY = (
    *("debug", "--name", "tiny", "--collect.steps", "40", "--collect.autopilot", "1", "--collect.correlated", "1"),
    *("--collect.random", "0", "--rounds.steps", "40", "--rounds.episodes", "1", "--memory.hidden", "16"),
    *("--vision-training.updates", "12", "--memory-training.updates", "12", "--ppo.updates", "4", "--ppo.num_envs", "8"),
    *("--rounds.memory-updates", "6", "--rounds.controller-updates", "2", "--selection.tracks", "1", "--selection.scored", "2"),
    *("--selection.video-steps", "20", "--selection.check_steps", "60"),
)
STAGES = ["collect", "vision", "memory", "controller"]


BREAKING = """
import os, signal, sys
from dreamlap.cli import main
from dreamlap.episodes import EpisodeStore
from dreamlap.run import Stage

where, how = sys.argv.pop(1), int(sys.argv.pop(1))
signal.signal(signal.SIGINT, signal.default_int_handler)  # what is started in the background is told to ignore it

def breaking(method, name):
    def call(self, *args):
        method(self, *args)
        if where in name(self, *args):
            os.killpg(0, how)
    return call

Stage.save = breaking(Stage.save, lambda stage, *_: str(stage.folder))
EpisodeStore.write = breaking(EpisodeStore.write, lambda store, name, _: name)
main()
"""
"""The command line, but it sends itself a signal once it has kept something whose name holds a word."""


def _start(folder: Path, *args: str, program: tuple[str, ...] = ("-m", "dreamlap")) -> subprocess.Popen[str]:
    source = str(Path(dreamlap.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": source}
    return subprocess.Popen(
        [sys.executable, *program, *args],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def _run(folder: Path, *args: str) -> str:
    process = _start(folder, *args)
    output = process.communicate(timeout=800)[0]
    assert process.returncode == 0, output
    return output


def _weights(folder: Path) -> dict[str, str]:
    files = sorted((folder / "runs/tiny/round-1/controller/agent").glob("*.safetensors"))
    assert len(files) == 4
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny run that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    _run(folder, "run", *TINY)
    return folder


def test_a_run_leaves_what_it_promises(whole: Path):
    run = whole / "runs/tiny"
    for name in (
        "config.json",
        "versions.json",
        "agent/agent.json",
        "scores/selection.json",
        "report.html",
        "videos/drive.mp4",
        "videos/worst.mp4",
    ):
        assert (run / name).stat().st_size > 0
    noted = history(run)
    assert noted[0]["command"].endswith("dreamlap run " + shlex.join(TINY))
    assert {line["phase"] for line in noted[1:]} >= {"learn", "select", "score", "check", "videos"}
    kept = json.loads((run / "scores/selection.json").read_text())
    assert kept["seeds"] == [900_000, 900_001]
    assert kept["mean"] == pytest.approx(np.mean(kept["returns"]))
    assert kept["track"] == "stock"
    for number in (0, 1):
        for name in STAGES:
            assert (run / f"round-{number}/{name}").is_dir()
    agent = load_agent(run)
    assert agent.act(np.zeros((96, 96, 3), np.uint8)).shape == (3,)
    assert agent.starts is not None
    assert agent.about["drivers"] == {"autopilot": 1, "correlated": 1, "agent": 1}
    assert agent.about["real_steps"] > 40
    assert agent.about["dream_steps"] == 4 * 8 * 25 + 2 * 8 * 25
    assert agent.about["seconds"] > 0
    weighed = json.loads((run / "trust.json").read_text())
    assert [one["name"] for one in weighed["controllers"][:3]] == ["round 0", "round 1", "perturbed 0.05"]
    assert json.loads((run / "round-1/trust/done.json").read_text())["alarm"] in (True, False)


def test_the_same_command_again_changes_nothing(whole: Path):
    before = _weights(whole)
    output = _run(whole, "run", *TINY)
    assert "on 2 tracks" in output
    assert _weights(whole) == before


@pytest.mark.parametrize(
    ("where", "how"),
    [
        ("round-0/vision", signal.SIGKILL),
        ("round-0/memory", signal.SIGINT),
        ("round-0/controller", signal.SIGTERM),
        ("r01-", signal.SIGKILL),
    ],
)
def test_a_broken_run_ends_as_an_unbroken_one(whole: Path, tmp_path: Path, where: str, how: signal.Signals):
    command = ("train", "controller", *TINY)
    process = _start(tmp_path, *command, "--workers", "1", program=("-c", BREAKING, where, str(int(how))))
    output = process.communicate(timeout=800)[0]
    assert process.returncode != 0, output
    assert not (tmp_path / "runs/tiny/round-1/controller/done.json").exists()
    if how != signal.SIGKILL:
        assert "dreamlap train controller debug --name tiny" in output
    _run(tmp_path, *command)
    assert _weights(tmp_path) == _weights(whole)


def test_other_settings_on_the_same_folder_are_refused(whole: Path):
    process = _start(whole, "run", *TINY, "--seed", "5")
    output = process.communicate(timeout=200)[0]
    assert process.returncode == 1
    assert "--seed 0 -> 5" in output


def test_c_learns_in_the_dream_without_the_track(whole: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Trained in the dream: no step of the track enters C's objective. Here the track raises."""
    from dreamlap.files import read_json
    from dreamlap.pipeline import Run, train_controller
    from dreamlap.run import Stage
    from dreamlap.track import FastCarRacing

    def awake(*_: object, **__: object) -> None:
        raise AssertionError("C touched the track")

    shutil.copytree(whole / "runs/tiny", tmp_path / "tiny")
    for name in ("step", "reset"):
        monkeypatch.setattr(FastCarRacing, name, awake)
    settings = read_json(tmp_path / "tiny/config.json")
    settings.pop("data")
    run = Run(tmp_path / "tiny", from_dict(type(PRESETS["demo"].config), settings, "config.json"))
    agent = load_agent(whole / "runs/tiny/round-0/controller/agent")
    train_controller(run, 0, Stage(tmp_path / "again"), agent)
    assert Stage(tmp_path / "again").done


def test_a_single_candidate_need_not_drive_to_be_chosen(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from dreamlap import outcome
    from dreamlap.files import read_json
    from dreamlap.plan import Run

    def drive(*_: object, **__: object) -> None:
        raise AssertionError("there is nothing to choose")

    monkeypatch.setattr(outcome, "score_kept", drive)
    settings = read_json(whole / "runs/tiny/config.json")
    settings.pop("data")
    settings["rounds"]["rounds"] = 0
    shutil.copytree(whole / "runs/tiny/round-0", tmp_path / "one/round-0")
    run = Run(tmp_path / "one", from_dict(type(PRESETS["demo"].config), settings, "config.json"))
    outcome.choose(run)
    assert read_json(tmp_path / "one/select/done.json")["best"] == 0
    chosen, only = load_agent(tmp_path / "one"), load_agent(tmp_path / "one/round-0/controller/agent")
    assert all(torch.equal(a, b) for a, b in zip(chosen.controller.parameters(), only.controller.parameters(), strict=True))


def test_the_choice_is_kept_drive_by_drive_and_goes_on(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from dreamlap import outcome
    from dreamlap.evaluation import Asked
    from dreamlap.files import read_json
    from dreamlap.plan import Run
    from dreamlap.protocol import CHOOSING

    settings = read_json(whole / "runs/tiny/config.json")
    settings.pop("data")
    settings["selection"]["tracks"] = 8
    for number in (0, 1):
        shutil.copytree(whole / f"runs/tiny/round-{number}", tmp_path / f"two/round-{number}")
    asked: list[tuple[str, Sequence[int]]] = []

    def drive(candidates: Sequence[Asked], *_: object) -> list[dict[str, Any]]:
        asked.extend((each.file.name, each.seeds) for each in candidates if each.file)
        steady = ["round-1" in str(each.driver) for each in candidates]
        return [
            {"returns": [850.0 if is_steady else 20.0 if track == CHOOSING + 5 else 930.0 for track in each.seeds]}
            for each, is_steady in zip(candidates, steady, strict=True)
        ]

    monkeypatch.setattr(outcome, "scores_kept", drive)
    run = Run(tmp_path / "two", from_dict(type(PRESETS["demo"].config), settings, "config.json"))
    outcome.choose(run)
    done = read_json(tmp_path / "two/select/done.json")
    assert done["best"] == load_agent(tmp_path / "two").about["round"] == 1  # not the one with the higher mean
    assert {n: len(found) for n, found in done["returns_of"].items()} == {"0": 8, "1": 8}
    parts = [range(CHOOSING, CHOOSING + 2), range(CHOOSING + 2, CHOOSING + 4), range(CHOOSING + 4, CHOOSING + 8)]
    assert [tracks for _, tracks in asked] == [part for part in parts for _ in (0, 1)]
    assert len({name for name, _ in asked}) == 6  # a file for each: what was driven is not driven again


def test_rounds_are_added_while_too_many_drives_are_lost(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from dreamlap import outcome
    from dreamlap.evaluation import Asked
    from dreamlap.files import read_json
    from dreamlap.plan import Run

    settings = read_json(whole / "runs/tiny/config.json")
    settings.pop("data")
    settings["selection"] |= {"tracks": 8, "lost": 0.1}
    settings["rounds"]["more"] = 2
    shutil.copytree(whole / "runs/tiny", tmp_path / "run", ignore=shutil.ignore_patterns("select", "agent", "report.html"))
    (tmp_path / "run/config.json").unlink()
    shutil.copytree(whole / "runs/tiny/round-0/controller/agent", tmp_path / "run/round-0/controller/agent")
    shutil.copytree(whole / "runs/tiny/round-1/controller/agent", tmp_path / "run/round-1/controller/agent")
    lost, asked = {1: 1, 3: 4, 5: 0}, []

    def drive(candidates: Sequence[Asked], *_: object) -> list[dict[str, Any]]:
        numbers = [int(str(each.driver).split("round-")[1].split("/")[0]) for each in candidates]
        asked.extend((each.file.parent.name, n) for each, n in zip(candidates, numbers, strict=True) if each.file)
        lots = [(lost.get(n, 8), len(each.seeds)) for each, n in zip(candidates, numbers, strict=True)]
        return [{"returns": [10.0] * bad + [900.0] * (count - bad)} for bad, count in ((min(b, c), c) for b, c in lots)]

    monkeypatch.setattr(outcome, "scores_kept", drive)

    def train() -> Run:
        run = Run(tmp_path / "run", from_dict(type(PRESETS["demo"].config), settings, "config.json"))
        outcome.learn_and_choose(run)
        return run

    run = train()
    assert run.added == 2
    assert (run.config.rounds.rounds, run.config.rounds.restart) == (5, (2, 4))  # from scratch in the first of them
    assert load_agent(tmp_path / "run").about["round"] == 5
    raced = {folder: {number for at, number in asked if at == folder} for folder, _ in asked}
    assert raced == {"select": {0, 1}, "select-1": {1, 2, 3}, "select-2": {1, 4, 5}}  # and the best of those before
    asked.clear()
    assert train().added == 2
    assert asked == []  # a run that is finished is finished
    assert read_json(tmp_path / "run/config.json")["rounds"]["rounds"] == 1  # what was asked for


def test_candidates_race_and_the_slower_half_drops_out():
    from dreamlap.outcome import race, rank

    worth = {1: 920.0, 2: 700.0, 3: 930.0, 4: 925.0, 5: 915.0, 6: 880.0}
    unlucky = {3: {60, 61}, 6: {1}}  # tracks that a candidate loses

    def drive(tracks: dict[int, range]) -> dict[int, list[float]]:
        return {n: [10.0 if seed in unlucky.get(n, ()) else worth[n] for seed in seeds] for n, seeds in tracks.items()}

    driven = race(list(worth), range(100), drive)
    assert {number: len(found) for number, found in driven.items()} == {1: 50, 2: 25, 3: 100, 4: 100, 5: 25, 6: 25}
    assert min(driven, key=lambda number: rank(driven[number])) == 4  # 3 had the higher mean until it lost two drives
    assert rank([900.0] * 99 + [880.0]) < rank([940.0] * 99 + [300.0]) < rank([940.0] * 98 + [300.0, 300.0])
    assert rank([930.0] * 10) < rank([910.0] * 10)
    assert rank([600.0] * 5 + [920.0] * 5) < rank([30.0] * 4 + [920.0] * 6)  # slow is better than stuck
    assert {n: len(found) for n, found in race([1, 2], range(3), drive).items()} == {1: 3, 2: 3}
    assert {n: len(found) for n, found in race([1, 2, 3], range(1), drive).items()} == {1: 1, 2: 1, 3: 1}


def test_scale_shrinks_everything_together():
    full = settings_of("ha2018", full=True)
    tenth = scaled(full, 0.01)
    assert (tenth.collect.random, tenth.cmaes.generations, tenth.collect.steps) == (100, 18, 40)
    assert tenth.cmaes.population == 4
    assert tenth.vision.latent == full.vision.latent
    assert scaled(full, 1) is full
    with pytest.raises(ValueError, match="above 0"):
        scaled(full, 0)
    command = parse("run", ["ha2018", "--full", "--scale", "0.01", "--cmaes.population", "6"], 0.01, full=True)
    assert (command.config.cmaes.population, command.config.cmaes.generations) == (6, 18)
    assert parse("run", ["ha2018"]).config.cmaes.budget > 0


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["fly"], "there is no verb 'fly'"),
        (["evaluate", "nowhere"], "no agent in nowhere"),
        (["run", "demo", "--vision.latnt", "3"], "--vision.latent"),
        (["run", "demo", "--vision.latent", "many"], "many"),
        (["train", "wheels", "demo"], "train what"),
    ],
)
def test_wrong_words_are_answered_with_right_ones(args: list[str], message: str, tmp_path: Path):
    process = _start(tmp_path, *args)
    output = process.communicate(timeout=200)[0]
    assert process.returncode not in (0, None)
    assert message in output


def test_help_teaches(tmp_path: Path):
    assert "dreamlap run demo" in _run(tmp_path, "--help")
    assert "--vision.latent" in _run(tmp_path, "run", "demo", "--help")
    assert "ha2018" in _run(tmp_path, "presets")


def test_every_setting_is_read_somewhere():
    source = "\n".join(path.read_text() for path in Path(dreamlap.__file__).parent.rglob("*.py"))

    def unread(settings: Any) -> list[str]:
        found = []
        for field in dataclasses.fields(settings):
            value = getattr(settings, field.name)
            if not re.search(rf"\.{field.name}\b", source):
                found.append(field.name)
            if dataclasses.is_dataclass(value):
                found += unread(value)
        return found

    assert unread(PRESETS["demo"].config) == []
    assert unread(PresetCommand(PRESETS["demo"].config)) == []


def test_the_dream_of_the_nvae_system_starts_where_its_policy_drove(tmp_path: Path):
    """Its text builds the dream from "the learned environment model and policy"."""
    from dreamlap.pipeline import latents_of
    from dreamlap.plan import Run

    sizes = ("--vision.latent", "4", "--vision.width", "8", "--vision.groups", "1", "1", "1", "--memory.hidden", "16")
    updates = ("--vision_training.updates", "2", "--vision_training.batch", "8", "--memory_training.updates", "2")
    data = ("--collect.correlated", "3", "--collect.steps", "160", "--rounds.episodes", "2", "--rounds.steps", "160")
    search = ("--cmaes.generations", "1", "--cmaes.rollouts", "1", "--cmaes.steps", "20", "--cmaes.first_rollouts", "0")
    search += ("--cmaes.final_tracks", "1", "--rounds.memory_updates", "2")
    _run(tmp_path, "train", "controller", "carracing-nvae", "--name", "n", *sizes, *updates, *data, *search)
    settings = json.loads((tmp_path / "runs/n/config.json").read_text())
    settings.pop("data")
    run = Run(tmp_path / "runs/n", from_dict(type(PRESETS["demo"].config), settings, "config.json"))
    before, agent = (load_agent(tmp_path / f"runs/n/round-{number}/controller/agent") for number in (0, 1))
    kept, learned = before.memory.state_dict(), agent.memory.state_dict()
    assert {name for name in kept if not torch.equal(kept[name], learned[name])} == set(kept)
    searches = [torch.load(run.stage(n, "controller").checkpoint, weights_only=True) for n in (0, 1)]
    assert not torch.equal(searches[0]["basis"], searches[1]["basis"])  # C was carried over to what M remembers now
    latents, first_fresh = latents_of(run, 1)
    reached = latents.mu[latents.start[first_fresh] :]
    assert agent.starts is not None
    share = (agent.starts.z[:, None] == reached).all(-1).any(-1).float().mean().item()
    assert share > run.config.memory_training.fresh * (1 - run.config.dream.from_start) - 0.1
