"""What the tests share: agents and episodes small enough to be made on the spot."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from dreamlap.agent import Agent, AgentConfig, Starts, build_agent
from dreamlap.episodes import Episode
from dreamlap.memory import MemoryConfig
from dreamlap.vision import VisionConfig


def pytest_configure(config: pytest.Config):
    """Keep each process of pytest-xdist, and the runs that it starts, to a core of its own.

    Two runs of two threads on two cores wait for each other most of the time. And of two hundred processes that train M on two
    threads about one ends in other bits than the rest (no cause found): what the tests compare are runs of one thread.
    """
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    if worker and hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[int(worker[2:]) % len(cores)]})


SMALL = AgentConfig(vision=VisionConfig(latent=4), memory=MemoryConfig(hidden=8, mixtures=3))


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)  # tiny tensors: a second thread only waits


@pytest.fixture
def agent() -> Agent:
    """An untrained agent with a few moments to dream from."""
    agent = build_agent(SMALL, seed=1)
    chance = torch.Generator().manual_seed(0)
    agent.starts = Starts(torch.randn(5, 4, generator=chance), torch.randn(5, 16, generator=chance) * 0.1)
    return agent


def never_end(agent: Agent) -> None:
    """Let its dreams end at their horizon alone."""
    with torch.no_grad():
        agent.memory.scalar_head.weight.zero_()
        agent.memory.scalar_head.bias.copy_(torch.tensor([0.0, -100.0, 0.0]))


@pytest.fixture
def path(agent: Agent, tmp_path: Path) -> str:
    """The folder of an agent whose dreams end at their horizon alone."""
    never_end(agent)
    agent.save(tmp_path / "agent")
    return str(tmp_path / "agent")


@pytest.fixture
def episode() -> Episode:
    """Forty steps whose frames, actions and rewards all name the step they belong to."""
    steps = 40
    frames = np.arange(steps + 1, dtype=np.uint8)[:, None, None, None] * np.ones((1, 64, 64, 3), np.uint8)
    actions = np.stack([np.full(3, t / 100, np.float32) for t in range(steps)])
    rewards = np.arange(steps, dtype=np.float32)
    return Episode(frames, actions, rewards, np.arange(steps + 1, dtype=np.float32), True, False, {"driver": "test"})
