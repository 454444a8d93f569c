"""Awake and dreaming: one interface, legal Gymnasium environments, the same chance alone as among many."""

from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

import dreamlap
from dreamlap.agent import Agent
from dreamlap.mind import Awake, Dream, DreamConfig, Mind
from dreamlap.seeds import SELECTION_SEEDS, normals, uniforms

MINDS = ("dreamlap/Dream-v0", "dreamlap/Awake-v0")


@pytest.fixture
def path(agent: Agent, tmp_path: Path) -> str:
    """The folder of an agent whose dreams end at their horizon alone."""
    _never_end(agent)
    agent.save(tmp_path / "agent")
    return str(tmp_path / "agent")


@pytest.mark.parametrize("name", MINDS)
@pytest.mark.filterwarnings("ignore:.*Box observation space (min|max)imum value is.*infinity")
def test_a_single_mind_is_a_legal_environment(name: str, path: str):
    env = gym.make(name, agent=path, render_mode="rgb_array")
    check_env(env.unwrapped, skip_close_check=True)
    env.close()


def test_the_fast_track_is_a_legal_environment():
    assert dreamlap.__version__
    env = gym.make("dreamlap/CarRacing-v3", size=64)
    check_env(env.unwrapped, skip_render_check=True)
    assert env.spec is not None
    assert env.spec.max_episode_steps == 1000
    env.close()


@pytest.mark.parametrize("name", MINDS)
def test_single_and_vector_go_the_same_way(name: str, path: str):
    steps = 20
    many = gym.make_vec(name, num_envs=3, agent=path)
    alone = gym.make(name, agent=path)
    actions = np.random.default_rng(0).uniform(-1, 1, (steps, 3, 2)).astype(np.float32)
    observations, _ = many.reset(seed=7)
    observation, _ = alone.reset(seed=8)
    np.testing.assert_allclose(observation, observations[1], atol=1e-5)
    for t in range(steps):
        observations, rewards, *_ = many.step(actions[t])
        observation, reward, *_ = alone.step(actions[t, 1])
        np.testing.assert_allclose(observation, observations[1], atol=1e-4)
        assert reward == pytest.approx(rewards[1], abs=1e-4)
    many.close()
    alone.close()


@pytest.mark.parametrize("name", MINDS)
def test_a_mind_can_show_frames(name: str, path: str):
    env = gym.make(name, agent=path, observation="frame", render_mode="rgb_array")
    check_env(env.unwrapped, skip_render_check=True)
    assert env.observation_space.shape == (64, 64, 3)
    env.close()
    envs = gym.make_vec(name, num_envs=2, agent=path, observation="frame")
    frames, _ = envs.reset(seed=0)
    assert frames.shape == (2, 64, 64, 3)
    assert frames.dtype == np.uint8
    envs.close()
    with pytest.raises(ValueError, match="one of zh, frame"):
        gym.make(name, agent=path, observation="pixels")


@pytest.mark.parametrize("name", MINDS)
def test_vector_minds_name_their_auto_reset(name: str, path: str):
    envs = gym.make_vec(name, num_envs=2, agent=path)
    assert envs.metadata["autoreset_mode"] == AutoresetMode.SAME_STEP
    assert envs.single_observation_space.shape == (4 + 8,)
    assert envs.observation_space.contains(envs.reset(seed=1)[0])
    assert envs.action_space.shape == (2, 2)
    envs.close()


def test_a_dream_is_cut_at_its_horizon_and_begins_again(agent: Agent):
    _never_end(agent)
    mind = Dream(agent, 4, DreamConfig(horizon=3))
    mind.reset([1, 2, 3, 4])
    steps = [mind.step(torch.zeros(4, 2)) for _ in range(6)]
    assert [bool(step.truncated.all()) for step in steps] == [False, False, True, False, False, True]
    last = steps[2]
    assert not torch.equal(last.observation, last.final_observation)
    assert agent.starts is not None
    begun = torch.cat([agent.starts.z, agent.memory.h(agent.starts.state)], -1)
    assert all(any(torch.equal(row, start) for start in begun) for row in last.observation)


def test_a_dream_ends_when_memory_says_so(agent: Agent):
    with torch.no_grad():
        agent.memory.scalar_head.weight.zero_()
        agent.memory.scalar_head.bias.copy_(torch.tensor([0.0, 100.0, 0.0]))
    mind = Dream(agent, 2)
    mind.reset([0, 1])
    step = mind.step(torch.zeros(2, 2))
    assert step.terminated.all()
    assert not step.truncated.any()


def test_awake_resets_on_training_tracks_and_forgets(agent: Agent, monkeypatch: pytest.MonkeyPatch):
    mind = Awake(agent, 2, limit=5)
    mind.reset([3, 4])
    seeds: list[int] = []
    for track in mind.tracks:
        reset = track.reset
        monkeypatch.setattr(track, "reset", lambda seed, options, reset=reset: seeds.append(seed) or reset(seed=seed))
    step = [mind.step(torch.zeros(2, 2)) for _ in range(5)][-1]
    assert step.truncated.all()
    assert len(seeds) == 2
    assert max(seeds) < SELECTION_SEEDS
    assert (step.observation[:, 4:] == 0).all()
    mind.close()


def test_awake_begins_anywhere_and_either_way_if_told(agent: Agent, monkeypatch: pytest.MonkeyPatch):
    asked: list[dict[str, object]] = []
    for random_start, reverse in ((0.0, 0.0), (1.0, 1.0)):
        mind = Awake(agent, 1, random_start=random_start, reverse=reverse)
        reset = mind.tracks[0].reset
        monkeypatch.setattr(
            mind.tracks[0], "reset", lambda seed, options, reset=reset: asked.append(options) or reset(seed=seed)
        )
        mind.reset([3])
        mind.close()
    assert asked == [{}, {"start_tile": "random", "reverse": True}]


def test_both_minds_have_one_interface(agent: Agent):
    minds: list[Mind] = [Dream(agent, 2), Awake(agent, 2)]
    for mind in minds:
        observation = mind.reset([1, 2])
        step = mind.step(torch.zeros(2, mind.action_size))
        assert observation.shape == step.observation.shape == (2, mind.observation_size)
        assert step.reward.shape == step.off_road.shape == (2,)
        assert mind.render().shape == (64, 64, 3)


def test_a_dream_needs_real_moments(agent: Agent):
    agent.starts = None
    with pytest.raises(ValueError, match="no real moments"):
        Dream(agent, 1)


def test_chance_is_uniform_independent_and_never_at_the_edge():
    seeds = torch.arange(1000)
    drawn = uniforms(seeds, torch.zeros(1000, dtype=torch.int64), 64)
    assert 0 < drawn.min() < drawn.max() < 1
    assert drawn.mean().item() == pytest.approx(0.5, abs=0.01)
    assert drawn.var().item() == pytest.approx(1 / 12, abs=0.01)
    after = uniforms(seeds, torch.ones(1000, dtype=torch.int64), 64)
    assert abs(np.corrcoef(drawn.flatten(), after.flatten())[0, 1]) < 0.02
    assert abs(np.corrcoef(drawn[:-1].flatten(), drawn[1:].flatten())[0, 1]) < 0.02
    edges = torch.tensor([2.0**-24, 1 - 2.0**-24])
    assert torch.isfinite(normals(edges)).all()
    torch.testing.assert_close(uniforms(seeds[5:6], torch.zeros(1, dtype=torch.int64), 64), drawn[5:6])


def _never_end(agent: Agent) -> None:
    with torch.no_grad():
        agent.memory.scalar_head.weight.zero_()
        agent.memory.scalar_head.bias.copy_(torch.tensor([0.0, -100.0, 0.0]))
