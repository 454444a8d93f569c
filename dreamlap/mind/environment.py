"""A mind as a Gymnasium environment, single or vectorized, for whatever speaks Gymnasium rather than tensors."""

from pathlib import Path
from typing import Any, Literal, get_args

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from torch import Tensor

from dreamlap.agent import Agent, load_agent
from dreamlap.errors import Refused
from dreamlap.mind.awake import Awake
from dreamlap.mind.dream import Dream, DreamConfig
from dreamlap.mind.interface import Mind, sound
from dreamlap.parallel import one_thread

FPS = 50


Observation = Literal["zh", "frame"]
"""What an environment shows: [z, h], or the frame that V draws from z."""


def read_actions(mind: Mind, actions: Any, *batch: int) -> Tensor:
    """Actions (*batch, A) from outside, for a mind: arrays, lists and tuples of numbers.

    Raises:
        Refused: they have another shape, or hold something else than finite numbers.
    """
    with np.errstate(over="ignore"):  # what is too large for float32 is out of bounds, and the mind clips it
        numbers = mind.agent.actions.read(actions, *batch).astype(np.float32)
    return torch.from_numpy(numbers).to(mind.device)


class View:
    """Turns what a mind gives into what its environment shows."""

    def __init__(self, mind: Mind, observation: Observation):
        if observation not in (known := get_args(Observation)):
            raise Refused(f"an observation is one of {', '.join(known)}, not {observation!r}")
        self.agent, self.drawn = mind.agent, observation == "frame"
        form, side = mind.agent.actions, mind.agent.vision.size
        self.action_space = spaces.Box(form.low, form.high, dtype=np.float32)
        self.observation_space = (
            spaces.Box(0, 255, (side, side, 3), np.uint8)
            if self.drawn
            else spaces.Box(-np.inf, np.inf, (mind.observation_size,), np.float32)
        )

    @torch.no_grad()
    def __call__(self, observation: Tensor) -> np.ndarray:
        """[z, h] (N, Z + H) as it is, or frames (N, S, S, 3) uint8."""
        with one_thread():
            seen = self.agent.vision.decode(observation[:, : self.agent.vision.latent]) if self.drawn else observation
        return seen.cpu().numpy()


class MindVectorEnv(VectorEnv[np.ndarray, np.ndarray, np.ndarray]):
    """N minds as a vector environment: observations [z, h] (N, Z + H) float32, actions (N, A) in the agent's own form.

    An episode that ends is followed by the next in the same step (`AutoresetMode.SAME_STEP`): its last observation is
    `info["final_obs"]`. `info["off_road"]` (N,) is how far the car has left the road.
    """

    def __init__(self, mind: Awake | Dream, render_mode: str | None = None, observation: Observation = "zh"):
        self.mind, self.num_envs, self.render_mode = mind, mind.num_envs, render_mode
        self.view = View(mind, observation)
        self.metadata = {
            "render_modes": ["rgb_array"],
            "render_fps": FPS,
            "autoreset_mode": AutoresetMode.SAME_STEP,
        }
        self.single_observation_space, self.single_action_space = self.view.observation_space, self.view.action_space
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin N episodes: environment i from seed + i, or from the i-th of a list of seeds. `options`: see the mind's."""
        super().reset(seed=seed if isinstance(seed, int) else None, options=options)
        given = [seed + i for i in range(self.num_envs)] if isinstance(seed, int) else seed or [None] * self.num_envs
        seeds = [int(self.np_random.integers(2**31)) if s is None else s for s in given]
        with one_thread():
            return self.view(self.mind.reset(seeds, options)), {}

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Act in every mind: (N, A), in the agent's own form; what is out of bounds is clipped.

        Raises:
            Refused: the actions have another shape or are no finite numbers, or the agent is broken.
        """
        with one_thread():
            step = sound(self.mind.step(read_actions(self.mind, actions, self.num_envs)))
        reward, terminated, truncated, off_road = (part.cpu().numpy() for part in step[1:5])
        info: dict[str, Any] = {"off_road": off_road}
        ended = terminated | truncated
        if ended.any():
            info |= {"final_obs": self.view(step.final_observation), "_final_obs": ended}
        return self.view(step.observation), reward, terminated, truncated, info

    def render(self) -> tuple[np.ndarray, ...] | None:
        """The first mind's frame, as the one element of a tuple."""
        return (self.mind.render(),) if self.render_mode == "rgb_array" else None


class MindEnv(gym.Env[np.ndarray, np.ndarray]):
    """One mind as an environment: observation [z, h] (Z + H,) float32, action (A,) in the agent's own form."""

    def __init__(self, mind: Awake | Dream, render_mode: str | None = None, observation: Observation = "zh"):
        self.mind, self.render_mode = mind, render_mode
        self.metadata = {"render_modes": ["rgb_array"], "render_fps": FPS}
        self.view = View(mind, observation)
        self.observation_space, self.action_space = self.view.observation_space, self.view.action_space

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin an episode. `options`: awake, those of the track's reset (`start_tile`, `reverse`, `randomize`); no others."""
        super().reset(seed=seed, options=options)
        seed = int(self.np_random.integers(2**31)) if seed is None else seed
        with one_thread():
            return self.view(self.mind.reset([seed], options))[0], {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Act: (A,), in the agent's own form; what is out of bounds is clipped.

        Raises:
            Refused: the action has another shape or is no finite number, or the agent is broken.
        """
        with one_thread():
            step = sound(self.mind.step(read_actions(self.mind, action)[None]))
        info = {"off_road": float(step.off_road[0])}
        return (
            self.view(step.final_observation)[0],
            float(step.reward[0]),
            bool(step.terminated[0]),
            bool(step.truncated[0]),
            info,
        )

    def render(self) -> np.ndarray | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The frame, (S, S, 3) uint8."""
        return self.mind.render() if self.render_mode == "rgb_array" else None


def make_dream(
    agent: str | Path | Agent, render_mode: str | None = None, observation: Observation = "zh", **settings: Any
) -> MindEnv:
    """`gymnasium.make("dreamlap/Dream-v0", agent=PATH)`: one dream; `settings` are those of `DreamConfig`.

    Without `from_start`, dreams begin with the agent's moments as they come.
    """
    return MindEnv(_dream(agent, 1, settings), render_mode, observation)


def make_dream_vector(
    num_envs: int, agent: str | Path | Agent, render_mode: str | None = None, observation: Observation = "zh", **settings: Any
) -> MindVectorEnv:
    """`gymnasium.make_vec("dreamlap/Dream-v0", num_envs=1024, agent=PATH)`."""
    return MindVectorEnv(_dream(agent, num_envs, settings), render_mode, observation)


def make_awake(agent: str | Path | Agent, render_mode: str | None = None, observation: Observation = "zh") -> MindEnv:
    """`gymnasium.make("dreamlap/Awake-v0", agent=PATH)`: the fast track through the agent's V and M."""
    return MindEnv(Awake(_agent(agent), 1), render_mode, observation)


def make_awake_vector(
    num_envs: int, agent: str | Path | Agent, render_mode: str | None = None, observation: Observation = "zh"
) -> MindVectorEnv:
    """`gymnasium.make_vec("dreamlap/Awake-v0", num_envs=8, agent=PATH)`."""
    return MindVectorEnv(Awake(_agent(agent), num_envs), render_mode, observation)


def _dream(agent: str | Path | Agent, num_envs: int, settings: dict[str, Any]) -> Dream:
    config = DreamConfig(**settings)
    return Dream(_agent(agent), num_envs, config, from_start=config.from_start if "from_start" in settings else None)


def _agent(agent: str | Path | Agent) -> Agent:
    return agent if isinstance(agent, Agent) else load_agent(agent)
