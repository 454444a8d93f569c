"""Many minds as a Gymnasium vector environment, in one process: their V and M compute for all of them at once."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium.error import ClosedEnvironmentError, ResetNeeded
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from dreamlap.agent import Agent
from dreamlap.errors import Refused
from dreamlap.mind.awake import Awake
from dreamlap.mind.dream import Dream
from dreamlap.mind.environment import METADATA, Observation, Specified, View, open_agent, open_dream
from dreamlap.mind.interface import sound
from dreamlap.mind.shards import Shards
from dreamlap.parallel import own_settings
from dreamlap.seeds import derive, read_seed


class MindVectorEnv(Specified, VectorEnv[np.ndarray, Any, np.ndarray]):  # pyright: ignore[reportIncompatibleVariableOverride]  # as MindEnv
    """N minds as a vector environment: observations [z, h] (N, Z + H) float32, actions (N, A) in the agent's own form.

    What follows an end is Gymnasium's `autoreset_mode`: `SameStep` (the default) begins the next episode in the same step and
    gives the last observation as `info["final_obs"]`; `NextStep` begins it in the next, which ignores the action; `Disabled`
    waits for `reset(options={"reset_mask": mask})`. `info["off_road"]` (N,) is how far the car has left the road, 0 to 1.
    """

    def __init__(
        self,
        mind: Awake | Dream | Shards,
        render_mode: str | None = None,
        observation: Observation = "zh",
        autoreset_mode: str | AutoresetMode = AutoresetMode.SAME_STEP,
    ):
        self.view = View(mind, observation, render_mode)
        self.mode = _mode(autoreset_mode)
        self.mind, self.num_envs, self.render_mode, mind.restart = mind, mind.num_envs, render_mode, False
        self.metadata = METADATA | {"autoreset_mode": self.mode}
        self.single_observation_space, self.single_action_space = self.view.observation_space, self.view.action_space
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._over: np.ndarray | None = None  # (N,), which episodes have ended and are not followed by others yet

    def reset(
        self, *, seed: int | Iterable[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin N episodes: environment i from seed + i, or from the i-th of N seeds.

        `options`: `reset_mask` (N,) bool: begin only those; awake, those of the track's reset as well.

        Raises:
            Refused: a seed, their number or an option is wrong.
            ResetNeeded: some are to begin, and not all of them have begun yet.
        """
        self._check_open()
        mask, options = self._read_mask(dict(options or {}))
        seeds = self._draw(seed)
        begin = [one for one, begins in zip(seeds, mask, strict=True) if begins]
        with own_settings():
            observation = self.mind.reset(begin, options, None if mask.all() else torch.from_numpy(mask))
        self._over = np.zeros(self.num_envs, bool) if self._over is None else self._over & ~mask
        return self.view(observation), {}

    def step(self, actions: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Act in every mind: (N, A), in the agent's own form; what is out of bounds is clipped.

        Raises:
            Refused: the actions have another shape or are no finite numbers, or the agent is broken.
            ResetNeeded: no episode has begun, or one has ended and `autoreset_mode` is `Disabled`.
        """
        over = self._begun()
        if over.any() and self.mode == AutoresetMode.DISABLED:
            ended = ", ".join(map(str, np.flatnonzero(over)[:10]))
            raise ResetNeeded(
                f"episodes have ended (environments {ended}): reset(options={{'reset_mask': mask}}) begins others"
            )
        with own_settings():
            step = sound(self.mind.step(self.view.actions(actions, self.num_envs)))
            observation = self.mind.begin(torch.from_numpy(over)) if over.any() else step.observation
        reward, terminated, truncated, off_road = (part.cpu().numpy() for part in step[1:5])
        reward, terminated, truncated = np.where(over, 0, reward.astype(float)), terminated & ~over, truncated & ~over
        info: dict[str, Any] = _told(off_road, ~over)
        self._over = ended = terminated | truncated
        if self.mode == AutoresetMode.SAME_STEP and ended.any():
            info = _told(off_road, ~ended) | {"final_obs": self.view(observation), "_final_obs": ended}
            info |= {"final_info": _told(off_road, ended), "_final_info": ended}
            with own_settings():
                observation = self.mind.begin(torch.from_numpy(ended))
            self._over = np.zeros(self.num_envs, bool)
        return self.view(observation), reward, terminated, truncated, info

    def render(self) -> tuple[np.ndarray, ...] | None:
        """A frame of each mind, (S, S, 3) uint8.

        Raises:
            ResetNeeded: no episode has begun.
        """
        self._begun()
        with own_settings():
            return tuple(self.mind.render()) if self.render_mode else None

    def close_extras(self, **kwargs: Any) -> None:
        """Close the tracks, if there are any."""
        self.mind.close()

    def _check_open(self) -> None:
        if self.closed:
            raise ClosedEnvironmentError("this environment is closed: make another one")

    def _begun(self) -> np.ndarray:
        """Which episodes are over, (N,) bool, if they have begun at all."""
        self._check_open()
        if self._over is None:
            raise ResetNeeded("call reset() first: no episode has begun")
        return self._over

    def _draw(self, seed: Any) -> list[int]:
        """A seed for each environment. Those that are not given follow from the last ones that were."""
        if seed is None:
            given: list[int | None] = [None] * self.num_envs
        elif isinstance(seed, Iterable) and not isinstance(seed, str | bytes):
            given = [None if one is None else read_seed(one) for one in seed]
            if len(given) != self.num_envs:
                raise Refused(f"{self.num_envs} environments take one seed, or {self.num_envs} of them, not {len(given)} seeds")
        else:
            given = [read_seed(seed) + i for i in range(self.num_envs)]
        if None not in given:
            super().reset(seed=derive(0, *(one for one in given if one is not None)))
        return [int(self.np_random.integers(2**31)) if one is None else one for one in given]

    def _read_mask(self, options: dict[str, Any]) -> tuple[np.ndarray, dict[str, Any]]:
        """Which of the environments begin, (N,) bool, and the other options."""
        if "reset_mask" not in options:
            return np.ones(self.num_envs, bool), options
        mask = np.asarray(options.pop("reset_mask"))
        if mask.shape != (self.num_envs,) or mask.dtype != bool or not mask.any():
            raise Refused(f"`reset_mask` says of each of {self.num_envs} environments whether it begins (bool, one at least)")
        if not mask.all():
            self._begun()
        return mask, options


def _told(off_road: np.ndarray, of: np.ndarray) -> dict[str, Any]:
    """As Gymnasium tells what only some environments have: zeros elsewhere, and a mask."""
    return {"off_road": np.where(of, off_road, 0), "_off_road": of} if of.any() else {}


def _mode(name: Any) -> AutoresetMode:
    try:
        return AutoresetMode(name)
    except ValueError:
        raise Refused(f"autoreset_mode is one of {', '.join(mode.value for mode in AutoresetMode)}, not {name!r:.60}") from None


def read_limit(steps: Any) -> int | None:
    """`max_episode_steps` from outside.

    Raises:
        Refused: it is no number of steps.
    """
    if steps is None or (isinstance(steps, int) and not isinstance(steps, bool) and steps > 0):
        return steps
    raise Refused(f"max_episode_steps is a whole number from 1 on, not {steps!r:.60}")


class DreamVectorEnv(MindVectorEnv):
    """`gymnasium.make_vec("dreamlap/Dream-v0", num_envs=1024, agent=PATH)`: see `DreamEnv`.

    `max_episode_steps` bounds the `horizon` among the `settings`.
    """

    def __init__(
        self,
        num_envs: int,
        agent: str | Path | Agent | None = None,
        render_mode: str | None = None,
        observation: Observation = "zh",
        autoreset_mode: str | AutoresetMode = AutoresetMode.SAME_STEP,
        max_episode_steps: int | None = None,
        **settings: Any,
    ):
        mind = open_dream(agent, num_envs, settings, read_limit(max_episode_steps))
        super().__init__(mind, render_mode, observation, autoreset_mode)


class AwakeVectorEnv(MindVectorEnv):
    """`gymnasium.make_vec("dreamlap/Awake-v0", num_envs=8, agent=PATH)`: see `AwakeEnv`."""

    def __init__(
        self,
        num_envs: int,
        agent: str | Path | Agent | None = None,
        render_mode: str | None = None,
        observation: Observation = "zh",
        autoreset_mode: str | AutoresetMode = AutoresetMode.SAME_STEP,
        max_episode_steps: int | None = None,
    ):
        mind = Awake(open_agent(agent), num_envs)
        mind.limit = min(mind.limit, read_limit(max_episode_steps) or mind.limit)
        super().__init__(mind, render_mode, observation, autoreset_mode)
