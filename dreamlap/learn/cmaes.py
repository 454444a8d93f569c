"""How a linear controller is trained: covariance matrix adaptation on its weights, in whatever mind it is given.

Hansen, *The CMA Evolution Strategy: A Tutorial* (2016), by its author's `cma`; Ha & Schmidhuber (2018), section "Evolution
Strategies". All candidates of a generation drive the same tracks, or dream the same chances, so that what is compared is
the candidates.

Letters: P population, R rollouts a candidate, D weights.
"""

from collections.abc import Callable
from dataclasses import replace

import cma
import numpy as np
import torch
from torch import Tensor
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from dreamlap.agent import Agent
from dreamlap.config.training import CMAESConfig
from dreamlap.control.linear import Linear, Population
from dreamlap.errors import Refused
from dreamlap.learn.loop import shards
from dreamlap.mind import Awake, Dream, DreamConfig, Mind
from dreamlap.parallel import in_parallel, side_by_side
from dreamlap.progress import meter
from dreamlap.run import Stage
from dreamlap.seeds import SELECTION_SEEDS, derive, numpy_generator, training_track

SHARDS = 4
"""Into how many shards the candidates of a generation are cut, to dream side by side."""


Fitness = Callable[[Tensor, list[int]], np.ndarray]
"""Candidates (P, D) and the seeds of the rollouts (R,) -> mean objective of each candidate (P,)."""


def dream_fitness(agent: Agent, dream: DreamConfig, config: CMAESConfig) -> Fitness:
    """All rollouts of the candidates side by side in dreams, in shards of some candidates each."""
    shares = torch.arange(config.population).chunk(shards(SHARDS, agent.state.device))
    minds = [Dream(agent, len(share) * config.rollouts, replace(dream, horizon=config.steps)) for share in shares]

    def fitness(candidates: Tensor, seeds: list[int]) -> np.ndarray:
        def dreamed(shard: int) -> np.ndarray:
            return fitness_in(minds[shard], linear_of(agent), candidates[shares[shard]], seeds, config)

        return np.concatenate(list(side_by_side(dreamed, range(len(minds)))))

    return fitness


def awake_fitness(agent: Agent, config: CMAESConfig, workers: int) -> Fitness:
    """Candidates drive the track in `workers` processes, each with its rollouts side by side."""

    def fitness(candidates: Tensor, seeds: list[int]) -> np.ndarray:
        def drive(candidate: Tensor) -> np.ndarray:
            mind = Awake(agent, len(seeds), config.steps)
            return fitness_in(mind, linear_of(agent), candidate[None], [seed % SELECTION_SEEDS for seed in seeds], config)

        return np.concatenate(list(in_parallel(drive, candidates, workers)))

    return fitness


def linear_of(agent: Agent) -> Linear:
    """The agent's C, if it is one that CMA-ES can train."""
    if not isinstance(agent.controller, Linear):
        raise Refused("CMA-ES trains a linear C: use --controller.kind linear")
    return agent.controller


def train_cmaes(
    stage: Stage,
    controller: Linear,
    fitness: Fitness,
    config: CMAESConfig,
    seed: int,
    previous: Stage | None = None,
    test: Fitness | None = None,
    show: Callable[[Tensor, int], None] | None = None,
    seen: Tensor | None = None,
) -> None:
    """Evolve `controller` in place. `test` measures the mean of all candidates on the real track; it steers nothing. `show` is
    given the best candidate (D,) of every generation and its number. `seen` (N, Z + H) is what C may see: `config.directions`
    are its principal ones.

    The state of CMA-ES is its history: to resume, the generations that were already measured are told again, which asks
    the same candidates of the same seed. So a checkpoint is a list of numbers, and nothing has to be unpickled. For the same
    reason a stage goes on with the evolution of the `previous` one, covariance and all, if it is given the same seed.
    """
    before = previous.load() if previous else None
    saved = stage.load() or before
    if saved is None:
        start = parameters_to_vector(controller.parameters()).detach()
        saved = {"start": start, "basis": search_basis(controller, seen, config.directions), "fitness": []}
    start, basis, told, first = saved["start"], saved["basis"], list(saved["fitness"]), len(before["fitness"]) if before else 0
    strategy = _strategy(np.zeros(len(basis)), config, seed)

    def weights_at(places: list[np.ndarray]) -> Tensor:  # (P, K) coordinates -> (P, D)
        return start + torch.from_numpy(np.array(places)).float() @ basis

    for measured in told:
        strategy.tell(strategy.ask(), (-measured).tolist())
    done = len(told) - first
    stage.forget_after(done)
    with meter("C evolves", config.generations, done) as bar, stage.logger(done) as log:
        for generation in range(len(told), first + config.generations):
            if config.target is not None and told and told[-1].max() >= config.target:
                break
            candidates = strategy.ask()
            weights = weights_at(candidates)
            seeds = [derive(seed, "rollout", generation, r) % 2**31 for r in range(config.rollouts)]
            measured = torch.from_numpy(fitness(weights, seeds))
            if not measured.isfinite().all():
                raise FloatingPointError(
                    f"a candidate of generation {generation} in {stage.folder} earned what is no number; those before are "
                    "kept. V, M or the dream is broken: look at the report"
                )
            strategy.tell(candidates, (-measured).tolist())
            told.append(measured)
            stage.save(len(told) - first, {"start": start, "basis": basis, "fitness": told})
            best, mean = measured.max().item(), measured.mean().item()
            real = _test(test, weights_at([strategy.mean])[0], config, seed, len(told))
            log(len(told) - first, {"best": best, "mean": mean, "sigma": float(strategy.sigma), **real})
            bar.advance(note=f"best {best:.1f}  mean {mean:.1f}")
            if show:
                show(weights[measured.argmax()], len(told))
    vector_to_parameters(weights_at([strategy.mean])[0], controller.parameters())
    stage.save(len(told) - first, {"start": start, "basis": basis, "fitness": told, "controller": controller.state_dict()})


def search_basis(controller: Linear, seen: Tensor | None, directions: int) -> Tensor:
    """What the coordinates of the search stand for: (K, D), orthonormal rows in the space of the D weights but for the biases.

    Along all weights it is the identity. Along the first principal directions of `seen` (N, I), centred, each action has a
    coordinate for each of them and one for its bias.

    Raises:
        ValueError: more directions than there are inputs.
    """
    if not directions:
        return torch.eye(sum(part.numel() for part in controller.parameters()))
    if seen is None or directions > controller.inputs:
        raise Refused(f"C sees {controller.inputs} numbers: --cmaes.directions can be at most that, not {directions}")
    seen = seen[:, : controller.inputs].detach().float().cpu()
    along = torch.linalg.eigh(torch.cov(seen.T)).eigenvectors.flip(1)[:, :directions].T  # (K, I), the widest first
    actions = torch.eye(controller.layer.out_features)
    weights = torch.kron(actions, along)  # (A K, A I)
    if controller.layer.bias is None:
        return weights
    shift = torch.kron(actions, -(along @ seen.mean(0))[:, None])  # what a bias must give back for seen to be centred
    free = torch.cat([torch.zeros(len(actions), weights.shape[1]), actions], 1)
    return torch.cat([torch.cat([weights, shift], 1), free])


def _test(test: Fitness | None, mean: Tensor, config: CMAESConfig, seed: int, generation: int) -> dict[str, float]:
    if test is None or not config.test_every or generation % config.test_every:
        return {}
    seeds = [training_track("test", generation, i, seed=seed) for i in range(config.tests)]
    return {"real": float(test(mean[None], seeds)[0])}


def _strategy(start: np.ndarray, config: CMAESConfig, seed: int) -> cma.CMAEvolutionStrategy:
    chance = numpy_generator(seed, "cmaes")
    return cma.CMAEvolutionStrategy(
        start,
        config.sigma,
        {
            "popsize": config.population,
            "CMA_diagonal": config.diagonal,
            "randn": lambda rows, columns: chance.standard_normal((rows, columns)),
            "seed": np.nan,  # leave numpy's global generator alone
            "verbose": -9,
        },
    )


@torch.no_grad()
def fitness_in(mind: Mind, like: Linear, candidates: Tensor, seeds: list[int], config: CMAESConfig) -> np.ndarray:
    """The mean objective of candidates (P, D) over the rollouts `seeds` (R,), all P R of them side by side in `mind` -> (P,).

    A rollout counts until its first end; C pays `off_road_price` for leaving the road.
    """
    population = Population(like, candidates.to(mind.device))
    observation = mind.reset(seeds * len(candidates))
    total = torch.zeros(mind.num_envs, device=mind.device)
    alive = torch.ones(mind.num_envs, dtype=torch.bool, device=mind.device)
    for _ in range(config.steps):
        step = mind.step(population.act(observation))
        total += torch.where(alive, step.reward - config.off_road_price * step.off_road, 0.0)
        alive &= ~(step.terminated | step.truncated)
        observation = step.observation
        if not alive.any():
            break
    return total.unflatten(0, (len(candidates), -1)).mean(1).double().cpu().numpy()
