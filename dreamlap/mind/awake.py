"""Awake: the track, seen through V and remembered by M."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor

from dreamlap.agent import Agent, Starts
from dreamlap.config.parts import LIMIT, MOST_AWAKE
from dreamlap.errors import Refused
from dreamlap.mind.interface import Step, set_by_reset
from dreamlap.mind.world import open_worlds, step_all, ways_to_begin
from dreamlap.seeds import numpy_generator, read_seeds, training_track
from dreamlap.settings import SHARE, bounded, least
from dreamlap.tensors import Numbers, read, read_mask
from dreamlap.track import off_road, read_options


class Awake:
    """N tracks side by side in this process. Seed s begins with track s; the tracks after it are training tracks.

    Raises:
        ResetNeeded: of every method but `reset` and `close`, before the first reset.
    """

    _seeds: list[int] = set_by_reset()
    _episodes: np.ndarray = set_by_reset()
    _frames: np.ndarray = set_by_reset()
    _z: Tensor = set_by_reset()
    _action: Tensor = set_by_reset()

    @bounded
    def __init__(
        self,
        agent: Agent,
        num_envs: Annotated[int, least(1, MOST_AWAKE)],
        limit: Annotated[int, least(1)] = LIMIT,
        random_start: Annotated[float, SHARE] = 0.0,
        reverse: Annotated[float, SHARE] = 0.0,
        restart: bool = True,
        autocast: Callable[[], AbstractContextManager[Any]] = nullcontext,
    ):
        """`limit`: steps of the track until the clock ends an episode; `random_start`: share of the episodes that begin on a
        random tile; `reverse`: share driven the other way round; `restart`: whether an episode that ended is followed by
        another (if not, leave it out by `keep`); `autocast`: in what precision V sees.

        Raises:
            Refused: a number is out of its bounds.
        """
        self.agent, self.num_envs, self.limit = agent, num_envs, agent.config.track.decisions(limit)
        self.observation_size = agent.memory.latent + agent.memory.hidden
        self.action_size = agent.memory.action
        self.device = agent.state.device
        self._opened = open_worlds(agent.config.track, num_envs)
        self.tracks = list(self._opened)
        self.random_start, self.reverse, self.restart, self.autocast = random_start, reverse, restart, autocast

    def reset(self, seeds: Sequence[int], options: Mapping[str, Any] | None = None, rows: Numbers | None = None) -> Tensor:
        """Begin N episodes on the tracks `seeds`, or with `rows`, a mask (N,) bool, those of some, on as many. `options`: those
        of the track's reset, for these episodes alone; what they do not say is left to `random_start` and `reverse`."""
        told = read_options(options)
        if told and self.agent.config.track.dream:
            raise Refused(f"a dream has no option {', '.join(map(repr, told))}: it begins with a moment that its seed draws")
        if rows is None:
            self._seeds = [0] * self.num_envs
            self._episodes, self._age = np.zeros(self.num_envs, np.int64), np.zeros(self.num_envs, np.int64)
            size = self.agent.config.track.size
            self._frames = np.zeros((self.num_envs, size, size, 3), np.uint8)
            self._state = self.agent.memory.initial(self.num_envs)
            self._action = self._state.new_zeros(self.num_envs, self.action_size)
            rows = torch.ones(self.num_envs, dtype=torch.bool, device=self.device)
        rows = read_mask(rows, self.num_envs, self.device)
        begun = np.flatnonzero(rows.cpu().numpy())
        for i, seed in zip(begun, read_seeds(seeds, len(begun)), strict=True):
            self._seeds[i], self._episodes[i] = seed, 0
            self._start(int(i), seed, told)
        return self._forget(rows)

    def _start(self, i: int, seed: int, told: dict[str, Any]) -> None:
        options = ways_to_begin(numpy_generator(seed, "awake"), self.random_start, self.reverse) | told
        self._frames[i], _ = self.tracks[i].reset(seed=seed, options=options)

    @torch.no_grad()
    def step(self, action: Numbers) -> Step:
        """Drive every track one step, by actions (N, A); M remembers what V saw and C did."""
        (action,) = read(self._action, action=(action, (self.num_envs, self.action_size)))
        self._action = self.agent.execute(action, self._action)
        self._state = self.agent.memory.step(self._z, self._action, self._state)
        self._frames, reward, terminated = step_all(self.tracks, self.agent.actions.to_stock(self._action.cpu().numpy()))
        self._age += 1
        truncated = (self._age >= self.limit) & ~terminated
        under = self._tensor(off_road(self._frames, self.agent.config.track.bar))
        observation = final = self._observe()
        ended = terminated | truncated
        if self.restart and ended.any():
            observation = self.begin(torch.from_numpy(ended))
        return Step(observation, self._tensor(reward), self._tensor(terminated), self._tensor(truncated), under, final)

    @torch.no_grad()
    def begin(self, rows: Numbers) -> Tensor:
        """Begin the next episodes of some minds, a mask (N,) bool, on training tracks -> observation (N, Z + H)."""
        rows = read_mask(rows, self.num_envs, self.device)
        for i in np.flatnonzero(rows.cpu().numpy()):
            self._episodes[i] += 1
            self._start(int(i), training_track("awake", int(self._episodes[i]), seed=self._seeds[i]), {})
        return self._forget(rows)

    def _forget(self, rows: Tensor) -> Tensor:
        """M remembers nothing of the episodes before -> what is seen now."""
        self._age[rows.cpu().numpy()] = 0
        begun = rows[:, None]
        self._state = torch.where(begun, 0.0, self._state)
        self._action = torch.where(begun, 0.0, self._action)
        return self._observe()

    def keep(self, rows: Numbers) -> None:
        """Go on with some of the tracks, in their order: a mask (N,) bool. The others stand still, and stay open."""
        rows = read_mask(rows, self.num_envs, self.device)
        kept = rows.cpu().numpy()
        chosen = np.flatnonzero(kept)
        self.tracks, self._seeds = [self.tracks[i] for i in chosen], [self._seeds[i] for i in chosen]
        self._frames, self._episodes, self._age = self._frames[kept], self._episodes[kept], self._age[kept]
        self._z, self._state, self._action = self._z[rows], self._state[rows], self._action[rows]
        self.num_envs = len(chosen)

    @property
    def moments(self) -> Starts:
        """Where the minds are now: a dream can go on from there."""
        return Starts(self._z, self._state)

    def render(self) -> np.ndarray:
        """The frames that V sees: (N, S, S, 3) uint8."""
        return self._frames.copy()

    def close(self) -> None:
        """Close the tracks, those that were left out as well."""
        for track in self._opened:
            track.close()

    @torch.no_grad()
    def _observe(self) -> Tensor:
        with self.autocast():
            self._z, observation = self.agent.perceive(self._frames, self._state)
        return observation

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(self.device)
