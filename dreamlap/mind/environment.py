"""A mind as a Gymnasium environment, for whatever speaks Gymnasium rather than tensors. Many side by side: `mind.vector`."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, get_args

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec
from gymnasium.error import ResetNeeded
from torch import Tensor

from dreamlap.agent import Agent, load_agent
from dreamlap.errors import Refused
from dreamlap.mind.awake import Awake
from dreamlap.mind.dream import Dream, DreamConfig
from dreamlap.mind.interface import sound
from dreamlap.mind.shards import Shards, cut
from dreamlap.parallel import own_settings
from dreamlap.seeds import read_seed
from dreamlap.settings import changed

FPS = 50

Observation = Literal["zh", "frame"]
"""What an environment shows: [z, h], or the frame that V draws from z."""

SHARDS, SHARDED = 4, 256
"""Into how many shards dreams are cut, and how many there must be: never by the cores, which must not change the result."""

METADATA = {"render_modes": ["rgb_array"], "render_fps": FPS}


class View:
    """How a mind meets an environment's user: its spaces, what it shows, the actions and seeds that it takes."""

    def __init__(self, mind: Awake | Dream | Shards, observation: Observation, render_mode: str | None):
        if observation not in (known := get_args(Observation)):
            raise Refused(f"an observation is one of {', '.join(known)}, not {observation!r}")
        if render_mode not in (None, "rgb_array"):
            raise Refused(f"render_mode is 'rgb_array' or None here, not {render_mode!r}")
        self.mind, self.agent, self.drawn = mind, mind.agent, observation == "frame"
        form, side = mind.agent.actions, mind.agent.vision.size
        self.action_space = spaces.Discrete(form.size) if form.discrete else spaces.Box(form.low, form.high, dtype=np.float32)
        self.observation_space = (
            spaces.Box(0, 255, (side, side, 3), np.uint8)
            if self.drawn
            else spaces.Box(-np.inf, np.inf, (mind.observation_size,), np.float32)
        )

    @torch.no_grad()
    def __call__(self, observation: Tensor) -> np.ndarray:
        """[z, h] (N, Z + H) as it is, or frames (N, S, S, 3) uint8."""
        with own_settings():
            seen = self.agent.vision.decode(observation[:, : self.agent.vision.latent]) if self.drawn else observation
        return seen.cpu().numpy()

    def actions(self, actions: Any, *batch: int) -> Tensor:
        """Actions from outside (*batch, A), for a mind: arrays, lists and tuples of numbers. A discrete agent also takes the
        number of what it does (*batch,).

        Raises:
            Refused: they have another shape, or hold something else than finite numbers.
        """
        with np.errstate(over="ignore"):  # what is too large for float32 is out of bounds, and the mind clips it
            numbers = self.agent.actions.read(actions, *batch).astype(np.float32)
        return torch.from_numpy(numbers).to(self.mind.device)


class Specified:
    """The specification of an environment of ours: it states when the clock ends an episode, and names the agent's folder."""

    mind: Awake | Dream | Shards
    _spec: EnvSpec | None = None

    @property
    def spec(self) -> EnvSpec | None:
        """What Gymnasium was told to make."""
        return self._spec

    @spec.setter
    def spec(self, spec: EnvSpec | None) -> None:
        if spec is not None:
            given = spec.kwargs.get("agent")
            if isinstance(given, Agent) and given.origin and given.origin[1] == given.fingerprint:
                given = given.origin[0]
            named = {"agent": str(given)} if isinstance(given, Path) else {}
            spec = replace(spec, max_episode_steps=self.mind.limit, kwargs=spec.kwargs | named)
        self._spec = spec


class MindEnv(Specified, gym.Env[np.ndarray, Any]):  # pyright: ignore[reportIncompatibleVariableOverride]  # a property: Gymnasium assigns it
    """One mind as an environment: observation [z, h] (Z + H,) float32, action (A,) in the agent's own form.

    A discrete agent takes the number of what it does. `info["off_road"]` is how far the car has left the road, 0 to 1.
    """

    metadata = METADATA

    def __init__(self, mind: Awake | Dream | Shards, render_mode: str | None = None, observation: Observation = "zh"):
        self.view = View(mind, observation, render_mode)
        self.mind, self.render_mode, mind.restart = mind, render_mode, False
        self.observation_space, self.action_space = self.view.observation_space, self.view.action_space
        self._needed = "no episode has begun"
        """Why the next thing to do is a reset; empty during an episode."""

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin an episode. `options`: awake, those of the track's reset (`start_tile`, `reverse`, `randomize`); no others.

        `np_random_seed` is a seed too: it begins the first episode again, and those after it.
        """
        fresh = seed is not None or self._np_random is None
        super().reset(seed=None if seed is None else read_seed(seed), options=options)
        own = self.np_random_seed if fresh else int(self.np_random.integers(2**31))
        with own_settings():
            observation = self.mind.reset([own], options)
        self._needed = ""
        return self.view(observation)[0], {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Act: (A,), in the agent's own form; what is out of bounds is clipped.

        Raises:
            Refused: the action has another shape or is no finite number, or the agent is broken.
            ResetNeeded: no episode has begun, or it has ended.
        """
        if self._needed:
            raise ResetNeeded(f"call reset() first: {self._needed}")
        with own_settings():
            step = sound(self.mind.step(self.view.actions(action)[None]))
        terminated, truncated = bool(step.terminated[0]), bool(step.truncated[0])
        if terminated or truncated:
            self._needed = "the episode has ended"
        info = {"off_road": float(step.off_road[0])}
        return self.view(step.observation)[0], float(step.reward[0]), terminated, truncated, info

    def render(self) -> np.ndarray | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The frame, (S, S, 3) uint8.

        Raises:
            ResetNeeded: no episode has begun.
        """
        if self._np_random is None:
            raise ResetNeeded(f"call reset() first: {self._needed}")
        with own_settings():
            return self.mind.render()[0] if self.render_mode else None

    def close(self) -> None:
        """Close the track, if there is one."""
        self.mind.close()


class DreamEnv(MindEnv):
    """`gymnasium.make("dreamlap/Dream-v0", agent=PATH)`: one dream; `settings` are those of `DreamConfig`.

    Without `from_start`, dreams begin with the agent's moments as they come.
    """

    def __init__(
        self,
        agent: str | Path | Agent | None = None,
        render_mode: str | None = None,
        observation: Observation = "zh",
        **settings: Any,
    ):
        super().__init__(open_dream(agent, 1, settings), render_mode, observation)


class AwakeEnv(MindEnv):
    """`gymnasium.make("dreamlap/Awake-v0", agent=PATH)`: the fast track through the agent's V and M."""

    def __init__(
        self, agent: str | Path | Agent | None = None, render_mode: str | None = None, observation: Observation = "zh"
    ):
        super().__init__(Awake(open_agent(agent), 1), render_mode, observation)


def open_dream(agent: Any, num_envs: Any, settings: dict[str, Any], limit: Any = None) -> Dream | Shards:
    """Dreams of an agent, or of that in a folder; `settings` are those of `DreamConfig`, and `limit` bounds the horizon.

    Many are cut into shards, which use all cores.
    """
    config = changed(DreamConfig(), settings)
    config = replace(config, horizon=min(config.horizon, limit)) if limit is not None else config
    agent, from_start = open_agent(agent), config.from_start if "from_start" in settings else None
    if not isinstance(num_envs, int) or num_envs < SHARDED or agent.state.device.type != "cpu":
        return Dream(agent, num_envs, config, from_start=from_start)
    return Shards(cut(agent, num_envs, config, SHARDS, from_start))


def open_agent(agent: Any) -> Agent:
    """The agent itself, or the one that is named."""
    return agent if isinstance(agent, Agent) else load_agent(agent)
