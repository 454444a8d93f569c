"""CMA-ES: what it searches along, how it counts and resumes, and that it finds what is best."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from corridor import Corridor
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from dreamlap.agent import Agent, build_agent
from dreamlap.control import ControllerConfig, Linear
from dreamlap.device import choose_autocast
from dreamlap.errors import Refused
from dreamlap.learn.cmaes import (
    CMAESConfig,
    Search,
    first_spread,
    noise_share,
    search_basis,
    shift,
    sigma_after,
    strategy_from,
    train_cmaes,
)
from dreamlap.learn.critic import Critic, Trace, Tracer
from dreamlap.learn.rollouts import (
    Rollouts,
    awake_fitness,
    candidates_in_a_lot,
    dream_fitness,
    fitness_in,
    linear_of,
)
from dreamlap.mind import DreamConfig
from dreamlap.mind.interface import Step
from dreamlap.protocol import SELECTION_SEEDS
from dreamlap.run import Stage

FULL = choose_autocast("float32", torch.device("cpu"))


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


def test_an_evolution_is_tested_on_the_real_track_now_and_then(tmp_path: Path):
    config = CMAESConfig(generations=6, population=4, rollouts=1, steps=5, test_every=3, tests=2)
    controller, mind, tested = Linear(2, 0, 1), Corridor(4), []

    def real(candidates: torch.Tensor, seeds: list[int]) -> Rollouts:
        tested.append(seeds)
        return Rollouts(np.full((len(candidates), len(seeds)), 7.0), 0)

    stage = Stage(tmp_path)
    train_cmaes(stage, controller, lambda c, s: fitness_in(mind, controller, c, s, config), config, 0, None, real)
    assert [line.get("real") for line in stage.metrics()] == [None, None, 7.0, None, None, 7.0]
    assert [len(seeds) for seeds in tested] == [2, 2, 48]  # in the end the finalists drive against each other
    assert all(seed < SELECTION_SEEDS for seeds in tested for seed in seeds)


def test_the_best_of_last_mean_average_of_means_and_best_candidate_is_kept(tmp_path: Path):
    config = CMAESConfig(generations=6, population=4, rollouts=1, steps=5)
    finalists: list[torch.Tensor] = []

    def evolve(name: str, returns: list[float], generations: int = 6) -> torch.Tensor:
        def real(candidates: torch.Tensor, seeds: list[int]) -> Rollouts:
            finalists[:] = list(candidates)
            return Rollouts(np.array(returns)[:, None], 0)

        controller, mind, shorter = Linear(2, 0, 1), Corridor(4), replace(config, generations=generations)
        stage = Stage(tmp_path / name)
        train_cmaes(stage, controller, lambda c, s: fitness_in(mind, controller, c, s, config), shorter, 0, None, real)
        return parameters_to_vector(controller.parameters())

    before = evolve("before", [2.0, 1.0, 1.0], generations=5)  # the search mean of the last but one
    mean = evolve("mean", [2.0, 1.0, 1.0])
    assert torch.equal(mean, finalists[0])
    average = evolve("average", [1.0, 2.0, 1.0])
    torch.testing.assert_close(average, (before + mean) / 2)  # a third of six generations
    best = evolve("best", [1.0, 1.0, 2.0])
    assert torch.equal(best, finalists[2])
    assert torch.equal(average, evolve("best", [1.0, 2.0, 1.0]))  # begun again, it is told what was measured
    assert len({tuple(each.tolist()) for each in (mean, average, best)}) == 3


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
    config = CMAESConfig(generations=100, population=8, rollouts=6, first_rollouts=2, steps=5, sigma=0.3)

    def evolve(name: str, noise: float, generations: int = 100, begin: int = 2) -> list[float]:
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
    assert evolve("quiet", 1e-6, 40) == [2] * 40
    assert evolve("more", 1e-6, 3, begin=9) == [6] * 3
    assert evolve("all", 1e-6, 3, begin=0) == [6] * 3
    evolve("broken", 100.0, 41)
    assert evolve("broken", 100.0) == loud  # it goes on with as many as it had come to
    kept, whole = Stage(tmp_path / "broken").load() or {}, Stage(tmp_path / "loud").load() or {}
    assert torch.equal(kept["fitness"][-1], whole["fitness"][-1])


def test_sigma_falls_over_the_budget_and_a_broken_search_goes_on_with_it(tmp_path: Path):
    mind = Corridor(8)
    config = CMAESConfig(
        generations=9, population=4, rollouts=2, steps=10, budget=400, sigma=0.4, final_sigma=0.1, mean_rate=0.5, diagonal=True
    )

    def evolve(name: str, **other: int) -> tuple[Linear, list[float]]:
        controller, shorter = Linear(2, 0, 1), replace(config, **other)
        train_cmaes(
            Stage(tmp_path / name), controller, lambda c, s: fitness_in(mind, controller, c, s, shorter), shorter, seed=0
        )
        return controller, [line["sigma"] for line in Stage(tmp_path / name).metrics()]

    whole, sigmas = evolve("whole")
    assert sigmas == pytest.approx([0.4 * 0.25 ** (steps / 400) for steps in (0, 80, 160, 240, 320)])  # each takes 80
    evolve("broken", generations=3)
    assert sigma_after(500, config) == pytest.approx(0.1)
    again, found = evolve("broken")
    assert found == sigmas
    assert torch.equal(again.layer.weight, whole.layer.weight)
    evolve("short", budget=160)  # and then with more: what was searched stays as it was
    _, longer = evolve("short")
    assert longer == pytest.approx([0.4, 0.2, *sigmas[2:]])
    later = Stage(tmp_path / "later")  # a round that goes on with the evolution: it was over, and is not stirred up again
    train_cmaes(
        later,
        whole,
        lambda c, s: fitness_in(mind, whole, c, s, config),
        replace(config, generations=2),
        0,
        Stage(tmp_path / "whole"),
    )
    assert [line["sigma"] for line in later.metrics()] == [0.1, 0.1]
    with pytest.raises(Refused, match=r"final_sigma 0.1.*Give a budget"):
        CMAESConfig(final_sigma=0.1)


def test_the_mean_goes_a_share_of_the_way(tmp_path: Path):
    means = []
    for rate in (1.0, 0.25):
        strategy = strategy_from(np.ones(6), CMAESConfig(population=8, sigma=0.5, mean_rate=rate), seed=0)
        strategy.tell(strategy.ask(), list(range(8)))
        means.append(strategy.mean)
    np.testing.assert_allclose(means[1], means[0] / 4)
    assert np.abs(means[0]).max() > 0.05


def test_the_mean_moves_away_from_the_worst_as_far_as_towards_the_best():
    config = CMAESConfig(population=7, sigma=0.5)
    strategy = strategy_from(np.ones(6), config, seed=0)
    candidates, costs = strategy.ask(), np.array([3.0, 1, 4, 0, 5, 2, 6])
    strategy.tell(candidates, costs.tolist())
    turned = strategy_from(np.ones(6), config, seed=0)
    turned.tell(turned.ask(), (-costs).tolist())
    np.testing.assert_allclose(shift(candidates, costs), (strategy.mean - turned.mean) / 2)  # it was at 0 before
    np.testing.assert_allclose(shift(candidates, -costs), -shift(candidates, costs))


def test_the_mean_goes_less_far_in_later_rounds_where_sigma_is_not_adapted(tmp_path: Path):
    mind = Corridor(16)

    def evolve(name: str, generations: int, rate: float, previous: Stage | None = None, final_sigma: float = 0.3) -> Search:
        config = CMAESConfig(generations, 8, 2, steps=10, sigma=0.3, mean_rate=0.5, final_sigma=final_sigma, budget=10_000)
        stage, controller = Stage(tmp_path / name), Linear(2, 0, 1)

        def drive(candidates: torch.Tensor, seeds: list[int]) -> Rollouts:
            return fitness_in(mind, controller, candidates, seeds, config)

        train_cmaes(stage, controller, drive, config, 0, previous, rate=rate)
        return Search(stage.load() or {}, config, 0, rate)

    first, begun = evolve("first", 4, 1.0), Stage(tmp_path / "first")
    evolve("slow", 1, 0.1, begun)  # broken off
    whole, slow = evolve("whole", 3, 1.0, begun), evolve("slow", 3, 0.1, begun)
    assert slow.rates == pytest.approx([0.5] * 4 + [0.05] * 3)
    np.testing.assert_array_equal(slow.means[3], first.means[3])
    np.testing.assert_allclose(slow.means[4] - slow.means[3], 0.1 * (whole.means[4] - whole.means[3]))
    adapted, other = (evolve(f"adapted {rate}", 4, rate, final_sigma=0).means[-1] for rate in (1.0, 0.1))
    np.testing.assert_array_equal(adapted, other)


def test_chance_carries_a_two_sided_search_less_far_from_the_best_place(tmp_path: Path):
    """It begins there, in a bowl of 60 coordinates whose depth is lost in noise."""

    def evolve(name: str, two_sided: bool) -> float:
        chance, controller = np.random.default_rng(0), Linear(60, 0, 1, bias=False)
        config = CMAESConfig(generations=200, population=8, rollouts=1, sigma=2.4, budget=1600, final_sigma=2.0, mean_rate=0.3)

        def drive(candidates: torch.Tensor, seeds: list[int]) -> Rollouts:
            earned = -candidates.square().sum(1, keepdim=True).double().numpy()
            return Rollouts(earned + 20 * chance.normal(size=earned.shape), len(candidates))

        stage = Stage(tmp_path / name)
        train_cmaes(stage, controller, drive, replace(config, generations=1), seed=0)
        begun = {key: value for key, value in (stage.load() or {}).items() if key != "update"}
        stage.save(1, begun if two_sided else {key: value for key, value in begun.items() if key != "two_sided"})
        train_cmaes(stage, controller, drive, config, seed=0)  # what an older version began goes on as it began
        return float(parameters_to_vector(controller.parameters()).square().sum())

    assert evolve("new", True) < 0.8 * evolve("old", False)


def test_an_evolution_stops_at_its_target(tmp_path: Path):
    mind, controller = Corridor(8), Linear(2, 0, 1)
    config = CMAESConfig(generations=50, population=4, rollouts=2, steps=10, target=0.1)
    train_cmaes(Stage(tmp_path), controller, lambda c, s: fitness_in(mind, controller, c, s, config), config, seed=0)
    assert len(Stage(tmp_path).metrics()) == 1


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


def test_an_evolution_that_an_older_version_began_goes_on_as_it_began(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """All coordinates had the same first spread then, and no checkpoint kept it."""
    mind = Corridor(16)

    def evolve(name: str, generations: int) -> torch.Tensor:
        controller, config = (
            Linear(2, 0, 1),
            CMAESConfig(generations=generations, population=8, rollouts=2, steps=10, sigma=0.3),
        )
        train_cmaes(Stage(tmp_path / name), controller, lambda c, s: fitness_in(mind, controller, c, s, config), config, 0)
        return parameters_to_vector(controller.parameters())

    with monkeypatch.context() as older:
        older.setattr("dreamlap.learn.cmaes.first_spread", lambda controller, config: np.ones(3))
        whole = evolve("whole", 9)
        evolve("old", 5)
    stage = Stage(tmp_path / "old")
    kept = stage.load() or {}
    del kept["spread"]
    stage.save(5, {name: value for name, value in kept.items() if name != "update"})
    assert torch.equal(evolve("old", 9), whole)
    assert not torch.equal(evolve("new", 9), whole)


@pytest.mark.parametrize(
    ("candidates", "rollouts", "together"), [(4, 1, 2), (4, 2, 2), (4, 4, 2), (16, 2, 4), (32, 2, 8), (64, 2, 12), (3, 48, 1)]
)
def test_a_small_generation_is_not_cut_so_finely_that_v_sees_frames_one_by_one(candidates: int, rollouts: int, together: int):
    assert candidates_in_a_lot(candidates, rollouts) == together


def test_a_critic_learns_what_comes_after_the_end_of_a_dream():
    critic = Critic(2, gamma=0.5, seed=0, device=torch.device("cpu"))
    seen, on = torch.ones(10, 64, 2), torch.ones(10, 64, dtype=torch.bool)
    ended = torch.zeros_like(on)
    ended[9] = True
    for _ in range(60):
        after = torch.where(ended, critic.value(seen), 0.0)
        critic.learn(Trace(seen, torch.ones(10, 64), on, ended, after))
    assert critic.value(torch.ones(2)).item() == pytest.approx(2.0, abs=0.1)  # 1 + 0.5 + 0.25 + ...


def test_what_the_critic_expects_counts_where_a_rollout_is_cut_off_and_not_where_it_ends(monkeypatch: pytest.MonkeyPatch):
    mind, like = Corridor(6), Linear(2, 0, 1)
    config = CMAESConfig(population=3, rollouts=2, steps=10, gamma=0.9)
    critic = Critic(2, 0.9, 0, torch.device("cpu"))
    monkeypatch.setattr(critic, "value", lambda observation: torch.full(observation.shape[:-1], 7.0))

    def earned(**other: Any) -> tuple[list[float], Trace]:
        tracer = Tracer(critic, 3)
        found = fitness_in(mind, like, torch.zeros(3, 3), [1, 2], replace(config, **other), tracer)
        return found.earned.flatten().tolist(), tracer.trace

    rewards = 0.5 * sum(0.9**t for t in range(10))
    returns, trace = earned()
    assert returns == pytest.approx([rewards + 0.9**10 * 7] * 6)
    assert trace.seen.shape == (10, 3, 2)
    assert trace.on.all()
    assert trace.ended.tolist() == [[False] * 3] * 9 + [[True] * 3]
    assert trace.after.tolist() == [[0.0] * 3] * 9 + [[7.0] * 3]
    monkeypatch.setattr(mind, "step", lambda action: Corridor.step(mind, action)._replace(reward=-torch.ones(len(action))))
    returns, trace = earned(patience=4)  # nothing earned: it ends, and nothing comes after
    assert returns == pytest.approx([-sum(0.9**t for t in range(4))] * 6)
    assert trace.after.abs().sum() == 0


def test_an_evolution_with_a_critic_resumes_to_the_same(agent: Agent, tmp_path: Path):
    config = CMAESConfig(population=4, rollouts=2, steps=6, gamma=0.9, final_tracks=1)

    def evolve(name: str, generations: int) -> torch.Tensor:
        driver = build_agent(replace(agent.config, controller=ControllerConfig("linear")))
        driver.memory.load_state_dict(agent.memory.state_dict())
        driver.starts = agent.starts
        critic = Critic(linear_of(driver).inputs, config.gamma, 0, torch.device("cpu"))
        fitness = dream_fitness(driver, DreamConfig(), config, FULL, critic)
        train_cmaes(
            Stage(tmp_path / name), linear_of(driver), fitness, replace(config, generations=generations), 0, critic=critic
        )
        assert critic.lessons == generations
        return parameters_to_vector(driver.controller.parameters())

    whole = evolve("whole", 5)
    evolve("broken", 3)
    assert torch.equal(evolve("broken", 5), whole)
