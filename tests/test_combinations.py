"""Every V with every M with every C, in the dream and awake: each trains a step, and drives. And small runs of other kinds."""

from dataclasses import replace
from itertools import product
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch

from dreamlap import outcome, pipeline
from dreamlap.agent import build_agent, load_agent
from dreamlap.config.run import CollectConfig, Config, RestartConfig, RoundsConfig, SelectionConfig
from dreamlap.control import ControllerConfig
from dreamlap.drivers import DriverConfig
from dreamlap.episodes import EpisodeStore
from dreamlap.episodes.latents import Latents
from dreamlap.episodes.record import collect
from dreamlap.estimate import cost
from dreamlap.files import read_json
from dreamlap.learn.cmaes import CMAESConfig
from dreamlap.learn.memory import MemoryTraining
from dreamlap.learn.ppo import PPOConfig
from dreamlap.learn.vision import VisionTraining
from dreamlap.measure.trust import Predictions
from dreamlap.memory import MDNRNN, MemoryConfig
from dreamlap.pipeline import Run, learn
from dreamlap.track import TrackConfig
from dreamlap.vision import VisionConfig

VISIONS = {
    "light": VisionConfig("light", latent=4, width=8),
    "conv": VisionConfig("conv", latent=4),
    "nvae": VisionConfig("nvae", latent=4, width=8, groups=(1, 1, 1)),
    "wide": VisionConfig("conv", latent=1024),
}
MEMORIES = {kind: MemoryConfig(kind, hidden=8, mixtures=2) for kind in ("lstm", "gru", "reservoir")}
CONTROLLERS = product(("linear", "actor-critic"), ("dream", "awake"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two short episodes to learn from."""
    folder = tmp_path_factory.mktemp("data")
    collect(EpisodeStore(folder), "a", 2, DriverConfig("correlated"), TrackConfig(), seed=0, steps=40, workers=1)
    return folder


@pytest.mark.parametrize(("vision", "memory", "controller"), list(product(VISIONS, MEMORIES, CONTROLLERS)))
def test_any_v_goes_with_any_m_and_any_c(vision: str, memory: str, controller: tuple[str, str], data: Path, tmp_path: Path):
    kind, mind = controller
    config = Config(
        vision=VISIONS[vision],
        vision_training=VisionTraining(updates=2, batch=4, likelihood="bce" if vision == "wide" else "mse"),
        memory=MEMORIES[memory],
        memory_training=MemoryTraining(updates=2, batch=2, window=8),
        controller=ControllerConfig(kind, mind),  # pyright: ignore[reportArgumentType]  # product() forgets the literals
        ppo=PPOConfig(updates=1, num_envs=2, steps=4, minibatch=4),
        cmaes=CMAESConfig(generations=1, population=4, rollouts=1, steps=4, diagonal=True, final_tracks=1),
        rounds=RoundsConfig(rounds=0),
        workers=1,
    )
    before = {name: part.clone() for name, part in build_agent(config.agent).controller.state_dict().items()}
    run = Run(tmp_path / "run", config, data)
    learn(run)
    agent = load_agent(run.stage(0, "controller").folder / "agent")
    after = agent.controller.state_dict()
    assert any(not torch.equal(before[name], after[name]) for name in before)
    with gym.make("CarRacing-v3") as track:
        frame, _ = track.reset(seed=1)
        for _ in range(10):
            action = agent.act(frame)
            assert np.isfinite(action).all()
            frame, *_ = track.step(action)


def test_a_matrix_takes_its_inputs_in_standard_deviations_whenever_it_learns_from_scratch(data: Path, tmp_path: Path):
    config = Config(
        vision=VISIONS["light"],
        vision_training=VisionTraining(updates=2, batch=4),
        memory=MEMORIES["lstm"],
        memory_training=MemoryTraining(updates=2, batch=2, window=8),
        controller=ControllerConfig(widths=()),
        ppo=PPOConfig(updates=1, num_envs=2, steps=4, minibatch=4),
        rounds=RoundsConfig(
            rounds=2, episodes=1, steps=40, memory_updates=2, controller_updates=1, restart=(2,), restart_updates=1
        ),
        workers=1,
    )
    run = Run(tmp_path / "run", config, data)
    learn(run)
    first, second, third = (
        load_agent(run.stage(number, "controller").folder / "agent").controller.state_dict()["actor.0.deviation"]
        for number in range(3)
    )
    assert not torch.equal(first, torch.ones_like(first))
    assert torch.equal(first, second)
    assert not torch.equal(second, third)


def test_a_run_that_begins_with_an_agent_is_driven_by_it_and_keeps_what_it_does_not_train(tmp_path: Path):
    config = Config(
        collect=CollectConfig(correlated=0, autopilot=0, expert=1, steps=60),
        vision=VISIONS["light"],
        vision_training=VisionTraining(updates=0),
        memory=MEMORIES["lstm"],
        memory_training=MemoryTraining(updates=0),
        ppo=PPOConfig(updates=1, num_envs=2, steps=4, minibatch=4),
        rounds=RoundsConfig(rounds=0),
        start=str(tmp_path / "grown"),
        workers=1,
    )
    grown = build_agent(config.agent, seed=7)
    grown.save(tmp_path / "grown")
    run = Run(tmp_path / "run", config)
    agent = learn(run)
    assert list(run.store.names()) == ["r00-grown-00000"]
    for part in ("vision", "memory"):
        torch.testing.assert_close(getattr(agent, part).state_dict(), getattr(grown, part).state_dict())
    weights = grown.controller.state_dict()
    assert any(not torch.equal(weights[name], value) for name, value in agent.controller.state_dict().items())


QUICK = Config(
    vision=VISIONS["light"],
    vision_training=VisionTraining(updates=1, batch=4),
    memory=MEMORIES["lstm"],
    memory_training=MemoryTraining(updates=1, batch=2, window=8),
    ppo=PPOConfig(updates=3, num_envs=2, steps=4, minibatch=8),
    workers=1,
)
"""A run that is over in seconds; the tests below say what its rounds are."""


def test_controllers_begin_anew_in_the_dream_of_the_last_round(data: Path, tmp_path: Path):
    rounds = RoundsConfig(rounds=1, episodes=1, steps=40, memory_updates=1, controller_updates=1)
    selection = SelectionConfig(candidates=3, tracks=2)
    config = replace(QUICK, rounds=rounds, restarts=RestartConfig(controllers=2, updates=1), selection=selection)
    run = Run(tmp_path / "run", config, data)
    learn(run)
    stages = [run.stage(number, "controller") for number in range(4)]
    driven = [read_json(stage.folder / "done.json")["steps"] for stage in stages]
    assert [steps // (config.ppo.num_envs * config.ppo.steps) for steps in driven] == [3, 1, 8, 8]
    assert cost(config).controlled == sum(driven)
    agents = [load_agent(stage.folder / "agent") for stage in stages]
    c = [agent.controller for agent in agents]
    assert 0 < _moved(c[0], c[1]) < 0.1  # eight gradient steps of 5e-4 are smaller than that, fresh weights larger
    assert min(_moved(c[1], c[2]), _moved(c[1], c[3]), _moved(c[2], c[3])) > 0.1
    assert _moved(agents[1].memory, agents[3].memory) == _moved(agents[1].vision, agents[3].vision) == 0
    assert len({tuple(episode.path.name for episode in pipeline.episodes_of(run, n)) for n in (2, 3)}) == 1  # none
    outcome.choose(run)
    assert list(read_json(run.folder / "select" / "done.json")["returns_of"]) == ["1", "2", "3"]


def _moved(one: torch.nn.Module, other: torch.nn.Module) -> float:
    return max((a - b).abs().max().item() for a, b in zip(one.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("vision_updates", [0, 1])
def test_the_dream_is_checked_on_what_c_did_last(
    vision_updates: int, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    rounds = RoundsConfig(rounds=1, episodes=3, steps=60, memory_updates=1, controller_updates=1)
    config = replace(QUICK, rounds=replace(rounds, vision_updates=vision_updates))
    asked: list[Latents] = []

    def predictions(memory: MDNRNN, latents: Latents, *how: int) -> Predictions:
        asked.append(latents)
        return ask(memory, latents, *how)

    ask = pipeline.predictions
    monkeypatch.setattr(pipeline, "predictions", predictions)
    run = Run(tmp_path / "run", config, data)
    learn(run)
    driven = [episode.array("rewards").sum() for episode in pipeline.episodes_of(run, 1)]
    assert len(driven) == 3
    latents = asked[-1]  # the ones before are of held-out episodes
    assert [
        latents.reward[row : row + steps].sum().item() for row, steps in zip(latents.start, latents.length, strict=True)
    ] == pytest.approx(driven, rel=1e-4)
