"""How a linear controller is trained: covariance matrix adaptation on its weights, in whatever mind it is given.

Hansen, *The CMA Evolution Strategy: A Tutorial* (2016), by its author's `cma`; Ha & Schmidhuber (2018), section "Evolution
Strategies". All candidates of a generation drive the same tracks, or dream the same chances, so that what is compared is
the candidates.

A weight matters as much as the input that it belongs to varies. So the search runs in coordinates that are divided by the
spread of what C sees along them: a step of the same length then changes the actions by as much, whichever way it goes.

Of noisy rollouts the worst candidates tell as much as the best. So where sigma is not adapted, the mean of the search moves
away from the ones as it moves towards the others: Arnold, *Optimal weighted recombination* (2005). Where it
is adapted, CMA-ES concludes from the way that the mean goes, and expects its own.

Letters: P population, R rollouts a candidate, K coordinates, D weights, I inputs of C, A actions.
"""

import math
from collections.abc import Callable
from typing import Any

import cma
import numpy as np
import torch
from torch import Tensor
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from dreamlap.config.training import CMAESConfig
from dreamlap.control.linear import Linear
from dreamlap.errors import Refused
from dreamlap.learn.critic import Critic
from dreamlap.learn.rollouts import Fitness
from dreamlap.progress import meter
from dreamlap.run import Stage
from dreamlap.seeds import numpy_generator, training_track

NOISE = 0.8
"""Share of chance in the variance among the candidates' means above which a candidate needs more rollouts; a third more.
Below it another generation tells more than the same candidates once more."""
SMOOTH = 0.9
"""How much of the last generations' share is kept: one alone is itself a matter of chance."""
LATEST = 3
"""The search means of the latest of so many parts of all generations are averaged. Noise moves each, and their average less."""


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
    critic: Critic | None = None,
) -> int:
    """Evolve `controller` in place -> how many steps the candidates' rollouts took.

    It becomes the search mean of the last generation. If `test`, the real environment, is there, it becomes what drives best in
    it: that, the last generation's best candidate, or the average of the latest third of all search means.

    `critic` is the one that `fitness` asks: the checkpoint keeps it.

    `show` is given the best candidate (D,) of every generation and its number. `seen` (N, Z + H) is what C may see: see
    `search_basis`.

    The state of CMA-ES is its history: to resume, the generations that were already measured are told again, which asks
    the same candidates of the same seed. So a checkpoint is a list of numbers, and nothing has to be unpickled. For the same
    reason a stage goes on with the evolution of the `previous` one, covariance and all, if it is given the same seed.
    """
    before = previous.load() if previous else None
    saved = stage.load() or before
    if saved is None:
        start = parameters_to_vector(controller.parameters()).detach().cpu()
        spread = torch.from_numpy(first_spread(controller, config))
        basis = search_basis(controller, seen, config.directions)
        saved = {"start": start, "basis": basis, "spread": spread, "fitness": [], "two_sided": config.final_sigma > 0}
    start, basis, told, first = saved["start"], saved["basis"], list(saved["fitness"]), len(before["fitness"]) if before else 0
    steps = saved.get("steps", 0) if first < len(told) else 0  # those of this stage
    rollouts, noise = saved.get("effort", (min(config.first_rollouts or config.rollouts, config.rollouts), 0.0))
    spread = saved.get("spread", torch.ones(len(basis)))  # what a version measured that kept none
    sigmas, two_sided = list(saved.get("sigmas", [])), bool(saved.get("two_sided"))
    if critic and "critic" in saved:
        critic.load_state_dict(saved["critic"])
    kept = {"start": start, "basis": basis, "spread": spread, "fitness": told, "sigmas": sigmas, "two_sided": two_sided}
    strategy, means = strategy_from(spread.numpy(), config, seed), list[np.ndarray]()

    def state() -> dict[str, Any]:
        learned = {"critic": critic.state_dict()} if critic else {}
        return kept | {"effort": (rollouts, noise), "steps": steps} | learned

    def weights_at(places: list[np.ndarray]) -> Tensor:  # (P, K) coordinates -> (P, D)
        return start + torch.from_numpy(np.array(places)).float() @ basis

    def tell(candidates: list[np.ndarray], measured: Tensor) -> None:
        size = torch.from_numpy(np.square(candidates).sum(1))
        costs, before = (config.weight_decay * size - measured).numpy(), strategy.mean.copy()
        strategy.tell(candidates, costs.tolist())
        if two_sided:  # an evolution that an older version began goes on as it began
            strategy.mean = before + config.mean_rate * shift(candidates, costs)
        means.append(strategy.mean.copy())

    best_weights = start
    for generation, measured in enumerate(told):
        if config.final_sigma:
            strategy.sigma = sigmas[generation]
        candidates = strategy.ask()
        tell(candidates, measured)
        best_weights = weights_at([candidates[measured.argmax()]])[0]
    done = len(told) - first
    stage.forget_after(done)
    by_steps = config.budget and not before  # a stage that goes on with an evolution is over after its generations
    total, gone = (config.budget, steps) if by_steps else (config.generations, done)
    with meter("C evolves", total, gone) as bar, stage.logger(done) as log:
        for generation in range(len(told), first + config.generations):
            if config.target is not None and told and told[-1].max() >= config.target:
                break
            if config.budget and steps >= config.budget:
                break
            if config.final_sigma:
                strategy.sigma = config.final_sigma if before else sigma_after(steps, config)
            sigmas.append(float(strategy.sigma))
            candidates = strategy.ask()
            weights = weights_at(candidates)
            seeds = [training_track("rollout", generation, r, seed=seed) for r in range(rollouts)]
            returns, taken = fitness(weights, seeds)
            steps += taken
            measured = torch.from_numpy(returns.mean(1))
            if not measured.isfinite().all():
                raise FloatingPointError(
                    f"a candidate of generation {generation} in {stage.folder} earned what is no number; those before are "
                    "kept. V, M or the dream is broken: look at the report"
                )
            tell(candidates, measured)
            told.append(measured)
            best_weights = weights[measured.argmax()]
            noise = SMOOTH * noise + (1 - SMOOTH) * noise_share(returns)
            if noise > NOISE and rollouts < config.rollouts:
                more = min(config.rollouts, rollouts + -(-rollouts // 3))
                rollouts, noise = more, noise * rollouts / more
            stage.save(len(told) - first, state())
            best, mean = measured.max().item(), measured.mean().item()
            real = _test(test, weights_at([strategy.mean])[0], config, seed, len(told))
            figures = {"best": best, "mean": mean, "sigma": sigmas[-1], "noise": noise, "rollouts": len(seeds), "steps": steps}
            log(len(told) - first, figures | real)
            bar.advance(taken if by_steps else 1, f"generation {len(told)}: best {best:.1f}  mean {mean:.1f}")
            if show:
                show(best_weights, len(told))
    latest = np.mean(means[len(means) * (LATEST - 1) // LATEST :] or [strategy.mean], axis=0)
    finalists = torch.cat([weights_at([strategy.mean, latest]), best_weights[None]])
    tracks = [training_track("finalists", len(told), i, seed=seed) for i in range(config.final_tracks)]
    chosen = int(test(finalists, tracks).earned.mean(1).argmax()) if test else 0
    vector_to_parameters(finalists[chosen].to(controller.layer.weight.device), controller.parameters())
    stage.save(len(told) - first, state() | {"controller": controller.state_dict()})
    return steps


def shift(candidates: list[np.ndarray], costs: np.ndarray) -> np.ndarray:
    """How far the mean of the search moves, (K,): half of the way from the mean of the worse half of the candidates to that of
    the better half, both weighted as in CMA-ES (Hansen 2016, eq. 49). So it moves as far as towards the better half alone, but
    by chance only 0.7 times as far."""
    ranked, half = np.array(candidates)[np.argsort(costs, kind="stable")], len(candidates) // 2
    weights = math.log((len(candidates) + 1) / 2) - np.log(np.arange(1, half + 1))
    return weights / weights.sum() @ (ranked[:half] - ranked[::-1][:half]) / 2


def sigma_after(steps: int, config: CMAESConfig) -> float:
    """Where `sigma` is on its way to `final_sigma` after so many steps of the budget: its logarithm falls on a line."""
    return config.sigma * (config.final_sigma / config.sigma) ** min(1.0, steps / config.budget)


def search_basis(controller: Linear, seen: Tensor | None, directions: int) -> Tensor:
    """What the coordinates of the search stand for: (K, D), in the space of the D weights.

    Each action has a coordinate for every input of C, or for each of the first principal directions of `seen` (N, I), and one
    for its bias. A step of length 1 along any of them moves the action (before it is squashed) by 1 on average over `seen`.
    Without `seen`, the coordinates are the weights.

    Raises:
        Refused: more directions than there are inputs.
    """
    inputs, actions = controller.inputs, torch.eye(controller.layer.out_features)
    if directions and (seen is None or directions > inputs):
        raise Refused(f"C sees {inputs} numbers: --cmaes.directions can be at most that, not {directions}")
    along, centre = torch.eye(inputs), torch.zeros(inputs)
    if seen is not None:
        seen = seen[:, :inputs].detach().cpu().double()
        covariance, centre = torch.cov(seen.T), seen.mean(0).float()
        spread, along = torch.linalg.eigh(covariance) if directions else (covariance.diagonal(), along.double())
        order = slice(inputs - directions, inputs) if directions else slice(None)  # eigh's are in ascending order
        spread = spread[order].clamp(min=1e-8 * float(spread.max())).sqrt().float()
        along = (along[:, order].float() / spread).T.contiguous()
    weights = torch.kron(actions, along)  # (A K, A I)
    if controller.layer.bias is None:
        return weights
    shift = torch.kron(actions, -(along @ centre)[:, None])  # what a bias must give back for seen to be centred
    free = torch.cat([torch.zeros(len(actions), weights.shape[1]), actions], 1)
    return torch.cat([torch.cat([weights, shift], 1), free])


def _test(test: Fitness | None, mean: Tensor, config: CMAESConfig, seed: int, generation: int) -> dict[str, float]:
    if test is None or not config.test_every or generation % config.test_every:
        return {}
    seeds = [training_track("test", generation, i, seed=seed) for i in range(config.tests)]
    return {"real": float(test(mean[None], seeds).earned.mean())}


def noise_share(returns: np.ndarray) -> float:
    """How much of the variance among the candidates' means is chance: 0 none, 1 all of it. `returns`: (P, R).

    Chance is what is left of a return when what its candidate and its track do to all others is taken off (an analysis of
    variance of two ways, without repetition). With one rollout it cannot be told, and is taken for all of it.
    """
    candidates, rollouts = returns.shape
    means = returns.mean(1, keepdims=True)
    if rollouts == 1 or not (spread := float(means.var(ddof=1))):
        return float(rollouts == 1)
    left = returns - means - returns.mean(0) + returns.mean()
    return min(1.0, float((left**2).sum()) / ((candidates - 1) * (rollouts - 1) * rollouts) / spread)


def first_spread(controller: Linear, config: CMAESConfig) -> np.ndarray:
    """The standard deviation of each coordinate in the first generation, (K,), as a share of `config.sigma`.

    Along all weights, z, h and the bias have an equal share in an action before tanh. h has eight times as many numbers as z,
    and tells no more.
    """
    actions = controller.layer.out_features
    biases = np.ones(actions if controller.layer.bias is not None else 0)
    if config.directions:
        return np.concatenate([np.ones(actions * config.directions), biases])
    parts = np.array([controller.latent, controller.inputs - controller.latent])
    return np.concatenate([np.tile(np.repeat(1 / np.sqrt(np.maximum(parts, 1)), parts), actions), biases])


def strategy_from(spread: np.ndarray, config: CMAESConfig, seed: int) -> cma.CMAEvolutionStrategy:
    """The evolution before its first generation: all coordinates are 0, with this spread (K,), and all chance is the seed's."""
    chance = numpy_generator(seed, "cmaes")
    return cma.CMAEvolutionStrategy(
        np.zeros(len(spread)),
        config.sigma,
        {
            "popsize": config.population,
            "CMA_stds": spread,
            "CMA_diagonal": config.diagonal,
            "CMA_cmean": config.mean_rate,
            "AdaptSigma": not config.final_sigma,
            "randn": lambda rows, columns: chance.standard_normal((rows, columns)),
            "seed": np.nan,  # leave numpy's global generator alone
            "verbose": -9,
        },
    )
