"""Dreaming: M alone is the world. V draws a frame only when someone looks.

Ha & Schmidhuber (2018), section "Learning Inside of a Dream". A dream goes on from a real moment: a latent and M's memory of
what came before it. It never starts from noise: M has learned nothing about such places, and C would.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor

from dreamlap.agent import Agent, Starts
from dreamlap.config.training import DreamConfig
from dreamlap.errors import Refused
from dreamlap.memory.mixture import sample
from dreamlap.mind.interface import Step, set_by_reset
from dreamlap.recorded import may_be
from dreamlap.seeds import normals, read_seeds, seed_of_dream, uniforms
from dreamlap.settings import SHARE, SIZE, bounded
from dreamlap.tensors import Numbers, read, read_mask


class Dream:
    """N dreams side by side.

    Raises:
        ResetNeeded: of every method but `reset` and `close`, before the first reset.
    """

    _seeds: Tensor = set_by_reset()
    _chance: Tensor = set_by_reset()
    _z: Tensor = set_by_reset()

    @bounded
    def __init__(
        self,
        agent: Agent,
        num_envs: Annotated[int, SIZE],
        config: DreamConfig | None = None,
        starts: Starts | None = None,
        from_start: Annotated[float | None, SHARE] = None,
        restart: bool = True,
    ):
        """`starts`: the moments that dreams go on from, by default those that the agent carries along. `from_start`: share of
        the dreams that begin with the first frame of an episode, by default as many as there are among the moments. `restart`:
        whether a dream that ended is followed by another.

        Raises:
            Refused: there are no such moments, or a number is out of its bounds.
        """
        starts = starts or agent.starts
        if starts is None or not len(starts.z):
            raise Refused("this agent has no real moments to dream from (its folder lacks starts.safetensors)")
        self.agent, self.memory, self.starts = agent, agent.memory, starts
        self.config = config or DreamConfig()
        self.limit = self.config.horizon
        self.num_envs = num_envs
        self.observation_size = self.memory.latent + self.memory.hidden
        self.action_size = self.memory.action
        self.device = self.starts.z.device
        self.from_start, self.restart = from_start, restart
        if from_start is not None:
            self._split(from_start)

    def _split(self, from_start: float) -> None:
        """Tell first frames from other moments: M remembers nothing before them."""
        first = (self.starts.state == 0).all(-1)
        self._firsts, self._later = torch.nonzero(first)[:, 0], torch.nonzero(~first)[:, 0]
        for rows, share, what in ((self._firsts, from_start, "first frame"), (self._later, 1 - from_start, "later moment")):
            if share and not len(rows):
                raise Refused(f"Dream: `from_start` is {from_start:g}, but no {what} is among the agent's {len(first)} moments")

    @torch.no_grad()
    def reset(self, seeds: Sequence[int], options: Mapping[str, Any] | None = None, rows: Numbers | None = None) -> Tensor:
        """Begin N dreams, one for each seed; dream i is the same whatever its place and neighbours, given its seed. With
        `rows`, a mask (N,) bool, only those begin, from as many seeds. There are no `options`."""
        if options:
            raise Refused(f"a dream has no option {', '.join(map(repr, options))}: it begins with a moment that its seed draws")
        at = None if rows is None else read_mask(rows, self.num_envs, self.device)
        numbers = read_seeds(seeds, None if at is None else int(at.sum()))
        begun = torch.tensor([seed_of_dream(seed) for seed in numbers], dtype=torch.int64, device=self.device)
        clock = torch.zeros_like(begun)
        if at is None:
            self.num_envs = len(begun)
            self._seeds, self._clock = begun, clock  # steps since the reset: with the seed they name every draw of chance
            self._age = clock  # steps since the present dream began
            self._chance = self._first_chance()
            self._z, self._state = self._moments(self._chance)
            self._action = self._z.new_zeros(self.num_envs, self.action_size)
            return self._observation()
        self._seeds, self._clock = self._seeds.index_put((at,), begun), self._clock.index_put((at,), clock)
        self._chance = self._first_chance()
        return self.begin(at)

    def _first_chance(self) -> Tensor:
        return uniforms(self._seeds, self._clock - 1, 1)[:, 0]

    @torch.no_grad()
    def step(self, action: Numbers) -> Step:
        """Dream on: M is told of z and a (N, A), and says what comes of it."""
        latent = self.memory.latent
        (action,) = read(self._z, action=(action, (self.num_envs, self.action_size)))
        if action.device.type == "cpu" and action.isnan().any():  # a GPU is not asked: it would have to end first what it does
            raise Refused("an action is NaN: actions of a dream must be finite")
        chance = uniforms(self._seeds, self._clock, 2 * latent + 2)
        self._action = self.agent.execute(action, self._action)
        self._state = self.memory.step(self._z, self._action, self._state)
        expected = self.memory.foresee(self._state)
        self._z = sample(expected.z, chance[:, :latent], normals(chance[:, latent : 2 * latent]), self.config.temperature)
        self._clock, self._age = self._clock + 1, self._age + 1
        terminated = chance[:, -2] < expected.end.sigmoid()
        truncated = (self._age >= self.limit) & ~terminated
        observation = final = self._observation()
        self._chance, ended = chance[:, -1], terminated | truncated
        if self.restart and may_be(ended):
            observation = self.begin(ended)
        return Step(observation, expected.reward, terminated, truncated, expected.off_road.sigmoid(), final)

    @torch.no_grad()
    def begin(self, rows: Numbers) -> Tensor:
        """Begin the next of some dreams, a mask (N,) bool, by their own chance -> observation (N, Z + H)."""
        rows = read_mask(rows, self.num_envs, self.device)
        z, state = self._moments(self._chance)
        self._z = torch.where(rows[:, None], z, self._z)
        self._state = torch.where(rows[:, None], state, self._state)
        self._action = self._action.masked_fill(rows[:, None], 0.0)
        self._age = self._age.masked_fill(rows, 0)
        return self._observation()

    def keep(self, rows: Numbers) -> None:
        """Go on with some of the dreams, in their order: a mask (N,) bool."""
        rows = read_mask(rows, self.num_envs, self.device)
        self._seeds, self._clock, self._age = self._seeds[rows], self._clock[rows], self._age[rows]
        self._chance, self._z, self._state, self._action = (
            part[rows] for part in (self._chance, self._z, self._state, self._action)
        )
        self.num_envs = len(self._seeds)

    @property
    def present(self) -> tuple[Tensor, ...]:
        """All that changes from step to step. Whoever puts it back goes on from here."""
        return self._seeds, self._clock, self._age, self._chance, self._z, self._state, self._action

    @present.setter
    def present(self, present: tuple[Tensor, ...]) -> None:
        self._seeds, self._clock, self._age, self._chance, self._z, self._state, self._action = present
        self.num_envs = len(self._seeds)

    @property
    def moments(self) -> Starts:
        """Where the dreams are now: another one can go on from there."""
        return Starts(self._z, self._state)

    def render(self) -> np.ndarray:
        """What V draws of each dream: (N, S, S, 3) uint8."""
        with torch.no_grad():
            return self.agent.vision.decode(self._z).cpu().numpy()

    def close(self) -> None:
        """Nothing is held."""

    def _observation(self) -> Tensor:
        return torch.cat([self._z, self.memory.h(self._state)], -1)

    def _moments(self, chance: Tensor) -> tuple[Tensor, Tensor]:
        chosen = self._rows(chance)
        return self.starts.z.index_select(0, chosen), self.starts.state.index_select(0, chosen)

    def _rows(self, chance: Tensor) -> Tensor:
        """Uniform draws (N,) -> rows of `starts` (N,)."""
        share = self.from_start
        if share is None:
            return (chance * len(self.starts.z)).long()
        rows = torch.empty_like(chance, dtype=torch.int64)
        first = chance < share
        rows[first] = _pick(self._firsts, chance[first] / share) if share else rows[first]
        rows[~first] = _pick(self._later, (chance[~first] - share) / (1 - share)) if share < 1 else rows[~first]
        return rows


def _pick(rows: Tensor, chance: Tensor) -> Tensor:
    """Uniform draws in [0, 1] -> as many of the rows."""
    return rows[(chance * len(rows)).long().clamp(max=len(rows) - 1)]
