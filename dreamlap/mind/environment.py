"""A mind as a Gymnasium environment, single or vectorized, for whatever speaks Gymnasium rather than tensors."""

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from dreamlap.agent import Agent, load
from dreamlap.mind.awake import Awake
from dreamlap.mind.dream import Dream, DreamConfig
from dreamlap.mind.interface import Mind

FPS = 50


def _spaces(mind: Mind) -> tuple[spaces.Box, spaces.Box]:
    observation = spaces.Box(-np.inf, np.inf, (mind.observation_size,), np.float32)
    form = mind.agent.actions
    return observation, spaces.Box(form.low, form.high, dtype=np.float32)


class MindVectorEnv(VectorEnv[np.ndarray, np.ndarray, np.ndarray]):
    """N minds as a vector environment: observations [z, h] (N, Z + H) float32, actions (N, A) in the agent's own form.

    An episode that ends is followed by the next in the same step (`AutoresetMode.SAME_STEP`): its last observation is
    `info["final_obs"]`. `info["grass"]` (N,) is the share of grass around the car.
    """

    def __init__(self, mind: Mind, render_mode: str | None = None):
        self.mind, self.num_envs, self.render_mode = mind, mind.num_envs, render_mode
        self.metadata = {
            "render_modes": ["rgb_array"],
            "render_fps": FPS,
            "autoreset_mode": AutoresetMode.SAME_STEP,
        }
        self.single_observation_space, self.single_action_space = _spaces(mind)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin N episodes: environment i from seed + i, or from the i-th of a list of seeds."""
        super().reset(seed=seed if isinstance(seed, int) else None, options=options)
        given = [seed + i for i in range(self.num_envs)] if isinstance(seed, int) else seed or [None] * self.num_envs
        seeds = [int(self.np_random.integers(2**31)) if s is None else s for s in given]
        return self.mind.reset(seeds).cpu().numpy(), {}

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Act in every mind."""
        step = self.mind.step(torch.from_numpy(np.asarray(actions, np.float32)).to(self.mind.device))
        observation, reward, terminated, truncated, grass, final = (part.cpu().numpy() for part in step)
        info: dict[str, Any] = {"grass": grass}
        ended = terminated | truncated
        if ended.any():
            info |= {"final_obs": final, "_final_obs": ended}
        return observation, reward, terminated, truncated, info

    def render(self) -> tuple[np.ndarray, ...] | None:
        """The first mind's frame, as the one element of a tuple."""
        return (self.mind.render(),) if self.render_mode == "rgb_array" else None


class MindEnv(gym.Env[np.ndarray, np.ndarray]):
    """One mind as an environment: observation [z, h] (Z + H,) float32, action (A,) in the agent's own form."""

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": FPS}  # noqa: RUF012 (gymnasium's own type)

    def __init__(self, mind: Mind, render_mode: str | None = None):
        self.mind, self.render_mode = mind, render_mode
        self.observation_space, self.action_space = _spaces(mind)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin an episode."""
        super().reset(seed=seed, options=options)
        seed = int(self.np_random.integers(2**31)) if seed is None else seed
        return self.mind.reset([seed])[0].cpu().numpy(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Act."""
        step = self.mind.step(torch.from_numpy(np.asarray(action, np.float32))[None].to(self.mind.device))
        observation = step.final_observation[0].cpu().numpy()
        info = {"grass": float(step.grass[0])}
        return observation, float(step.reward[0]), bool(step.terminated[0]), bool(step.truncated[0]), info

    def render(self) -> np.ndarray | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The frame, (S, S, 3) uint8."""
        return self.mind.render() if self.render_mode == "rgb_array" else None


def make_dream(agent: str | Path | Agent, render_mode: str | None = None, **settings: Any) -> MindEnv:
    """`gymnasium.make("dreamlap/Dream-v0", agent=PATH)`: one dream; `settings` are those of `DreamConfig`."""
    return MindEnv(Dream(_agent(agent), 1, DreamConfig(**settings)), render_mode)


def make_dream_vector(
    num_envs: int, agent: str | Path | Agent, render_mode: str | None = None, **settings: Any
) -> MindVectorEnv:
    """`gymnasium.make_vec("dreamlap/Dream-v0", num_envs=1024, agent=PATH)`."""
    return MindVectorEnv(Dream(_agent(agent), num_envs, DreamConfig(**settings)), render_mode)


def make_awake(agent: str | Path | Agent, render_mode: str | None = None) -> MindEnv:
    """`gymnasium.make("dreamlap/Awake-v0", agent=PATH)`: the fast track through the agent's V and M."""
    return MindEnv(Awake(_agent(agent), 1), render_mode)


def make_awake_vector(num_envs: int, agent: str | Path | Agent, render_mode: str | None = None) -> MindVectorEnv:
    """`gymnasium.make_vec("dreamlap/Awake-v0", num_envs=8, agent=PATH)`."""
    return MindVectorEnv(Awake(_agent(agent), num_envs), render_mode)


def _agent(agent: str | Path | Agent) -> Agent:
    return agent if isinstance(agent, Agent) else load(agent)
