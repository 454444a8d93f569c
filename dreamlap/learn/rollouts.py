"""What linear controllers are worth: many of them drive side by side, in the real environment or in M's dream.

Letters: P population, R rollouts a candidate, D weights.
"""

import copy
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from dreamlap.agent import Agent, bringing
from dreamlap.config.training import CMAESConfig
from dreamlap.control.linear import Linear, Population, act
from dreamlap.device import Autocast
from dreamlap.errors import Refused
from dreamlap.learn.critic import Critic, Tracer, joined
from dreamlap.learn.loop import shards
from dreamlap.mind import Awake, Dream, DreamConfig, Mind
from dreamlap.mind.interface import Step
from dreamlap.parallel import in_parallel, side_by_side
from dreamlap.recorded import Recorded


class Rollouts(NamedTuple):
    """What candidates did."""

    earned: np.ndarray
    """The objective of each candidate in each rollout, (P, R) float64."""
    steps: int
    """Of all rollouts together: of the track, or of dreams."""


Fitness = Callable[[Tensor, list[int]], Rollouts]
"""Candidates (P, D) and the seeds of the rollouts (R,) -> what they did."""

SHARDS = 2
"""Into how many shards the candidates of a generation are cut, to dream side by side: small ones keep no core busy."""
TRACED = 256
"""Rollouts of a generation that a critic learns from."""
STRETCH = 20
"""Steps that a GPU makes all candidates dream before it is asked whether any of them still earns."""
LOT, WORTH_A_LOT = 24, 8
"""Real environments side by side in a process, at most and at least: V takes nearly as long for one frame as for eight."""
LOTS = (2, 4)
"""Into how many lots few rollouts are cut. It does not depend on the number of processes, which must not change a result."""


def linear_of(agent: Agent) -> Linear:
    """The agent's C, if it is one that CMA-ES can train."""
    if not isinstance(agent.controller, Linear):
        raise Refused("CMA-ES trains a linear C: use --controller.kind linear")
    return agent.controller


def dream_fitness(
    agent: Agent, dream: DreamConfig, config: CMAESConfig, autocast: Autocast, critic: Critic | None = None
) -> Fitness:
    """All rollouts of the candidates side by side in dreams, in shards of some candidates each. `autocast`: in what precision M
    dreams. The `critic` learns from some of them."""
    shares = torch.arange(config.population).chunk(shards(SHARDS, agent.state.device))
    minds = [Dream(agent, len(share) * config.rollouts, replace(dream, horizon=config.steps)) for share in shares]
    if agent.state.device.type == "cuda" and not critic:
        recorded = Recorded(partial(_stretch, minds[0], config, autocast))
        return lambda candidates, seeds: _fitness_on_gpu(minds[0], linear_of(agent), candidates, seeds, recorded)

    def fitness(candidates: Tensor, seeds: list[int]) -> Rollouts:
        tracers = [Tracer(critic, -(-TRACED // len(minds))) if critic else None for _ in minds]

        def dreamed(shard: int) -> Rollouts:
            with autocast():
                return fitness_in(minds[shard], linear_of(agent), candidates[shares[shard]], seeds, config, tracers[shard])

        rollouts = _of_all(side_by_side(dreamed, range(len(minds)), agent.state.device))
        if critic:
            critic.learn(joined([tracer.trace for tracer in tracers if tracer]))
        return rollouts

    return fitness


def awake_fitness(
    agent: Agent, workers: int, autocast: Autocast, config: CMAESConfig, random_start: float = 0.0, reverse: float = 0.0
) -> Fitness:
    """The candidates drive the track in `workers` processes. Those of a lot drive side by side, so that V sees their frames in
    one go. `random_start`, `reverse`: as of `Awake`."""
    driver, like = copy.copy(agent), linear_of(agent)
    driver.starts = None  # each process is sent the agent

    def fitness(candidates: Tensor, seeds: list[int]) -> Rollouts:
        def drive(lot: Tensor) -> Rollouts:
            many = len(lot) * len(seeds)
            with closing(Awake(driver, many, config.steps, random_start, reverse, False, autocast)) as mind:
                return fitness_in(mind, like, lot, seeds, config)

        lots = candidates.split(candidates_in_a_lot(len(candidates), len(seeds)))
        return _of_all(in_parallel(bringing(drive, agent.config.track.dream), lots, workers))

    return fitness


def candidates_in_a_lot(candidates: int, rollouts: int) -> int:
    """How many candidates, of so many rollouts each, drive side by side in a process."""
    fewest, most = LOTS
    lots = min(most, max(fewest, candidates * rollouts // WORTH_A_LOT))
    return max(1, min(LOT // rollouts, -(-candidates // lots)))


class Tally(NamedTuple):
    """How rollouts stand."""

    earned: Tensor  # (N,)
    idle: Tensor  # (N,), steps since anything was earned
    off: Tensor  # (N,), how far the car was off the road a step ago
    on: Tensor  # (N,) bool, whether it counts still

    @staticmethod
    def begun(rollouts: int, device: torch.device) -> "Tally":
        """Before the first step. Who begins beside the road has not left it."""
        zeros, ones = torch.zeros(rollouts, device=device), torch.ones(rollouts, device=device)
        return Tally(zeros, zeros, ones, ones.bool())

    def gain(self, step: Step, config: CMAESConfig) -> Tensor:
        """What a step counts, (N,). C pays `leaving_penalty` whenever it leaves the road, as PPO's does, and
        `off_road_penalty` for every step beside it."""
        leaving = step.off_road * (1 - self.off)
        return step.reward - config.leaving_penalty * leaving - config.off_road_penalty * step.off_road

    def after(self, step: Step, gain: Tensor, patience: int) -> "Tally":
        """One step on."""
        idle = (self.idle + 1).masked_fill(step.reward > 0, 0.0)
        on = self.on & ~(step.terminated | step.truncated) & (idle < patience)
        return Tally(torch.where(self.on, self.earned + gain, self.earned), idle, step.off_road, on)


@torch.no_grad()
def fitness_in(
    mind: Mind, like: Linear, candidates: Tensor, seeds: list[int], config: CMAESConfig, tracer: Tracer | None = None
) -> Rollouts:
    """What candidates (P, D) do in the rollouts `seeds` (R,), all P R of them side by side in `mind`.

    A rollout counts until its first end, or until it has earned nothing for `patience` steps. With a `tracer`, what its critic
    expects after the last step counts as well.
    """
    drivers = Population(like, candidates.to(mind.device), len(seeds))
    observation = mind.reset(seeds * len(candidates))
    rows, tally = torch.arange(len(observation), device=mind.device), Tally.begun(len(observation), mind.device)
    track, decisions = mind.agent.config.track, 0
    earned, patience = tally.earned.clone(), track.decisions(config.patience)
    for number in range(config.steps):
        decisions += len(rows)
        step = mind.step(drivers.act(observation))
        gain = tally.gain(step, config)
        tally = tally.after(step, config.gamma**number * gain, patience)
        if tracer:
            after = tracer.follow(rows, observation, step, gain, ~tally.on, len(earned))
            tally = tally._replace(earned=tally.earned + config.gamma ** (number + 1) * after)
        observation = step.observation
        earned[rows] = tally.earned
        if not tally.on.all():
            on = tally.on
            rows, observation, tally = rows[on], observation[on], Tally(*(part[on] for part in tally))
            drivers.keep(on)
            mind.keep(on)
        if not len(rows):
            break
    return Rollouts(_by_candidate(earned, len(candidates)), decisions * track.repeat)


@torch.no_grad()
def _fitness_on_gpu(
    mind: Dream, like: Linear, candidates: Tensor, seeds: list[int], stretch: Recorded[tuple[Tensor, ...]]
) -> Rollouts:
    """As `fitness_in`, in dreams; those that have ended are not left out, for what is recorded keeps its shapes."""
    drivers = Population(like, candidates.to(mind.device), len(seeds))
    observation = mind.reset(seeds * len(candidates))
    now = (observation, *Tally.begun(len(observation), mind.device), *mind.present)
    steps = 0
    for _ in range(0, mind.limit, STRETCH):  # the last may be longer than the dreams, which then have ended
        now, steps = stretch(drivers.weight, drivers.bias, *now), steps + STRETCH * len(observation)
        if not now[4].any():
            break
    return Rollouts(_by_candidate(now[1], len(candidates)), steps * mind.agent.config.track.repeat)


def _stretch(
    mind: Dream, config: CMAESConfig, autocast: Autocast, weight: Tensor, bias: Tensor, *now: Tensor
) -> tuple[Tensor, ...]:
    """Some steps of all dreams: what they see, the tally (of four parts) and the dreams' present, before and after."""
    observation, tally, mind.present = now[0], Tally(*now[1:5]), now[5:]
    patience = mind.agent.config.track.decisions(config.patience)
    with autocast():
        for _ in range(STRETCH):
            step = mind.step(act(weight, bias, observation))
            gain = tally.gain(step, config)
            tally, observation = tally.after(step, gain, patience), step.observation
    return observation, *tally, *mind.present


def _of_all(shares: Iterable[Rollouts]) -> Rollouts:
    """What the candidates of all shares did."""
    earned, steps = zip(*shares, strict=True)
    return Rollouts(np.concatenate(earned), sum(steps))


def _by_candidate(earned: Tensor, candidates: int) -> np.ndarray:
    """What all rollouts earned (P R,) -> of each candidate (P, R)."""
    return earned.unflatten(0, (candidates, -1)).cpu().double().numpy()
