"""A world that a test can judge: what is best to do in it is known."""

from collections.abc import Sequence

import numpy as np
import torch

from dreamlap.agent import AgentConfig, build_agent
from dreamlap.mind.interface import Step


class Corridor:
    """N one-dimensional worlds in which the reward is how close the action is to 0.5; an episode lasts ten steps."""

    observation_size, action_size, device = 2, 1, torch.device("cpu")
    agent = build_agent(AgentConfig())

    def __init__(self, num_envs: int):
        self.num_envs = num_envs

    def reset(self, seeds: Sequence[int]) -> torch.Tensor:
        self.num_envs = len(seeds)
        self.age = 0
        return torch.ones(self.num_envs, 2)

    def step(self, action: torch.Tensor) -> Step:
        self.age += 1
        ended = torch.full((self.num_envs,), self.age % 10 == 0)
        seen, no = torch.ones(self.num_envs, 2), torch.zeros(self.num_envs, dtype=torch.bool)
        return Step(seen, 1 - (action[:, 0] - 0.5).abs(), no, ended, torch.zeros(self.num_envs), seen)

    def keep(self, rows: torch.Tensor) -> None:
        self.num_envs = int(rows.sum())

    def render(self) -> np.ndarray:
        return np.zeros((self.num_envs, 64, 64, 3), np.uint8)
