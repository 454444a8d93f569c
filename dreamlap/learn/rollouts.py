"""What linear controllers are worth: many of them drive side by side, in the real environment or in M's dream.

Letters: P population, R rollouts a candidate, D weights.
"""

import copy
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import torch
from torch import Tensor

from dreamlap.agent import Agent
from dreamlap.config.training import CMAESConfig
from dreamlap.control.linear import Linear, Population
from dreamlap.device import Autocast
from dreamlap.errors import Refused
from dreamlap.learn.loop import shards
from dreamlap.mind import Awake, Dream, DreamConfig, Mind
from dreamlap.mind.world import Track, open_world
from dreamlap.parallel import in_parallel, side_by_side
from dreamlap.track import TrackConfig

Fitness = Callable[[Tensor, list[int]], np.ndarray]
"""Candidates (P, D) and the seeds of the rollouts (R,) -> mean objective of each candidate (P,)."""

SHARDS = 4
"""Into how many shards the candidates of a generation are cut, to dream side by side."""
LOT, LOTS = 48, 4
"""Real environments side by side in a process, about; and the fewest lots that a generation is cut into. Neither depends on
the number of processes: it must not change the result."""


def linear_of(agent: Agent) -> Linear:
    """The agent's C, if it is one that CMA-ES can train."""
    if not isinstance(agent.controller, Linear):
        raise Refused("CMA-ES trains a linear C: use --controller.kind linear")
    return agent.controller


def dream_fitness(agent: Agent, dream: DreamConfig, config: CMAESConfig) -> Fitness:
    """All rollouts of the candidates side by side in dreams, in shards of some candidates each."""
    shares = torch.arange(config.population).chunk(shards(SHARDS, agent.state.device))
    minds = [Dream(agent, len(share) * config.rollouts, replace(dream, horizon=config.steps)) for share in shares]

    def fitness(candidates: Tensor, seeds: list[int]) -> np.ndarray:
        def dreamed(shard: int) -> np.ndarray:
            return fitness_in(minds[shard], linear_of(agent), candidates[shares[shard]], seeds, config)

        return np.concatenate(list(side_by_side(dreamed, range(len(minds)), agent.state.device)))

    return fitness


def awake_fitness(
    agent: Agent, workers: int, autocast: Autocast, config: CMAESConfig, random_start: float = 0.0, reverse: float = 0.0
) -> Fitness:
    """The candidates drive the track in `workers` processes. Those of a lot drive side by side, so that V sees their frames in
    one go. `random_start`, `reverse`: as of `Awake`."""
    driver, like, track = copy.copy(agent), linear_of(agent), agent.config.track
    driver.starts = None  # each process is sent the agent

    def fitness(candidates: Tensor, seeds: list[int]) -> np.ndarray:
        def drive(lot: Tensor) -> np.ndarray:
            tracks = _open(track, len(lot) * len(seeds))
            mind = Awake(driver, len(tracks), config.steps, random_start, reverse, False, tracks, autocast)
            return fitness_in(mind, like, lot, seeds, config)

        at_once = max(1, min(LOT // len(seeds), len(candidates) // LOTS))
        return np.concatenate(list(in_parallel(drive, candidates.split(at_once), workers)))

    return fitness


@cache
def _opened(config: TrackConfig) -> list[Track]:
    return []


def _open(config: TrackConfig, count: int) -> list[Track]:
    """Real tracks are kept by the process from generation to generation: most of what a new one costs is its memory."""
    tracks = [] if config.dream else _opened(config)
    tracks.extend(open_world(config) for _ in range(count - len(tracks)))
    return tracks[:count]


@torch.no_grad()
def fitness_in(mind: Mind, like: Linear, candidates: Tensor, seeds: list[int], config: CMAESConfig) -> np.ndarray:
    """The mean objective of candidates (P, D) over the rollouts `seeds` (R,), all P R of them side by side in `mind` -> (P,).

    A rollout counts until its first end, or until it has earned nothing for `patience` steps. C pays `leaving_penalty` whenever
    it leaves the road, as PPO's does, and `off_road_penalty` for every step beside it.
    """
    drivers = Population(like, candidates.to(mind.device), len(seeds))
    observation = mind.reset(seeds * len(candidates))
    rows = torch.arange(len(observation), device=mind.device)
    total, idle = torch.zeros(len(rows), device=mind.device), torch.zeros(len(rows), device=mind.device)
    off = torch.ones(len(rows), device=mind.device)  # who begins beside the road has not left it
    patience = mind.agent.config.track.decisions(config.patience)
    for _ in range(config.steps):
        step = mind.step(drivers.act(observation))
        leaving, off = step.off_road * (1 - off), step.off_road
        total[rows] += step.reward - config.leaving_penalty * leaving - config.off_road_penalty * off
        idle = torch.where(step.reward > 0, 0.0, idle + 1)
        on = ~(step.terminated | step.truncated) & (idle < patience)
        observation = step.observation
        if not on.all():
            rows, idle, off, observation = rows[on], idle[on], off[on], observation[on]
            drivers.keep(on)
            mind.keep(on)
        if not len(rows):
            break
    return total.unflatten(0, (len(candidates), -1)).mean(1).cpu().double().numpy()
