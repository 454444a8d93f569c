"""The expert: trained by Stable-Baselines3, and then an agent like any other."""

import json
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from gymnasium.utils.seeding import np_random

import dreamlap
from dreamlap import expert_run
from dreamlap.agent import load_agent
from dreamlap.cli import main
from dreamlap.config.training import ExpertConfig, PracticeConfig
from dreamlap.drivers import DriverConfig, ExpertDriver
from dreamlap.drives import Drive
from dreamlap.episodes import EpisodeStore
from dreamlap.episodes.record import collect
from dreamlap.errors import Refused
from dreamlap.evaluation import evaluate, score_kept
from dreamlap.expert import Expert, ReflexConfig, build_expert, to_gray
from dreamlap.expert_run import judge
from dreamlap.files import read_json, write_json
from dreamlap.learn.expert import build_ppo, expert_of, train_expert
from dreamlap.learn.practice import Practice
from dreamlap.named import world_model_folder
from dreamlap.protocol import JUDGING, track_called
from dreamlap.run import Stage
from dreamlap.show.report import write_report
from dreamlap.track import FastCarRacing, TrackConfig, to_frame

TINY = ExpertConfig(
    reflex=ReflexConfig(TrackConfig(repeat=4), channels=(8, 8, 8), features=16),
    updates=4,
    tracks=2,
    steps=8,
    reset_every=2,
    epochs=2,
    minibatch=8,
    evaluations=2,
    judged=1,
    scored=2,
    video_steps=20,
    workers=1,
)
CPU = torch.device("cpu")


@pytest.fixture
def expert() -> Expert:
    """An untrained expert whose actions differ from frame to frame."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build_expert(TINY.reflex)


def train(folder: Path, config: ExpertConfig = TINY, scores: tuple[float, ...] = (1.0, 2.0, 3.0, 4.0)) -> Expert:
    return train_expert(Stage(folder), config, CPU, lambda _, update: scores[update - 1])


def weights(expert: Expert) -> torch.Tensor:
    return torch.nn.utils.parameters_to_vector(expert.reflex.parameters()).detach()


def test_practice_is_a_legal_environment_and_a_decision_is_four_steps():
    env = Practice(TINY.reflex, PracticeConfig(random_start=1.0))
    check_env(env, skip_render_check=True, skip_close_check=True)
    track = gym.make("dreamlap/CarRacing-v3", size=64)
    other = Practice(TINY.reflex, PracticeConfig(random_start=0.0, reward_scale=1.0, off_road_penalty=0.0))
    other.reset(seed=1)
    frame, _ = track.reset(seed=_second_draw(1))
    earned = 0.0
    for _ in range(4):
        frame, reward, *_ = track.step(np.array([0.1, 1, 0], np.float32))
        earned += float(reward)
    seen, objective, *_ = other.step(np.array([0.1, 1.0], np.float32))
    assert objective == pytest.approx(earned)
    np.testing.assert_array_equal(seen[-1], to_gray(frame))
    assert seen.shape == (2, 64, 64)


def _second_draw(seed: int) -> int:
    """The track that an environment seeded so begins with; the first draw is whether on a random tile."""
    chance, _ = np_random(seed)
    chance.random()
    return int(chance.integers(900_000))


def test_practice_ends_a_lost_episode_and_prices_off_road():
    env = Practice(TINY.reflex, PracticeConfig(random_start=0.0, patience=40, off_road_penalty=50.0))
    env.reset(seed=3)
    steps, objectives, over = 0, [], False
    while not over:
        _, objective, over, *_ = env.step(np.array([1.0, 0.3], np.float32))
        steps, objectives = steps + 4, [*objectives, objective]
    assert 40 <= steps < 400
    assert min(objectives) < -0.005 * 50


def test_the_expert_does_what_stable_baselines_would(tmp_path: Path):
    from stable_baselines3.common.vec_env import DummyVecEnv

    env = DummyVecEnv([lambda: Practice(TINY.reflex, TINY.practice)])
    model = build_ppo(TINY, env, lambda _: 1e-3, CPU)
    shown = expert_of(model, TINY.reflex)
    with torch.no_grad():
        shown.reflex.actor.weight.mul_(100)  # it begins with hardly any
    shown.save(tmp_path)
    loaded = dreamlap.load(tmp_path)
    frames = np.random.default_rng(0).integers(0, 255, (9, 96, 96, 3), dtype=np.uint8)
    gray = [to_gray(to_frame(frame, 64, True)) for frame in frames]
    stacks = [np.stack([np.zeros_like(gray[0]), gray[0]]), np.stack([gray[0], gray[4]]), np.stack([gray[4], gray[8]])]
    actions = [loaded.act(frame) for frame in frames]
    for decision, stack in enumerate(stacks):
        wanted, _ = model.predict(stack, deterministic=True)
        np.testing.assert_allclose(actions[4 * decision], loaded.actions.to_stock(wanted), atol=1e-5)
    np.testing.assert_array_equal(actions[0], actions[3])  # held
    assert not np.array_equal(actions[3], actions[4])


def test_a_broken_training_ends_as_a_whole_one(tmp_path: Path):
    whole = train(tmp_path / "whole")

    def torn(_: Expert, update: int) -> float:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_expert(Stage(tmp_path / "torn"), replace(TINY, evaluations=1), CPU, torn)
    kept = Stage(tmp_path / "torn").load()
    assert kept is not None
    assert kept["update"] == 2
    resumed = train(tmp_path / "torn")
    assert torch.equal(weights(whole), weights(resumed))
    assert [line["reward"] for line in Stage(tmp_path / "torn").metrics()] == [
        line["reward"] for line in Stage(tmp_path / "whole").metrics()
    ]


def test_the_threshold_ends_the_training(tmp_path: Path):
    train(tmp_path, replace(TINY, threshold=2.0))
    lines = Stage(tmp_path).metrics()
    assert len(lines) == 2
    assert lines[-1]["score"] == 2
    kept = Stage(tmp_path).load()
    assert kept is not None
    assert kept["update"] == 2


def test_the_best_expert_is_kept(expert: Expert, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    returns = iter([5.0, 3.0, 7.0])
    monkeypatch.setattr(expert_run, "drive_episode", lambda _, __, seed: Drive(next(returns), 1, seed == JUDGING))
    kept = []
    for update in (2, 4, 6):
        judge(tmp_path, TINY, expert, update)
        kept.append(dreamlap.load(tmp_path).about["update"])
    assert kept == [2, 2, 6]
    told = read_json(tmp_path / "agent.json")
    write_json(tmp_path / "agent.json", told | {"about": {"score": "high"}})
    returns = iter([9.0])
    with pytest.raises(Refused, match=r"agent\.json, about: `score` is 'high', and it must be a finite number"):
        judge(tmp_path, TINY, expert, 8)


def test_the_driver_and_the_expert_do_the_same(expert: Expert):
    driver, track = ExpertDriver(expert, 2), FastCarRacing(size=64)
    frames = np.random.default_rng(0).integers(0, 255, (7, 96, 96, 3), dtype=np.uint8)
    driver.reset(0, track, np.random.default_rng(0))
    driver.act(np.zeros((2, 64, 64, 3), np.uint8))  # the other track is one step ahead
    driver.reset(0, track, np.random.default_rng(0))
    for frame in frames:
        both = np.stack([to_frame(frame, 64, True)] * 2)
        np.testing.assert_allclose(driver.act(both)[0], expert.act(frame), atol=1e-6)


def test_an_action_lasts_as_long_on_a_track_of_longer_steps(expert: Expert):
    frames = np.random.default_rng(0).integers(0, 255, (4, 1, 64, 64, 3), dtype=np.uint8)
    state, actions = expert.initial(1), []
    for frame in frames:
        action, state = expert.drive(frame, state, steps=2)
        actions.append(action)
    assert torch.equal(actions[0], actions[1])
    assert not torch.equal(actions[1], actions[2])


def test_it_is_scored_and_collects_like_any_agent(expert: Expert, tmp_path: Path):
    expert.save(tmp_path / "agent")
    result = evaluate(tmp_path, range(900_000, 900_001), workers=1, track="fast")
    assert len(result["returns"]) == 1
    store = EpisodeStore(tmp_path / "episodes")
    collect(store, "x", 2, DriverConfig(str(tmp_path), noise=(0.1, 0.1)), TrackConfig(), seed=0, steps=12, workers=1)
    actions = next(iter(store)).array("actions")
    assert actions.shape == (12, 3)
    assert len(np.unique(actions[:4, 0])) == 4  # the noise is not held
    with pytest.raises(ValueError, match="knows frames of size 64, bar True, not size 32, bar True"):
        collect(store, "y", 1, DriverConfig(str(tmp_path)), TrackConfig(size=32), seed=0, steps=4, workers=1)
    for name in (load_agent, world_model_folder, track_called):
        with pytest.raises(ValueError, match=r"is an expert: it has no V and no M\. Name an agent that has them"):
            name(str(tmp_path))
    assert world_model_folder("unprivileged").name == "unprivileged"


def test_a_run_is_scored_filmed_and_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(expert_run, "score_kept", partial(score_kept, track="fast"))
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in asdict(TINY).items() if isinstance(value, int)]
    command = ["train", "expert", "--name", "x", *flags, "--reflex.features", "16", "--reflex.channels", "8", "8", "8"]
    main([*command, "--updates", "2"])
    folder = Path("runs/x")
    assert json.loads((folder / "practice" / "done.json").read_text())["steps"] == 2 * 2 * 8 * 4
    assert len(json.loads((folder / "scores" / "selection.json").read_text())["returns"]) == 2
    assert (folder / "videos" / "drive.mp4").stat().st_size > 1000
    report = (folder / "report.html").read_text()
    assert "an expert" in report
    assert "world model: V sees" not in report
    capsys.readouterr()
    with pytest.raises(SystemExit):  # begun with other settings
        main([*command, "--updates", "3"])
    refused = " ".join(capsys.readouterr().err.split())
    assert "was begun with other settings: --updates 2 -> 3" in refused
    assert "Choose another --name" in refused
    assert "--retrain" not in refused  # which this verb does not have
    (tmp_path / "fresh").mkdir()
    (tmp_path / "fresh" / "config.json").write_text((folder / "config.json").read_text())
    assert "Not trained yet" in write_report(tmp_path / "fresh").read_text()
