"""A run that goes on: what may change and what may not, what is made again when its inputs change, and who owns the folder."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from dreamlap import outcome, pipeline
from dreamlap.agent import load_agent
from dreamlap.config.run import CollectConfig, Config, ControllerConfig, RestartConfig, RoundsConfig, SelectionConfig
from dreamlap.drivers import DriverConfig
from dreamlap.episodes import Episode, EpisodeStore
from dreamlap.episodes.record import collect
from dreamlap.errors import Failed, Refused
from dreamlap.files import Owned, read_json, replacing, write_json
from dreamlap.learn.cmaes import CMAESConfig
from dreamlap.learn.memory import MemoryTraining
from dreamlap.learn.ppo import PPOConfig
from dreamlap.learn.vision import VisionTraining
from dreamlap.memory import MemoryConfig
from dreamlap.pipeline import learn
from dreamlap.plan import BINDS, READS, Run
from dreamlap.scores import check_score
from dreamlap.show.video import label_of, write_video
from dreamlap.track import TrackConfig
from dreamlap.vision import VisionConfig
from dreamlap.weights import save_tensors

QUICK = Config(
    collect=CollectConfig(correlated=2, autopilot=0, steps=40),
    vision=VisionConfig("light", latent=4, width=8),
    vision_training=VisionTraining(updates=3, batch=4),
    memory=MemoryConfig("lstm", hidden=8, mixtures=2),
    memory_training=MemoryTraining(updates=3, batch=2, window=8),
    ppo=PPOConfig(updates=3, num_envs=2, steps=4, minibatch=8),
    rounds=RoundsConfig(rounds=0, episodes=1, steps=40, memory_updates=1, controller_updates=1),
    selection=SelectionConfig(candidates=1, check_steps=60),
    workers=1,
)
"""A run that is over in seconds."""
LINEAR = replace(QUICK, controller=ControllerConfig("linear"))


def evolving(generations: int, budget: int = 0) -> CMAESConfig:
    """An evolution that is over in seconds."""
    return CMAESConfig(generations, population=4, rollouts=1, steps=20, budget=budget, final_tracks=1)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a quick run whose C has learned."""
    folder = tmp_path_factory.mktemp("made") / "run"
    learn(Run(folder, QUICK))
    return folder


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    """A copy of it, to be meddled with."""
    shutil.copytree(made, tmp_path / "run", ignore=shutil.ignore_patterns(".lock"))
    return tmp_path / "run"


def times(folder: Path) -> dict[str, int]:
    """When each stage of round 0 was finished."""
    return {path.parent.name: path.stat().st_mtime_ns for path in folder.glob("round-0/*/done.json")}


def weights(folder: Path, part: str = "controller") -> torch.Tensor:
    agent = load_agent(folder / "round-0/controller/agent")
    return torch.cat([weight.flatten() for weight in getattr(agent, part).parameters()])


def test_the_same_settings_again_change_nothing(run: Path):
    before = times(run)
    assert set(before) == set(READS) - {"trust"}
    learn(Run(run, QUICK))
    assert times(run) == before


@pytest.mark.parametrize(
    "free",
    [
        {"device": "cpu"},
        {"precision": "float32"},
        {"workers": 2},
        {"cmaes": CMAESConfig(sigma=0.5)},  # of the other kind of C
        {"selection": replace(QUICK.selection, video_steps=30, candidates=2, scored=3)},
        {"restarts": RestartConfig(controllers=0, updates=5)},
    ],
)
def test_what_nothing_builds_on_may_change(run: Path, free: dict):
    before = times(run)
    changed = replace(QUICK, **free)
    learn(Run(run, changed))
    assert times(run) == before
    assert read_json(run / "config.json")["device"] == changed.device


@pytest.mark.parametrize(
    ("changes", "flag", "stage"),
    [
        ({"seed": 1}, "--seed 0 -> 1", "round-0/collect"),
        ({"track": TrackConfig(size=48)}, "--track.size 64 -> 48", "round-0/collect"),
        ({"vision": VisionConfig("light", latent=5, width=8)}, "--vision.latent 4 -> 5", "round-0/vision"),
        ({"memory_training": replace(QUICK.memory_training, clip=1.0)}, "--memory_training.clip", "round-0/memory"),
        ({"ppo": replace(QUICK.ppo, gamma=0.9)}, "--ppo.gamma 0.99 -> 0.9", "round-0/controller"),
        ({"ppo": replace(QUICK.ppo, updates=2)}, "--ppo.updates 3 -> 2", "round-0/controller"),
    ],
)
def test_what_a_stage_builds_on_may_not_change(run: Path, changes: dict, flag: str, stage: str):
    before = times(run), (run / "config.json").read_bytes()
    with pytest.raises(Refused) as refused:
        Run(run, replace(QUICK, **changes))
    assert flag in str(refused.value)
    assert f"({stage} builds on it)" in str(refused.value)
    assert "--retrain" in str(refused.value)
    assert (times(run), (run / "config.json").read_bytes()) == before


def test_every_setting_binds_a_stage_or_is_free_on_purpose():
    free = {"selection", "device", "precision", "workers", "cluster", "rounds", "restarts"}
    assert {name.split(".")[0] for name in BINDS} - {"data", "rounds"} == set(Config.__dataclass_fields__) - free
    rounds = {name.split(".")[1] for name in BINDS if name.startswith("rounds.")}
    assert rounds == set(RoundsConfig.__dataclass_fields__) - {"rounds", "more"}


def test_other_settings_are_trained_with_when_that_is_asked_for(run: Path):
    changed = replace(QUICK, memory_training=replace(QUICK.memory_training, updates=4))
    before, old = times(run), weights(run, "memory")
    learn(Run(run, changed, retrain=True))
    after = times(run)
    assert {name for name in before if after[name] != before[name]} == {"memory", "controller"}
    assert not torch.equal(weights(run, "memory"), old)


def test_more_updates_of_c_go_on_where_it_ended(run: Path):
    changed = replace(QUICK, ppo=replace(QUICK.ppo, updates=5))
    before = times(run)
    learn(Run(run, changed))
    after = times(run)
    assert {name for name in before if after[name] != before[name]} == {"controller"}
    assert [line["update"] for line in pipeline.Stage(run / "round-0/controller").metrics()] == [1, 2, 3, 4, 5]
    with pytest.raises(Refused, match=r"--ppo\.updates 5 -> 3"):
        Run(run, QUICK)


def test_more_generations_go_on_where_they_ended(tmp_path: Path):
    linear = replace(LINEAR, cmaes=evolving(2))
    learn(Run(tmp_path / "run", linear))
    learn(Run(tmp_path / "run", replace(linear, cmaes=evolving(4))))
    learn(Run(tmp_path / "whole", replace(linear, cmaes=evolving(4))))
    assert torch.equal(weights(tmp_path / "run"), weights(tmp_path / "whole"))


def test_a_larger_budget_goes_on_where_the_evolution_ended(tmp_path: Path):
    def linear(budget: int) -> Config:
        return replace(LINEAR, cmaes=evolving(50, budget))

    learn(Run(tmp_path / "run", linear(100)))
    learn(Run(tmp_path / "run", linear(200)))
    learn(Run(tmp_path / "whole", linear(200)))
    steps = [line["steps"] for line in pipeline.Stage(tmp_path / "run/round-0/controller").metrics()]
    assert steps[-1] >= 200 > steps[-2]
    assert torch.equal(weights(tmp_path / "run"), weights(tmp_path / "whole"))
    with pytest.raises(Refused, match=r"--cmaes\.budget 200 -> 100"):
        Run(tmp_path / "run", linear(100))
    (tmp_path / "run/round-0/controller/done.json").unlink()  # as if it had been broken off before its end
    with pytest.raises(Refused, match=r"--cmaes\.budget 200 -> 100"):
        Run(tmp_path / "run", linear(100))


def test_a_budget_of_steps_is_not_compared_with_generations(tmp_path: Path):
    generations = replace(LINEAR, cmaes=evolving(3))
    learn(Run(tmp_path / "run", generations))
    had = pipeline.Stage(tmp_path / "run/round-0/controller").metrics()[-1]["steps"]
    with pytest.raises(Refused, match=r"--cmaes\.budget 0 -> 4"):  # more than three, but these are steps
        Run(tmp_path / "run", replace(LINEAR, cmaes=evolving(3, 4)))
    before = weights(tmp_path / "run")
    learn(Run(tmp_path / "run", replace(LINEAR, cmaes=evolving(3, int(had) + 1000))))
    assert torch.equal(weights(tmp_path / "run"), before)  # three generations are all that it may have


def test_more_rounds_go_on_after_the_last(run: Path):
    before = times(run)
    learn(Run(run, replace(QUICK, rounds=replace(QUICK.rounds, rounds=1))))
    assert times(run) == before
    assert load_agent(run / "round-1/controller/agent").about["round"] == 1
    with pytest.raises(Refused, match=r"--ppo\.updates 3 -> 9 \(round-0/controller builds on it\)"):
        Run(run, replace(QUICK, ppo=replace(QUICK.ppo, updates=9), rounds=replace(QUICK.rounds, rounds=1)))


def test_a_restart_forgets_the_c_before_it_and_goes_on_where_it_was_broken_off(tmp_path: Path):
    def trained(name: str, rounds: int, **changes: tuple[int, ...]) -> dict[str, torch.Tensor]:
        config = replace(QUICK, rounds=replace(QUICK.rounds, rounds=rounds, restart_updates=2, **changes))
        learn(Run(tmp_path / name, config))
        return load_agent(tmp_path / name / f"round-{rounds}/controller/agent").controller.state_dict()

    def moved(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
        return sum(float((one[name] - other[name]).square().sum()) for name in one) ** 0.5

    first = trained("grown", 0)
    grown, restarted = trained("grown", 1), trained("restarted", 1, restart=(1,))
    assert moved(grown, first) < moved(restarted, first) / 5
    stage = tmp_path / "restarted/round-1/controller"
    (stage / "checkpoint.pt").unlink()
    again = trained("restarted", 1, restart=(1,))
    assert all(torch.equal(again[name], restarted[name]) for name in again)
    with pytest.raises(Refused, match=r"--rounds\.restart \[1\] -> \[\] \(round-1/controller builds on it\)"):
        trained("restarted", 1)


def test_an_evolution_restarts_too(tmp_path: Path):
    rounds = replace(QUICK.rounds, rounds=3, restart=(2,), controller_updates=2)
    linear = replace(LINEAR, cmaes=evolving(3), rounds=rounds)
    learn(Run(tmp_path / "run", linear))
    lines = [(tmp_path / f"run/round-{n}/controller/metrics.jsonl").read_text().count("\n") for n in range(4)]
    assert lines == [3, 2, 3, 2]
    stages = [Run(tmp_path / "run", linear).stage(n, "controller").load() for n in range(4)]
    assert [len(stage["fitness"]) for stage in stages if stage] == [3, 5, 3, 5]
    assert stages[2]
    assert not stages[2]["start"].any()


def test_a_stage_counts_the_time_of_all_its_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    now = 0.0
    monkeypatch.setattr("dreamlap.run.time.time", lambda: now)

    def work(seconds: float, end: Callable[[pipeline.Stage], object]) -> pipeline.Stage:
        nonlocal now
        stage = pipeline.Stage(tmp_path / "stage")
        with stage.timed():
            stage.build_on({})
            now += seconds
            end(stage)
        return stage

    def interrupt(_: pipeline.Stage) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work(60, interrupt)
    now += 1000  # nobody works on it
    work(30, lambda stage: stage.save(1, {}))  # as if the process were killed then
    done = work(10, lambda stage: stage.finish(steps=3))
    assert done.result == {"seconds": 100, "steps": 3}
    done.reopen()
    assert work(5, lambda stage: stage.finish()).result == {"seconds": 105}
    assert not (done.folder / "seconds.json").exists()


def test_rounds_do_not_go_on_after_controllers_from_scratch(run: Path):
    anew = replace(QUICK, restarts=RestartConfig(controllers=1, updates=1))
    learn(Run(run, anew))
    with pytest.raises(Refused, match=r"--rounds\.rounds 0 -> 1 \(round-1/controller builds on it\)"):
        Run(run, replace(anew, rounds=replace(QUICK.rounds, rounds=1)))
    learn(Run(run, replace(anew, restarts=RestartConfig(controllers=2, updates=1))))
    assert (run / "round-2/controller/agent/agent.json").exists()


@pytest.mark.parametrize("stage", ["vision", "memory", "controller"])
def test_a_deleted_checkpoint_is_trained_again_and_alike(run: Path, stage: str, capsys: pytest.CaptureFixture[str]):
    before, learned = times(run), weights(run)
    (run / f"round-0/{stage}/checkpoint.pt").unlink()
    learn(Run(run, QUICK))
    assert f"{stage} is made again: its checkpoint.pt is missing" in capsys.readouterr().err.replace("\n", " ")
    assert {name for name, when in times(run).items() if when != before[name]} == {stage}
    assert torch.equal(weights(run), learned)


def test_a_broken_checkpoint_is_refused_with_a_remedy_that_works(run: Path):
    learned, checkpoint = weights(run), run / "round-0/vision/checkpoint.pt"
    whole = bytearray(checkpoint.read_bytes())
    whole[len(whole) // 2] ^= 1
    checkpoint.write_bytes(whole)
    with pytest.raises(Refused, match=r"checkpoint\.pt cannot be read .*: delete it to start this stage again"):
        learn(Run(run, QUICK))
    checkpoint.unlink()
    learn(Run(run, QUICK))
    assert torch.equal(weights(run), learned)


def test_a_checkpoint_of_another_moment_is_refused(run: Path):
    checkpoint = run / "round-0/memory/checkpoint.pt"
    saved = torch.load(checkpoint, weights_only=True)
    saved["memory"]["z_head.bias"] += 1
    torch.save(saved, checkpoint)
    with pytest.raises(Refused, match="is not what the finished stage left"):
        learn(Run(run, QUICK))


def rewritten(checkpoint: Path, harm: Callable[[dict], object]) -> None:
    """Put something else in the place of a checkpoint."""
    torch.save(harm(torch.load(checkpoint, weights_only=True)), checkpoint)


def broken(checkpoint: dict) -> dict:
    """A checkpoint whose weights of V are no numbers."""
    return checkpoint | {"vision": {name: weight * torch.nan for name, weight in checkpoint["vision"].items()}}


@pytest.mark.parametrize("done", [True, False])
@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda saved: {"update": 3}, r"it lacks 'vision'"),
        (lambda saved: saved | {"vision": {name: part[:1] for name, part in saved["vision"].items()}}, "size mismatch"),
        (lambda saved: saved | {"vision": 5}, ""),
        (lambda saved: {"vision": saved["vision"]}, "lacks `update`"),
        (lambda saved: saved | {"update": "1"}, "`update` is '1', and it must be a whole number"),
        (lambda saved: saved | {"update": -5}, "`update` is -5, and it must be at least 0"),
        (lambda saved: [1, 2], r"holds \[1, 2\] where an object is expected"),
        (broken, "holds NaN or infinity"),
        (lambda saved: saved | {"more": {"rates": [1.0, float("nan")]}}, r"more\.rates\.1 holds NaN or infinity"),
    ],
)
def test_a_checkpoint_that_is_none_of_the_stage_is_refused_by_name(
    run: Path, harm: Callable[[dict], object], message: str, done: bool
):
    learned, stage = weights(run), run / "round-0/vision"
    rewritten(stage / "checkpoint.pt", harm)
    if not done:
        (stage / "done.json").unlink()
    with pytest.raises(Refused, match=rf"(?s)vision/checkpoint\.pt.*{message}.*: delete it to start this stage again"):
        learn(Run(run, QUICK))
    (stage / "checkpoint.pt").unlink()
    learn(Run(run, QUICK))
    assert torch.equal(weights(run), learned)


def test_the_checkpoint_of_another_stage_is_not_what_a_finished_stage_left(run: Path):
    shutil.copy(run / "round-0/memory/checkpoint.pt", run / "round-0/vision/checkpoint.pt")
    with pytest.raises(Refused, match=r"vision/checkpoint\.pt is not what the finished stage left \(it lacks 'vision'\)"):
        learn(Run(run, QUICK))


def test_the_checkpoint_of_no_evolution_is_refused_by_name(tmp_path: Path):
    linear, stage = replace(LINEAR, cmaes=evolving(2)), tmp_path / "run/round-0/controller"
    learn(Run(tmp_path / "run", linear))
    (stage / "done.json").unlink()
    rewritten(stage / "checkpoint.pt", lambda saved: saved | {"fitness": [1.0]})
    with pytest.raises(Refused, match=r"controller/checkpoint\.pt is of another shape than the settings ask for"):
        learn(Run(tmp_path / "run", linear))


@pytest.mark.parametrize(
    ("stage", "part", "value", "message"),
    [
        ("collect", "episodes", ["r00-correlated-00000"], "must be an object"),
        ("collect", "episodes", {"r00-correlated-00000": 5}, "must be an object whose every part must be a text"),
        ("encode", "files", 5, "must be a list"),
        ("encode", "files", [5], "must be a list whose every part must be a text"),
        ("memory", "product", 5, "must be a text"),
        ("controller", "updates", "many", "must be a whole number"),
        ("controller", "steps", "many", "must be a whole number"),
        ("controller", "seconds", "an hour", "must be a finite number"),
    ],
)
def test_what_a_stage_left_is_refused_by_name_and_made_again(run: Path, stage: str, part: str, value: object, message: str):
    learned, path = weights(run), run / f"round-0/{stage}/done.json"
    write_json(path, read_json(path) | {part: value})
    with pytest.raises(Refused, match=rf"{stage}/done\.json: `{part}` is .*, and it {message}: delete it"):
        learn(Run(run, QUICK))
    path.unlink()
    learn(Run(run, QUICK))
    assert torch.equal(weights(run), learned)
    outcome.choose(Run(run, QUICK))
    path = run / "select/done.json"
    write_json(path, read_json(path) | {"returns_of": {"0": ["fast"]}})
    with pytest.raises(Refused, match=r"select/done\.json: `returns_of` is .*whose every part must be a list whose every part"):
        outcome.choose(Run(run, QUICK))


def test_a_log_that_is_no_text_does_not_keep_a_stage_from_going_on(run: Path):
    stage, learned = run / "round-0/vision", weights(run)
    before = pipeline.Stage(stage).metrics()
    log = stage / "metrics.jsonl"
    log.write_bytes(log.read_bytes() + b'{"update": 4\xff\n')
    (stage / "done.json").unlink()
    learn(Run(run, QUICK))
    assert pipeline.Stage(stage).metrics() == before
    assert torch.equal(weights(run), learned)


def test_what_builds_on_a_changed_v_is_refused_or_trained_again_and_latents_are_simply_remade(run: Path):
    other = run.parent / "other"
    learn(Run(other, replace(QUICK, vision_training=replace(QUICK.vision_training, learning_rate=0.1))), until="vision")
    for file in ("checkpoint.pt", "done.json"):
        shutil.copy(other / "round-0/vision" / file, run / "round-0/vision" / file)
    before = times(run)
    with pytest.raises(Refused, match=r"round-0/memory was trained when V's latents differed from now.*--retrain"):
        learn(Run(run, QUICK))
    assert times(run)["encode"] != before["encode"]
    learn(Run(run, QUICK, retrain=True))
    assert torch.equal(weights(run, "vision"), weights_of(other / "round-0/vision/checkpoint.pt"))
    assert times(run)["memory"] != before["memory"]


def weights_of(checkpoint: Path) -> torch.Tensor:
    saved = torch.load(checkpoint, weights_only=True)["vision"]
    return torch.cat([weight.flatten() for weight in saved.values()])


def other_latents(path: Path, **change: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """Write a file of latents again, with a checksum of its own, but for some columns that are others."""
    tensors = load_file(str(path))
    save_tensors(path, tensors | {name: other(tensors[name]) for name, other in change.items()}, unknown=("reward",))


@pytest.mark.parametrize(
    "harm",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(path.read_bytes()[:-9]),
        lambda path: other_latents(path, mu=lambda mu: mu * 0 + 7),
        lambda path: other_latents(path, mu=lambda mu: mu[:, :3]),
        lambda path: other_latents(path, length=lambda length: length * 3),
        lambda path: write_json(path.with_name("done.json"), read_json(path.with_name("done.json")) | {"files": []}),
    ],
)
def test_latents_that_are_not_those_that_v_left_are_made_again_and_cost_no_training(run: Path, harm: Callable[[Path], None]):
    latents = run / "round-0/encode/latents.safetensors"
    kept = latents.read_bytes()
    harm(latents)
    before = times(run)
    learn(Run(run, replace(QUICK, ppo=replace(QUICK.ppo, updates=4))))
    assert times(run)["memory"] == before["memory"]
    assert times(run)["encode"] != before["encode"]
    assert latents.read_bytes() == kept


def test_latents_with_a_changed_bit_are_refused_with_a_remedy_that_works(run: Path):
    latents = run / "round-0/encode/latents.safetensors"
    kept = bytearray(latents.read_bytes())
    latents.write_bytes(kept[:-9] + bytes([kept[-9] ^ 1]) + kept[-8:])
    longer = replace(QUICK, ppo=replace(QUICK.ppo, updates=4))
    with pytest.raises(Refused, match=r"latents\.safetensors cannot be read .*delete it and run the same command again"):
        learn(Run(run, longer))
    latents.unlink()
    learn(Run(run, longer))
    assert latents.read_bytes() == kept


def test_an_episode_that_is_lost_is_driven_again(run: Path):
    store = EpisodeStore(run / "episodes")
    lost = store.open("r00-correlated-00001").identity
    (store.folder / "r00-correlated-00001.episode").unlink()
    learn(Run(run, QUICK))
    assert store.open("r00-correlated-00001").identity == lost


def test_files_that_are_not_the_runs_are_left_alone(run: Path, episode: Episode):
    for name in ("mine", "r00-correlated-00000 copy", "r00-other-00007"):
        EpisodeStore(run / "episodes").write(name, episode)
    before, begun = times(run), Run(run, QUICK)
    learn(begun)
    assert times(run) == before
    assert [file.path.stem for file in pipeline.episodes_of(begun, 0)] == ["r00-correlated-00000", "r00-correlated-00001"]
    outcome.choose(begun)
    assert load_agent(run).about["drivers"] == {"correlated": 2}


def test_data_are_what_they_hold_not_where_they_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    collect(EpisodeStore("human"), "a", 2, DriverConfig("correlated"), TrackConfig(), seed=0, steps=40, workers=1)
    folder = tmp_path / "run"
    learn(Run(folder, QUICK, Path("human")), until="vision")
    before = times(folder)
    for data in (Path("human/"), Path("./human"), tmp_path / "human"):
        learn(Run(folder, QUICK, data), until="vision")
    shutil.move("human", "moved")
    learn(Run(folder, QUICK, Path("moved")), until="vision")
    assert times(folder) == before
    collect(EpisodeStore("moved"), "a", 3, DriverConfig("correlated"), TrackConfig(), seed=0, steps=40, workers=1)
    with pytest.raises(Refused, match=r"--data: what it names has changed \(round-0/collect builds on it\)"):
        Run(folder, QUICK, Path("moved"))
    learn(Run(folder, QUICK, Path("moved"), retrain=True), until="vision")
    assert times(folder)["vision"] != before["vision"]


def test_a_run_of_an_older_version_goes_on(run: Path):
    """Settings that did not exist then take their defaults; what it did not write down is taken as it is."""
    settings = read_json(run / "config.json")
    del settings["restarts"], settings["controller"]["state_dependent_std"]
    write_json(run / "config.json", settings)
    for path in [run / "inputs.json", *run.glob("round-0/*/inputs.json")]:
        path.unlink()
    for path in run.glob("round-0/*/done.json"):
        write_json(
            path, {key: value for key, value in read_json(path).items() if key not in ("product", "episodes", "updates")}
        )
    before = times(run)
    learn(Run(run, QUICK))
    assert times(run) == before
    assert "restarts" in read_json(run / "config.json")


def test_a_run_whose_settings_have_old_names_goes_on(run: Path):
    settings = read_json(run / "config.json")
    settings["anew"] = settings.pop("restarts")
    settings["ppo"]["minds"] = settings["ppo"].pop("num_envs")
    settings["memory"]["warmup"] = settings["memory"].pop("burn_in")
    settings["selection"]["weighed"] = settings["selection"].pop("check_steps")
    write_json(run / "config.json", settings)
    before = times(run)
    learn(Run(run, QUICK))
    assert times(run) == before
    assert read_json(run / "config.json")["ppo"]["num_envs"] == QUICK.ppo.num_envs


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "holds a list where an object is expected"),
        ("", "is not valid JSON"),
        ('{"practice": {}}', "holds another kind of run .*: choose another --name"),
        ('{"planner": {"depth": 3}}', r"no setting 'planner'.*newer version"),
        ('{"vision": {"latent": "many"}}', "`latent` is 'many', and it must be a whole number"),
    ],
)
def test_a_run_whose_settings_are_broken_or_newer_says_so(run: Path, text: str, message: str):
    (run / "config.json").write_text(text)
    with pytest.raises(Refused, match=message):
        Run(run, QUICK)


def test_choosing_scores_checks_and_films_are_made_again_when_the_agent_changes(run: Path, monkeypatch: pytest.MonkeyPatch):
    asked: list[str] = []
    frames = np.zeros((2, 32, 32, 3), np.uint8)
    monkeypatch.setattr(outcome, "score_kept", lambda *_: asked.append("score"))
    monkeypatch.setattr(outcome, "read_score", lambda _: check_score({"seeds": [1], "returns": [2.0]}, "here"))
    monkeypatch.setattr(outcome, "check_policies", lambda *_: asked.append("check") or [])
    films = {"drive": lambda agent, path, seed, steps, label: asked.append("film") or write_video(path, frames, label=label)}
    monkeypatch.setattr(outcome, "FILMS", films)
    monkeypatch.setattr(outcome, "write_report", lambda _: None)

    def finish(config: Config) -> list[str]:
        asked.clear()
        outcome.run_all(Run(run, config))
        return asked

    assert finish(QUICK) == ["score", "check", "film"]
    assert finish(QUICK) == ["score"]  # `score_kept` itself knows whether it is current
    first = label_of(run / "videos/drive.mp4")
    assert finish(replace(QUICK, ppo=replace(QUICK.ppo, updates=4))) == ["score", "check", "film"]
    assert label_of(run / "videos/drive.mp4") != first
    assert load_agent(run).fingerprint == load_agent(run / "round-0/controller/agent").fingerprint
    assert (
        finish(replace(QUICK, ppo=replace(QUICK.ppo, updates=4), selection=replace(QUICK.selection, video_steps=30)))[-1]
        == "film"
    )


def taken_over(folder: Path) -> Owned:
    """The folder, once the system has noticed that its owner is dead."""
    for _ in range(200):
        try:
            return Owned(folder)
        except Refused:
            time.sleep(0.05)
    raise AssertionError("the claim of a dead process stays")


WAITING = """
import sys, time
from dreamlap.files import Owned
owner = Owned(sys.argv[1])
print("owned", flush=True)
time.sleep(60)
"""


def test_a_folder_has_one_owner_and_a_dead_owners_claim_is_taken_over(run: Path):
    with subprocess.Popen([sys.executable, "-c", WAITING, str(run)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout
        assert other.stdout.readline() == "owned\n"
        os.kill(other.pid, signal.SIGSTOP)  # a suspended process still owns it
        with pytest.raises(Refused, match=rf"another process is writing into .*: process {other.pid} on .*, since \d+"):
            Run(run, QUICK)
        with pytest.raises(Refused, match="another process is writing"):
            load_agent(run / "round-0/controller/agent").save(run)
        other.kill()
        other.wait()
    owner = taken_over(run)
    assert json.loads((run / ".lock").read_text())["process"] == os.getpid()
    owner.release()
    assert not (run / ".lock").exists()


def test_a_process_whose_folder_was_deleted_writes_nothing_into_the_next_ones(tmp_path: Path):
    folder = tmp_path / "run"
    with Owned(folder):
        write_json(folder / "kept.json", 1)
        late = replacing(folder / "late.json")
        late.__enter__().write_text("2")
        shutil.rmtree(folder)
        with pytest.raises(Failed, match="run the same command again"):
            late.__exit__(None, None, None)
        with pytest.raises(Failed, match="deleted or replaced"):
            write_json(folder / "deeper" / "new.json", 3)
        assert not folder.exists()
        with subprocess.Popen([sys.executable, "-c", WAITING, str(folder)], stdout=subprocess.PIPE, text=True) as other:
            assert other.stdout
            assert other.stdout.readline() == "owned\n"
            with pytest.raises(Failed, match="deleted or replaced"):
                write_json(folder / "mine.json", 4)
            assert [file.name for file in folder.iterdir()] == [".lock"]
            other.kill()
    assert (folder / ".lock").exists()  # the other's


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ({}, {"seed": 5}),
        ({}, {"memory": replace(QUICK.memory, burn_in=3)}),
        (
            {"rounds": RoundsConfig(rounds=1, episodes=2, steps=30, memory_updates=0, controller_updates=1)},
            {"rounds": RoundsConfig(rounds=1, episodes=2, steps=30, memory_updates=0, controller_updates=1, decay=1.0)},
        ),
    ],
    ids=["seed", "burn-in", "a setting of a stage that had nothing to do"],
)
def test_what_is_trained_again_is_what_a_new_run_makes(first: dict, then: dict, run: Path, tmp_path: Path):
    data = run / "episodes"
    config, changed = replace(QUICK, **first), replace(QUICK, **(first | then))
    learn(Run(tmp_path / "changed", config, data))
    with pytest.raises(Refused, match="builds on it"):
        Run(tmp_path / "changed", changed, data)
    again, new = learn(Run(tmp_path / "changed", changed, data, retrain=True)), learn(Run(tmp_path / "new", changed, data))
    assert again.fingerprint == new.fingerprint


def test_an_agent_leaves_nothing_of_the_one_whose_place_it_takes(run: Path, tmp_path: Path):
    agent = load_agent(run / "round-0/controller/agent")
    agent.save(tmp_path)
    agent.starts = None
    agent.save(tmp_path)
    assert load_agent(tmp_path).starts is None


def test_episodes_of_another_kind_of_track_are_refused(run: Path, tmp_path: Path):
    store = EpisodeStore(tmp_path / "four")
    collect(store, "a", 1, DriverConfig("random"), replace(QUICK.track, repeat=4), seed=0, steps=40, workers=1)
    with pytest.raises(Refused, match=r"--track\.repeat 4 .* --track\.repeat 1"):
        Run(tmp_path / "run", QUICK, store.folder)
    driver = DriverConfig(str(run / "round-0/controller/agent"))
    with pytest.raises(Refused, match=r"actions last 1 step, not 4: use --track\.repeat 1"):
        collect(store, "b", 1, driver, replace(QUICK.track, repeat=4), seed=0, steps=40, workers=1)
