"""The agent as a driver: it collects the data that its own M learns from next."""

from typing import Any

import numpy as np
import torch
from gymnasium.envs.box2d.car_racing import CarRacing

from dreamlap.agent import Agent
from dreamlap.errors import Refused
from dreamlap.progress import counted
from dreamlap.track import TrackConfig

MEMORY = 0.8
"""Share of the exploring noise that is left after a step: uncorrelated noise averages out before the car answers."""


class Wander:
    """Correlated noise on the actions (N, A) of N tracks (Ornstein-Uhlenbeck), of a strength drawn for every episode."""

    def __init__(self, n: int, size: int, noise: tuple[float, float]) -> None:
        """`noise`: bounds between which the noise's standard deviation is drawn."""
        self.noise = noise
        self.deviation = np.zeros((n, size), np.float32)
        self.spread = np.zeros(n, np.float32)
        self.chance: list[np.random.Generator] = [np.random.default_rng(0)] * n

    def reset(self, i: int, rng: np.random.Generator) -> None:
        """Track `i` begins an episode, whose noise comes from `rng`."""
        self.deviation[i] = 0
        self.spread[i] = rng.uniform(*self.noise)
        self.chance[i] = rng

    def step(self) -> np.ndarray:
        """The noise (N, A) of this step."""
        kick = np.stack([rng.normal(size=self.deviation.shape[1]) for rng in self.chance]).astype(np.float32)
        self.deviation = MEMORY * self.deviation + (1 - MEMORY**2) ** 0.5 * self.spread[:, None] * kick
        return self.deviation


def check_sight(knows: TrackConfig, track: Any) -> None:
    """Refuse a track whose frames are not those that a driver knows.

    Raises:
        Refused: the message says how they are to be recorded.
    """
    here = (getattr(track, "size", knows.size), getattr(track, "bar", knows.bar))
    if here != (knows.size, knows.bar):
        raise Refused(
            f"this driver knows frames of size {knows.size}, bar {knows.bar}, not size {here[0]}, bar {here[1]}: "
            f"use --track.size {knows.size} --track.{'' if knows.bar else 'no-'}bar, or another driver"
        )


class AgentDriver:
    """An agent on N tracks at once, with correlated noise on its actions."""

    def __init__(self, agent: Agent, n: int, noise: tuple[float, float] = (0.0, 0.0)) -> None:
        """`noise`: bounds between which the noise's standard deviation is drawn for every episode."""
        self.agent = agent
        self.state = agent.memory.initial(n)
        self.action = self.state.new_zeros(n, agent.actions.size)
        self.wander = Wander(n, agent.actions.size, noise)

    def reset(self, i: int, track: CarRacing, rng: np.random.Generator) -> None:
        """See `Driver.reset`."""
        knows = self.agent.config.track
        check_sight(knows, track)
        if (repeat := getattr(track, "repeat", knows.repeat)) != knows.repeat:
            raise Refused(
                f"this agent's actions last {counted(knows.repeat, 'step')}, not {repeat}: use --track.repeat {knows.repeat}, "
                "or another driver"
            )
        self.state[i] = 0
        self.action[i] = 0
        self.wander.reset(i, rng)

    @torch.no_grad()
    def act(self, frames: np.ndarray) -> np.ndarray:
        """See `Driver.act`."""
        z, observation = self.agent.perceive(frames, self.state)
        wish = self.agent.controller.act(observation) + torch.from_numpy(self.wander.step()).to(z.device)
        self.action = self.agent.execute(wish, self.action)
        self.state = self.agent.memory.step(z, self.action, self.state)
        return self.agent.actions.to_stock(self.action.cpu().numpy())
