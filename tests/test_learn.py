"""Learning: the losses and estimates against what they should be, and that each part learns something."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from dreamlap.agent import Agent, AgentConfig, build_agent
from dreamlap.control import ActorCritic, Linear
from dreamlap.device import choose_autocast
from dreamlap.episodes.latents import Latents
from dreamlap.learn.cmaes import CMAESConfig, first_spread, noise_share, search_basis, strategy_from, train_cmaes
from dreamlap.learn.distillation import distill
from dreamlap.learn.loop import run_updates
from dreamlap.learn.memory import MemoryTraining, choose, dream_starts, fit_memory, remember
from dreamlap.learn.ppo import PPOConfig, advantages, newly, train_ppo
from dreamlap.learn.rollouts import Rollouts, awake_fitness, fitness_in
from dreamlap.memory import MemoryConfig
from dreamlap.mind import Dream
from dreamlap.mind.interface import Step
from dreamlap.run import Stage
from dreamlap.seeds import SELECTION_SEEDS
from dreamlap.vision import VisionConfig
from dreamlap.vision.vae import Posterior, kl_by_dimension, reconstruction_error

FULL = choose_autocast("float32", torch.device("cpu"))
ALL = torch.ones(6, dtype=torch.bool)
"""Every episode of `_latents` may be seen."""


class Corridor:
    """N one-dimensional worlds in which the reward is how close the action is to 0.5; an episode lasts ten steps."""

    observation_size, action_size, device = 2, 1, torch.device("cpu")
    agent = build_agent(AgentConfig())

    def __init__(self, num_envs: int):
        self.num_envs = num_envs

    def reset(self, seeds: Sequence[int]) -> torch.Tensor:
        self.num_envs = len(seeds)
        self.age = 0
        return torch.ones(self.num_envs, 2)

    def step(self, action: torch.Tensor) -> Step:
        self.age += 1
        ended = torch.full((self.num_envs,), self.age % 10 == 0)
        seen, no = torch.ones(self.num_envs, 2), torch.zeros(self.num_envs, dtype=torch.bool)
        return Step(seen, 1 - (action[:, 0] - 0.5).abs(), no, ended, torch.zeros(self.num_envs), seen)

    def keep(self, rows: torch.Tensor) -> None:
        self.num_envs = int(rows.sum())

    def render(self) -> np.ndarray:
        return np.zeros((self.num_envs, 64, 64, 3), np.uint8)


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


def test_cmaes_finds_the_best_action_and_resumes_to_the_same(tmp_path: Path):
    config = CMAESConfig(generations=12, population=8, rollouts=2, steps=10, sigma=0.3)

    def evolve(folder: Path, generations: int) -> Linear:
        controller = Linear(2, 0, 1)
        mind = Corridor(16)
        shorter = CMAESConfig(**{**vars(config), "generations": generations})
        train_cmaes(Stage(folder), controller, lambda c, s: fitness_in(mind, controller, c, s, config), shorter, seed=0)
        return controller

    whole = evolve(tmp_path / "whole", 12)
    assert whole.act(torch.ones(1, 2)).item() == pytest.approx(0.5, abs=0.1)
    evolve(tmp_path / "broken", 5)
    resumed = evolve(tmp_path / "broken", 12)
    assert torch.equal(whole.layer.weight, resumed.layer.weight)


def test_an_evolution_goes_on_through_the_rounds(tmp_path: Path):
    mind = Corridor(16)

    def evolve(name: str, generations: int, previous: Stage | None = None, controller: Linear | None = None) -> Linear:
        controller = controller or Linear(2, 0, 1)
        config = CMAESConfig(generations=generations, population=8, rollouts=2, steps=10, sigma=0.3)
        stage = Stage(tmp_path / name)
        train_cmaes(stage, controller, lambda c, s: fitness_in(mind, controller, c, s, config), config, 0, previous)
        return controller

    whole = evolve("whole", 9)
    first = evolve("first", 5)
    evolve("second", 2, Stage(tmp_path / "first"))  # broken off
    second = evolve("second", 4, Stage(tmp_path / "first"), first)
    assert torch.equal(second.layer.weight, whole.layer.weight)
    assert [line["update"] for line in Stage(tmp_path / "second").metrics()] == [1, 2, 3, 4]


def test_an_evolution_may_search_along_what_c_sees_most_of(tmp_path: Path):
    chance = torch.Generator().manual_seed(0)
    seen = torch.randn(500, 5, generator=chance) * torch.tensor([0.1, 3.0, 0.1, 2.0, 0.1]) + 1
    controller = Linear(3, 2, 2)
    basis = search_basis(controller, seen, 2)
    assert basis.shape == (2 * 2 + 2, 2 * 5 + 2)
    coordinates = torch.tensor([0.3, -0.2, 0.0, 0.5, 0.1, -0.4])  # two directions of each action, then their biases
    vector_to_parameters(coordinates @ basis, controller.parameters())
    assert controller.layer.weight[:, [0, 2, 4]].abs().max().item() < 0.05  # next to nothing there
    centred = controller.layer(seen)
    torch.testing.assert_close(centred.mean(0), coordinates[4:])
    torch.testing.assert_close(centred.std(0), torch.tensor([(0.3**2 + 0.2**2) ** 0.5, 0.5]))  # whatever the spreads
    assert torch.equal(search_basis(controller, None, 0), torch.eye(12))
    vector_to_parameters(torch.eye(12)[1] @ search_basis(controller, seen, 0), controller.parameters())
    torch.testing.assert_close(controller.layer(seen).std(0), torch.tensor([1.0, 0.0]))  # along the second weight alone
    assert (controller.layer.weight != 0).sum() == 1
    with pytest.raises(ValueError, match="directions can be at most that, not 6"):
        search_basis(controller, seen, 6)
    config = CMAESConfig(generations=12, population=8, rollouts=2, steps=10, sigma=0.3, directions=1)
    mind, one = Corridor(16), Linear(2, 0, 1)
    line = torch.tensor([[0.0, 1.0], [2.0, 3.0]])
    train_cmaes(Stage(tmp_path), one, lambda c, s: fitness_in(mind, one, c, s, config), config, seed=0, seen=line)
    assert one.act(torch.ones(1, 2)).item() == pytest.approx(0.5, abs=0.1)
    assert one.layer.weight[0, 0].item() == pytest.approx(one.layer.weight[0, 1].item())


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


def test_an_evolution_is_tested_on_the_real_track_now_and_then(tmp_path: Path):
    config = CMAESConfig(generations=6, population=4, rollouts=1, steps=5, test_every=3, tests=2)
    controller, mind, tested = Linear(2, 0, 1), Corridor(4), []

    def real(candidates: torch.Tensor, seeds: list[int]) -> Rollouts:
        tested.append(seeds)
        return Rollouts(np.full((len(candidates), len(seeds)), 7.0), 0)

    stage = Stage(tmp_path)
    train_cmaes(stage, controller, lambda c, s: fitness_in(mind, controller, c, s, config), config, 0, None, real)
    assert [line.get("real") for line in stage.metrics()] == [None, None, 7.0, None, None, 7.0]
    assert [len(seeds) for seeds in tested] == [2, 2, 16]  # in the end the mean drives against the best candidate
    assert all(seed < SELECTION_SEEDS for seeds in tested for seed in seeds)


def test_the_better_of_mean_and_best_candidate_is_kept(tmp_path: Path):
    config = CMAESConfig(generations=3, population=4, rollouts=1, steps=5)
    finalists: list[torch.Tensor] = []

    def evolve(name: str, returns: list[float]) -> torch.Tensor:
        def real(candidates: torch.Tensor, seeds: list[int]) -> Rollouts:
            finalists[:] = list(candidates)
            return Rollouts(np.array(returns)[:, None], 0)

        controller, mind = Linear(2, 0, 1), Corridor(4)
        train_cmaes(
            Stage(tmp_path / name), controller, lambda c, s: fitness_in(mind, controller, c, s, config), config, 0, None, real
        )
        return parameters_to_vector(controller.parameters())

    mean = evolve("mean", [2.0, 1.0])
    assert torch.equal(mean, finalists[0])
    best = evolve("best", [1.0, 2.0])
    assert torch.equal(best, finalists[1])
    assert torch.equal(best, evolve("best", [1.0, 2.0]))  # begun again, it is told what was measured
    assert not torch.equal(mean, best)


def test_a_rollout_that_earns_nothing_ends_and_the_others_go_on():
    """Candidates drive at a constant speed; only those in front of the line earn something, and one falls off the end."""

    class Road(Corridor):
        def reset(self, seeds: Sequence[int]) -> torch.Tensor:
            self.place, self.steps = torch.zeros(len(seeds)), 0
            return super().reset(seeds)

        def step(self, action: torch.Tensor) -> Step:
            self.steps += len(action)
            self.place += action[:, 0]
            step, fallen = super().step(action), self.place > 5
            return step._replace(reward=(action[:, 0] > 0.1).float(), terminated=fallen, truncated=fallen & False)

        def keep(self, rows: torch.Tensor) -> None:
            super().keep(rows)
            self.place = self.place[rows]

    mind, like = Road(6), Linear(2, 0, 1)
    speeds = torch.tensor([0.0, 0.5, 0.9])
    candidates = torch.stack([torch.zeros(3), torch.zeros(3), speeds.atanh()], 1)
    earned, steps = fitness_in(mind, like, candidates, [1, 2], CMAESConfig(steps=8, patience=3))
    assert earned.tolist() == [[0, 0], [8, 8], [6, 6]]  # to its patience, to the last step, to its fall
    assert steps == mind.steps == 2 * (3 + 8 + 6)


def test_leaving_the_road_costs_once_and_every_step_beside_it_besides():
    class Verge(Corridor):
        beside = (1.0, 0.0, 0.5, 1.0, 0.0, 1.0)

        def step(self, action: torch.Tensor) -> Step:
            step = super().step(action)
            return step._replace(
                reward=torch.ones(self.num_envs), off_road=torch.full((self.num_envs,), self.beside[self.age - 1])
            )

    config = CMAESConfig(steps=6, leaving_penalty=10.0, off_road_penalty=0.5)
    earned = fitness_in(Verge(2), Linear(2, 0, 1), torch.zeros(2, 3), [1], config).earned
    assert earned.tolist() == [[6 - 10 * (0.5 + 0.5 + 1) - 0.5 * 3.5]] * 2  # it began beside the road: that is no leaving


def test_driving_awake_costs_and_earns_the_same_in_any_number_of_processes(agent: Agent):
    config = CMAESConfig(population=5, rollouts=2, steps=80, patience=50)
    agent.controller = Linear(agent.memory.latent, agent.memory.hidden, agent.memory.action)
    weights = parameters_to_vector(agent.controller.parameters())
    candidates = torch.randn(5, len(weights), generator=torch.Generator().manual_seed(0)) + torch.eye(len(weights))[-1]
    one, two = (awake_fitness(agent, workers, FULL, config) for workers in (1, 2))
    first, steps = one(candidates, [3, 4])
    assert 5 * 2 * 20 < steps <= 5 * 2 * 80
    assert np.isfinite(first).all()
    assert first.shape == (5, 2)
    assert len(set(first.mean(1))) > 1
    again = two(candidates, [3, 4])
    assert np.array_equal(first, again.earned)
    assert again.steps == steps
    assert not np.array_equal(first, one(candidates, [5, 6]).earned)
    assert np.array_equal(first, one(candidates, [3, 4]).earned)  # tracks that were driven before are as good as new ones


def test_chance_is_told_from_what_the_candidates_do():
    chance = np.random.default_rng(0)
    worth, track = 10 * chance.normal(size=(4000, 1)), 50 * chance.normal(size=(1, 4))
    luck = 20 * chance.normal(size=(4000, 4))
    assert noise_share(worth + track) == pytest.approx(0.0, abs=1e-9)  # tracks differ, and the same for all
    assert noise_share(worth + track + luck) == pytest.approx((20**2 / 4) / (10**2 + 20**2 / 4), abs=0.03)
    assert noise_share(luck) == pytest.approx(1.0, abs=0.05)
    assert noise_share(np.zeros((3, 2))) == 0.0
    assert noise_share(worth) == 1.0  # one rollout: nobody knows


def test_candidates_drive_more_rollouts_where_chance_decides_and_no_more_than_allowed(tmp_path: Path):
    config = CMAESConfig(generations=40, population=8, rollouts=6, first_rollouts=2, steps=5, sigma=0.3)

    def evolve(name: str, noise: float, generations: int = 40, begin: int = 2) -> list[float]:
        def drive(candidates: torch.Tensor, seeds: list[int]) -> Rollouts:
            luck = np.stack([np.random.default_rng(seed).normal(size=len(candidates)) for seed in seeds], 1)
            return Rollouts(-((candidates[:, -1:].double().numpy() - 3) ** 2) + noise * luck, 0)

        shorter = CMAESConfig(**{**vars(config), "generations": generations, "first_rollouts": begin})
        stage = Stage(tmp_path / name)
        train_cmaes(stage, Linear(2, 0, 1), drive, shorter, seed=0)
        return [line["rollouts"] for line in stage.metrics()]

    loud = evolve("loud", 100.0)
    assert loud[:4] == [2, 2, 2, 2]
    assert loud == sorted(loud)
    assert set(loud) == {2, 3, 4, 6}
    assert evolve("quiet", 1e-6) == [2] * 40
    assert evolve("more", 1e-6, 3, begin=9) == [6] * 3
    assert evolve("all", 1e-6, 3, begin=0) == [6] * 3
    evolve("broken", 100.0, 11)
    assert evolve("broken", 100.0) == loud  # it goes on with as many as it had come to
    kept, whole = Stage(tmp_path / "broken").load() or {}, Stage(tmp_path / "loud").load() or {}
    assert torch.equal(kept["fitness"][-1], whole["fitness"][-1])


def test_an_evolution_stops_at_its_target(tmp_path: Path):
    mind, controller = Corridor(8), Linear(2, 0, 1)
    config = CMAESConfig(generations=50, population=4, rollouts=2, steps=10, target=0.1)
    train_cmaes(Stage(tmp_path), controller, lambda c, s: fitness_in(mind, controller, c, s, config), config, seed=0)
    assert len(Stage(tmp_path).metrics()) == 1


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


def test_an_evolution_ends_when_its_steps_are_used_up(tmp_path: Path):
    """Each of its generations takes 4 candidates' 2 rollouts of 10 steps."""
    mind, start = Corridor(8), CMAESConfig(generations=50, population=4, rollouts=2, steps=10)

    def evolve(name: str, generations: int = 50, budget: int = 300, previous: Stage | None = None) -> tuple[int, list[float]]:
        config, controller = CMAESConfig(**{**vars(start), "generations": generations, "budget": budget}), Linear(2, 0, 1)
        stage = Stage(tmp_path / name)
        steps = train_cmaes(stage, controller, lambda c, s: fitness_in(mind, controller, c, s, config), config, 0, previous)
        return steps, [line["steps"] for line in stage.metrics()]

    assert evolve("whole") == (320, [80, 160, 240, 320])
    assert evolve("broken", generations=2) == (160, [80, 160])
    assert evolve("broken") == (320, [80, 160, 240, 320])
    assert evolve("free", generations=6, budget=0)[0] == 480
    assert evolve("next", budget=150, previous=Stage(tmp_path / "whole")) == (160, [80, 160])  # a budget is that of a stage


def test_weights_grow_no_further_than_they_are_worth(tmp_path: Path):
    def evolve(name: str, decay: float) -> float:
        def drive(candidates: torch.Tensor, seeds: list[int]) -> Rollouts:  # each unit of the bias earns 10
            return Rollouts(10 * candidates[:, -1:].double().numpy(), 0)

        config = CMAESConfig(generations=80, population=8, rollouts=1, sigma=0.3, weight_decay=decay)
        controller = Linear(2, 0, 1)
        train_cmaes(Stage(tmp_path / name), controller, drive, config, seed=0)
        return controller.layer.bias.item()

    assert evolve("free", 0.0) > 50
    assert evolve("held", 1.0) == pytest.approx(5, abs=0.2)  # where 10 b - b**2 is greatest


def test_z_h_and_the_bias_have_an_equal_share_in_the_first_candidates():
    controller, config = Linear(4, 16, 2), CMAESConfig(sigma=0.5)
    spread = torch.from_numpy(first_spread(controller, config))
    assert len(spread) == sum(weights.numel() for weights in controller.parameters())
    each = spread[:40].reshape(2, 20).square()
    torch.testing.assert_close(each[:, :4].sum(1), torch.ones(2).double())
    torch.testing.assert_close(each[:, 4:].sum(1), torch.ones(2).double())
    assert spread[40:].tolist() == [1, 1]
    assert first_spread(Linear(4, 0, 2, bias=False), config).tolist() == [0.5] * 8  # z alone
    assert first_spread(controller, CMAESConfig(directions=3)).tolist() == [1.0] * 8
    drawn = np.array(strategy_from(first_spread(controller, config), CMAESConfig(population=400, sigma=0.5), 0).ask())
    assert drawn.std(0) == pytest.approx(0.5 * spread.numpy(), rel=0.2)
