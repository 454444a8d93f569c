"""Many dreams as a few shards, which compute side by side on the cores: PPO takes them as they are, Gymnasium as one mind."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from dreamlap.agent import Agent
from dreamlap.mind.dream import Dream, DreamConfig
from dreamlap.mind.interface import Step
from dreamlap.parallel import side_by_side

Result = TypeVar("Result")


def cut(agent: Agent, count: int, config: DreamConfig, parts: int, from_start: float | None = None) -> list[Dream]:
    """`count` dreams in `parts` shards, as equal as can be."""
    return [Dream(agent, count // parts + (part < count % parts), config, from_start=from_start) for part in range(parts)]


class Shards:
    """A mind made of dreams, in their order. Each shard takes and gives its part of every batch."""

    def __init__(self, dreams: Sequence[Dream]):
        self.dreams, first = list(dreams), dreams[0]
        self.agent, self.device, self.limit = first.agent, first.device, first.limit
        self.observation_size, self.action_size = first.observation_size, first.action_size

    @property
    def num_envs(self) -> int:
        """How many dreams there are."""
        return sum(self._sizes())

    @property
    def restart(self) -> bool:
        """Whether a dream that ended is followed by another."""
        return self.dreams[0].restart

    @restart.setter
    def restart(self, restart: bool) -> None:
        for dream in self.dreams:
            dream.restart = restart

    def reset(self, seeds: Sequence[int], options: Mapping[str, Any] | None = None, rows: Tensor | None = None) -> Tensor:
        """Begin N dreams, or with `rows` some, from as many seeds: as of `Dream`."""
        parts = [None] * len(self.dreams) if rows is None else list(rows.split(self._sizes()))
        counts = self._sizes() if rows is None else [int(part.sum()) for part in parts if part is not None]
        left = iter(seeds)
        own = [[next(left) for _ in range(count)] for count in counts]
        return torch.cat(self._each(lambda dream, shard: dream.reset(own[shard], options, parts[shard])))

    def step(self, action: Tensor) -> Step:
        """Act: (N, A) in the agent's own form."""
        parts = action.split(self._sizes())
        steps = self._each(lambda dream, shard: dream.step(parts[shard]))
        return Step(*map(torch.cat, zip(*steps, strict=True)))

    def begin(self, rows: Tensor) -> Tensor:
        """Begin the next of some dreams, a mask (N,) bool, by their own chance -> observation (N, Z + H)."""
        parts = rows.split(self._sizes())
        return torch.cat(self._each(lambda dream, shard: dream.begin(parts[shard])))

    def render(self) -> np.ndarray:
        """What V draws of each dream: (N, S, S, 3) uint8."""
        return np.concatenate(self._each(lambda dream, _: dream.render()))

    def close(self) -> None:
        """Nothing is held."""

    def _sizes(self) -> list[int]:
        return [dream.num_envs for dream in self.dreams]

    def _each(self, function: Callable[[Dream, int], Result]) -> list[Result]:
        return list(side_by_side(lambda shard: function(self.dreams[shard], shard), range(len(self.dreams)), self.device))
