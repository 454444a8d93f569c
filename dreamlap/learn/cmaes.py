"""How a linear controller is trained: covariance matrix adaptation on its weights, in whatever mind it is given.

Hansen, *The CMA Evolution Strategy: A Tutorial* (2016), by its author's `cma`; Ha & Schmidhuber (2018), section "Evolution
Strategies". All candidates of a generation drive the same tracks, or dream the same chances, so that what is compared is
the candidates.

A weight matters as much as the input that it belongs to varies. So the search runs in coordinates that are divided by the
spread of what C sees along them: a step of the same length then changes the actions by as much, whichever way it goes.

Of noisy rollouts the worst candidates tell as much as the best. So where sigma is not adapted, the mean of the search moves
away from the ones as it moves towards the others: Arnold, *Optimal weighted recombination* (2005). Where it is adapted, CMA-ES
concludes from the way that the mean goes, and expects its own.

Letters: P population, R rollouts a candidate, K coordinates, D weights, I inputs of C, A actions.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

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
    rate: float = 1.0,
    moved: Callable[[Tensor], Tensor] | None = None,
) -> int:
    """Evolve `controller` in place -> how many steps the candidates' rollouts took.

    It becomes the search mean of the last generation. If `test`, the real environment, is there, it becomes what drives best in
    it: that, the last generation's best candidate, or the average of the latest third of all search means.

    `critic` is the one that `fitness` asks: the checkpoint keeps it. `rate` is the share of `mean_rate` that is left, where
    sigma is not adapted.

    `show` is given the best candidate (D,) of every generation and its number. `seen` (N, Z + H) is what C may see: see
    `search_basis`.

    A stage goes on with the evolution of the `previous` one, covariance and all, if it is given the same seed. `moved` says
    what weights (..., D) of then are now, if C sees other things now.
    """
    before, own = previous.load() if previous else None, stage.load()
    saved = own or before or Search.fresh(controller, config, seen)
    with (previous or stage).restoring():
        first = len(before["fitness"]) if before else 0
        if before and not own and moved:
            saved |= {part: moved(before[part]) for part in ("start", "basis")}
    with (stage if own or not previous else previous).restoring():
        search = Search(saved, config, seed, rate)
        done = len(search.told) - first
        steps = saved.get("steps", 0) if done else 0  # those of this stage
        effort = Effort(*saved.get("effort", (min(config.first_rollouts or config.rollouts, config.rollouts), 0.0)))
        if critic and "critic" in saved:
            critic.load_state_dict(saved["critic"])

    def state() -> dict[str, Any]:
        learned = {"critic": critic.state_dict()} if critic else {}
        return search.state | {"effort": tuple(effort), "steps": steps} | learned

    stage.forget_after(done)
    by_steps = config.budget and not before  # a stage that goes on with an evolution is over after its generations
    total, gone = (config.budget, steps) if by_steps else (config.generations, done)
    with meter("C evolves", total, gone) as bar, stage.logger(done) as log:
        for generation in range(len(search.told), first + config.generations):
            if config.target is not None and search.told and search.told[-1].max() >= config.target:
                break
            if config.budget and steps >= config.budget:
                break
            falls = config.final_sigma and not before
            candidates = search.ask(sigma_after(steps, config) if falls else config.final_sigma)
            seeds = [training_track("rollout", generation, r, seed=seed) for r in range(effort.rollouts)]
            returns, taken = fitness(search.weights(candidates), seeds)
            steps += taken
            measured = torch.from_numpy(returns.mean(1))
            if not measured.isfinite().all():
                raise FloatingPointError(
                    f"a candidate of generation {generation} in {stage.folder} earned what is no number; those before are "
                    "kept. V, M or the dream is broken: look at the report"
                )
            search.tell(candidates, measured)
            effort = effort.after(returns, config.rollouts)
            stage.save(len(search.told) - first, state())
            best, mean = measured.max().item(), measured.mean().item()
            real = _test(test, search.weights([search.strategy.mean])[0], config, seed, len(search.told))
            figures = {"best": best, "mean": mean, "sigma": search.sigmas[-1], "noise": effort.noise}
            log(len(search.told) - first, figures | {"rollouts": len(seeds), "steps": steps} | real)
            bar.advance(taken if by_steps else 1, f"generation {len(search.told)}: best {best:.1f}  mean {mean:.1f}")
            if show:
                show(search.best, len(search.told))
    finalists = search.finalists
    tracks = [training_track("finalists", len(search.told), i, seed=seed) for i in range(config.final_tracks)]
    chosen = int(test(finalists, tracks).earned.mean(1).argmax()) if test else 0
    vector_to_parameters(finalists[chosen].to(controller.layer.weight.device), controller.parameters())
    stage.save(len(search.told) - first, state() | {"controller": controller.state_dict()})
    return steps


class Search:
    """An evolution, in the coordinates of `search_basis`.

    The state of CMA-ES is its history: to go on, the generations that were already measured are told again, which asks the same
    candidates of the same seed. So what is kept is a list of numbers, and nothing has to be unpickled.
    """

    def __init__(self, saved: Mapping[str, Any], config: CMAESConfig, seed: int, rate: float = 1.0):
        """`saved`: what `state` gave, or `fresh`; an evolution that an older version began goes on as it began. `rate`: what is
        left of `mean_rate` from now on, if it is two-sided."""
        self.config, self.start, self.basis = config, saved["start"], saved["basis"]
        self.spread = saved.get("spread", torch.ones(len(self.basis)))
        self.two_sided = bool(saved.get("two_sided"))
        self.strategy = strategy_from(self.spread.numpy(), config, seed)
        self.told, self.means, self.best = list[Tensor](), list[np.ndarray](), self.start
        self.sigmas = list(saved.get("sigmas", []))
        self.rates, self.rate = list(saved.get("rates", [config.mean_rate] * len(saved["fitness"]))), config.mean_rate * rate
        for generation, measured in enumerate(saved["fitness"]):
            if config.final_sigma:
                self.strategy.sigma = self.sigmas[generation]
            self.tell(self.strategy.ask(), measured)

    @staticmethod
    def fresh(controller: Linear, config: CMAESConfig, seen: Tensor | None) -> dict[str, Any]:
        """The state before the first generation: `controller` and the coordinates around it."""
        start = parameters_to_vector(controller.parameters()).detach().cpu()
        spread = torch.from_numpy(first_spread(controller, config))
        basis = search_basis(controller, seen, config.directions)
        return {"start": start, "basis": basis, "spread": spread, "fitness": [], "two_sided": config.final_sigma > 0}

    @property
    def state(self) -> dict[str, Any]:
        """All that a checkpoint keeps."""
        kept = {"start": self.start, "basis": self.basis, "spread": self.spread, "two_sided": self.two_sided}
        return kept | {"fitness": list(self.told), "sigmas": list(self.sigmas), "rates": list(self.rates)}

    def ask(self, sigma: float) -> list[np.ndarray]:
        """The candidates of the next generation, P times (K,), with this sigma; 0: with the one that CMA-ES adapts."""
        if sigma:
            self.strategy.sigma = sigma
        self.sigmas.append(float(self.strategy.sigma))
        self.rates.append(self.rate)
        return self.strategy.ask()

    def tell(self, candidates: list[np.ndarray], measured: Tensor) -> None:
        """What each candidate of the generation earned, (P,)."""
        size, before = torch.from_numpy(np.square(candidates).sum(1)), self.strategy.mean.copy()
        costs = (self.config.weight_decay * size - measured).numpy()
        self.strategy.tell(candidates, costs.tolist())
        if self.two_sided:
            self.strategy.mean = before + self.rates[len(self.told)] * shift(candidates, costs)
        self.told.append(measured)
        self.means.append(self.strategy.mean.copy())
        self.best = self.weights([candidates[measured.argmax()]])[0]

    def weights(self, places: list[np.ndarray]) -> Tensor:
        """The weights of controllers, (P, D), whose coordinates are P times (K,)."""
        return self.start + torch.from_numpy(np.array(places)).float() @ self.basis

    @property
    def finalists(self) -> Tensor:
        """What C may become, (3, D): the mean of the search, the average of its latest means, the last best candidate."""
        latest = np.mean(self.means[len(self.means) * (LATEST - 1) // LATEST :] or [self.strategy.mean], axis=0)
        return torch.cat([self.weights([self.strategy.mean, latest]), self.best[None]])


class Effort(NamedTuple):
    """How many rollouts each candidate has, and why."""

    rollouts: int
    noise: float
    """Share of chance in the variance among the candidates' means, over the latest generations."""

    def after(self, returns: np.ndarray, most: int) -> "Effort":
        """After a generation that returned (P, R): a third more rollouts, up to `most`, where chance decides."""
        rollouts, noise = self.rollouts, SMOOTH * self.noise + (1 - SMOOTH) * noise_share(returns)
        if noise <= NOISE or rollouts >= most:
            return Effort(rollouts, noise)
        more = min(most, rollouts + -(-rollouts // 3))
        return Effort(more, noise * rollouts / more)


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
