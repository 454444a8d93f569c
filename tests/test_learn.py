"""Learning: the losses and estimates against what they should be, and that each part learns something."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from corridor import Corridor
from torch.nn.utils import parameters_to_vector

from dreamlap.agent import Agent, AgentConfig, build_agent
from dreamlap.control import ActorCritic, Linear
from dreamlap.device import choose_autocast
from dreamlap.episodes.latents import Latents
from dreamlap.learn.distillation import distill
from dreamlap.learn.loop import run_updates
from dreamlap.learn.memory import MemoryTraining, choose, dream_starts, fit_memory, remember
from dreamlap.learn.ppo import PPOConfig, advantages, newly, train_ppo
from dreamlap.memory import MemoryConfig
from dreamlap.mind import Dream
from dreamlap.mind.interface import Step
from dreamlap.run import Stage
from dreamlap.vision import VisionConfig
from dreamlap.vision.vae import Posterior, kl_by_dimension, reconstruction_error

FULL = choose_autocast("float32", torch.device("cpu"))
ALL = torch.ones(6, dtype=torch.bool)
"""Every episode of `_latents` may be seen."""


class Crossing(Corridor):
    """The same, but what is seen tells whether the action matters: it does in every other step."""

    def reset(self, seeds: Sequence[int]) -> torch.Tensor:
        super().reset(seeds)
        return self.seen()

    def seen(self) -> torch.Tensor:
        return torch.eye(2)[self.age % 2].expand(self.num_envs, 2)

    def step(self, action: torch.Tensor) -> Step:
        matters = self.age % 2 == 0
        step = super().step(action)
        seen = self.seen()
        return step._replace(observation=seen, final_observation=seen, reward=step.reward * matters)


def test_kl_and_reconstruction_are_sums():
    assert kl_by_dimension(Posterior(torch.zeros(3, 2), torch.zeros(3, 2))).tolist() == [0, 0]
    one = kl_by_dimension(Posterior(torch.full((3, 2), 2.0), torch.full((3, 2), math.log(0.5))))
    torch.testing.assert_close(one, torch.full((2,), 0.5 * (0.25 + 4 - 1) + math.log(2)))
    target, weight = torch.ones(2, 3, 4, 4), torch.ones(4, 1)
    assert reconstruction_error(torch.zeros(2, 3, 4, 4), target, weight, "mse").item() == pytest.approx(48 * 0.25)
    assert reconstruction_error(torch.zeros(2, 3, 4, 4), target, weight, "bce").item() == pytest.approx(48 * math.log(2))
    weight[3] = 10
    assert reconstruction_error(torch.zeros(2, 3, 4, 4), target, weight, "mse").item() == pytest.approx(12 * 13 * 0.25)


def test_advantages_are_the_textbooks():
    reward, value, following = torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([[0.5], [0.4], [0.3]]), torch.zeros(3, 1)
    following[0], following[1] = 0.4, 9.0  # step 1 was cut off in a state worth 9
    ended = torch.tensor([[False], [True], [False]])
    found = advantages(reward, value, following, ended, gamma=0.9, lam=0.8)
    last = 3 - 0.3
    middle = 2 + 0.9 * 9 - 0.4
    first = 1 + 0.9 * 0.4 - 0.5 + 0.9 * 0.8 * middle
    torch.testing.assert_close(found, torch.tensor([[first], [middle], [last]]))


def test_ppo_finds_the_best_action(tmp_path: Path):
    torch.manual_seed(0)
    controller = ActorCritic(2, 0, 1, widths=(8,))
    config = PPOConfig(updates=40, num_envs=64, steps=10, minibatch=160, learning_rate=3e-3, reward_scale=1.0)
    train_ppo(Stage(tmp_path), controller, [Corridor(64)], [config], 0, FULL)
    assert controller.act(torch.ones(1, 2)).item() == pytest.approx(0.5, abs=0.1)


def test_ppo_takes_its_lessons_one_after_the_other(tmp_path: Path):
    lesson = PPOConfig(updates=2, num_envs=4, steps=4, minibatch=16)
    courses = {"one": [lesson], "idle": [lesson, lesson.at(1e-30)], "two": [lesson, lesson.at(0.5, updates=1)]}
    learned = {}
    for name, course in courses.items():
        torch.manual_seed(0)
        learned[name] = ActorCritic(2, 0, 1, widths=(8,))
        train_ppo(Stage(tmp_path / name), learned[name], [Corridor(4)], course, 0, FULL)
        assert len(Stage(tmp_path / name).metrics()) == sum(lesson.updates for lesson in course)
    one, idle, two = (parameters_to_vector(controller.parameters()) for controller in learned.values())
    assert torch.equal(one, idle)  # at a learning rate of next to 0 nothing is learned
    assert not torch.equal(one, two)


def test_noise_grows_where_nothing_depends_on_it(tmp_path: Path):
    torch.manual_seed(0)
    controller = ActorCritic(2, 0, 1, widths=(8,), state_dependent_std=True)
    config = PPOConfig(updates=40, num_envs=64, steps=10, minibatch=160, learning_rate=3e-3, reward_scale=1.0, entropy=0.1)
    before = controller.policy(torch.eye(2)).stddev
    assert torch.equal(before, torch.full((2, 1), math.exp(-1.0)))
    train_ppo(Stage(tmp_path), controller, [Crossing(64)], [config], 0, FULL)
    matters, does_not = controller.policy(torch.eye(2)).stddev[:, 0].tolist()
    assert matters < before[0].item() / 2
    assert does_not > before[1].item() * 2
    controller.explore(0.1)
    torch.testing.assert_close(controller.policy(torch.eye(2)).stddev, torch.full((2, 1), 0.1))


@pytest.mark.parametrize("bias", [True, False])
def test_a_linear_c_learns_to_do_as_another_does(agent: Agent, bias: bool):
    latent, hidden, size = agent.memory.latent, agent.memory.hidden, agent.memory.action
    chance = torch.Generator().manual_seed(0)
    teacher, student, again = (Linear(latent, hidden, size, bias) for _ in range(3))
    for weights in teacher.parameters():
        weights.data = 0.05 * torch.randn(weights.shape, generator=chance)
    mind = Dream(agent, 16)
    distill(student, teacher, mind, seed=3)
    seen = mind.reset(range(16))
    torch.testing.assert_close(student.act(seen), teacher.act(seen), atol=0.02, rtol=0)
    assert teacher.act(seen).abs().mean().item() > 0.05
    distill(again, teacher, mind, seed=3)
    assert torch.equal(again.layer.weight, student.layer.weight)


def _latents(episodes: int = 6, steps: int = 30) -> Latents:
    """Episodes in which z turns as the action says and the reward is the last action."""
    chance = torch.Generator().manual_seed(0)
    rows = episodes * (steps + 1)
    action = torch.rand(rows, 2, generator=chance) * 2 - 1
    mu = torch.randn(rows, 4, generator=chance) * 0.1
    mu[1:, 0] += action[:-1, 0]
    last = torch.arange(rows) % (steps + 1) == steps
    end = torch.roll(last, -1).float()
    reward = torch.where(last, 0.0, action[:, 1])
    off_road, log_sigma = torch.zeros(rows), torch.full((rows, 4), -4.0)
    return Latents(mu, log_sigma, action, reward, end, off_road, torch.full((episodes,), steps))


MEMORIES = (MemoryConfig("lstm", 8, 3), MemoryConfig("gru", 8, 3), MemoryConfig("lstm", 8, 1), MemoryConfig("reservoir", 8, 3))


@pytest.mark.parametrize("made_of", MEMORIES)
def test_memory_learns_what_follows_from_an_action(made_of: MemoryConfig, tmp_path: Path):
    memory = build_agent(AgentConfig(vision=VisionConfig(latent=4), memory=made_of), seed=1).memory
    begun = {name: weights.clone() for name, weights in memory.state_dict().items()}
    config = MemoryTraining(updates=150, batch=16, window=20, learning_rate=1e-2)
    fit_memory(Stage(tmp_path), memory, _latents(), ALL, 0, config, 0, FULL)
    metrics = Stage(tmp_path).metrics()
    assert metrics[-1]["reward"] < 0.1 * metrics[0]["reward"]
    assert metrics[-1]["z"] < metrics[0]["z"] - 2
    stayed = {name for name, weights in memory.state_dict().items() if torch.equal(weights, begun[name])}
    assert stayed == {name for name in begun if name.startswith("untrained")}


def test_windows_lie_within_their_episodes_and_half_are_fresh():
    config, latents = MemoryTraining(window=10, batch=4000, fresh=0.5, from_start=0.2), _latents()
    episode, offset = choose(torch.rand(4, 4000, generator=torch.Generator().manual_seed(0)), latents, ALL, 4, config)
    assert offset.min() == 0
    assert offset.max() == 20
    assert (episode >= 4).float().mean().item() == pytest.approx(0.5 + 0.5 / 3, abs=0.03)
    assert (offset == 0).float().mean() > 0.2
    some = torch.tensor([False, True, True, False, False, True])
    episode, offset = choose(torch.rand(4, 4000, generator=torch.Generator().manual_seed(0)), latents, some, 4, config)
    assert set(episode.tolist()) == {1, 2, 5}
    assert (offset.min(), offset.max()) == (0, 20)
    assert (episode == 5).float().mean().item() == pytest.approx(0.5 + 0.5 / 3, abs=0.03)


def test_dreams_start_from_what_memory_would_remember(agent: Agent):
    latents = _latents()
    rows = torch.tensor([32, 0, 93, 31, 65, 92, 65])
    states, expected = remember(agent.memory, latents, rows), []
    for row in rows.tolist():
        state = agent.memory.initial(1)
        for before in range(row // 31 * 31, row):
            state = agent.memory.step(latents.mu[before][None], latents.action[before][None], state)
        expected.append(state)
    torch.testing.assert_close(states, torch.cat(expected))
    assert (states[1] == 0).all()
    assert states[0].abs().max() > 0
    assert remember(agent.memory, latents, rows[:0]).shape == (0, agent.memory.state_size)
    starts = dream_starts(agent.memory, latents, 16, 0.25, first_fresh=4, fresh=1.0, count=400, seed=0)
    rows = [int(torch.nonzero((latents.mu == z).all(1))[0]) for z in starts.z]
    within = np.array(rows) % 31
    assert ((within == 0) | ((within >= 16) & (within < 30))).all()
    assert (within == 0).mean() == pytest.approx(0.25)
    assert all(row >= 4 * 31 for row, t in zip(rows, within, strict=True) if t)


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_checkpoint(tmp_path: Path):
    layer, stage = torch.nn.Linear(1, 1), Stage(tmp_path)
    with pytest.raises(FloatingPointError, match="no longer a number in update 3"):
        run_updates(stage, "t", 5, {"layer": layer}, lambda i: {"loss": math.nan if i == 3 else 1.0})
    kept = stage.load()
    assert kept is not None
    assert kept["update"] == 3


def test_a_checkpoint_of_another_shape_is_refused(tmp_path: Path):
    stage = Stage(tmp_path)
    run_updates(stage, "t", 1, {"layer": torch.nn.Linear(1, 1)}, lambda _: {"loss": 1.0})
    with pytest.raises(ValueError, match="of another shape"):
        run_updates(stage, "t", 2, {"layer": torch.nn.Linear(2, 1)}, lambda _: {"loss": 1.0})


def test_leaving_the_road_counts_once_and_not_across_episodes():
    off = torch.tensor([[1.0, 0.0], [1.0, 0.5], [0.0, 1.0], [1.0, 1.0], [0.3, 1.0]])
    ended = torch.zeros(5, 2, dtype=torch.bool)
    ended[2, 0] = True  # the fourth step begins an episode, off the road
    left = newly(off, ended)
    assert left[:, 0].tolist() == pytest.approx([0, 0, 0, 0, 0])
    assert left[:, 1].tolist() == pytest.approx([0, 0.5, 0.5, 0, 0])
    assert newly(torch.tensor([[0.2], [1.0], [0.9], [0.0], [1.0]]), ended[:, 1:])[:, 0].tolist() == pytest.approx(
        [0.16, 0.8, 0, 0, 1]
    )
