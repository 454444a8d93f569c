"""Cores change the time that a training takes, and nothing else."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from dreamlap import parallel
from dreamlap.agent import Starts, build_agent, load
from dreamlap.control import ActorCritic
from dreamlap.device import choose_autocast, cores
from dreamlap.episodes.latents import encode_episodes
from dreamlap.learn.memory import MemoryTraining, fit_memory
from dreamlap.learn.ppo import PPOConfig, dreams, train_ppo
from dreamlap.learn.vision import VisionTraining, fit_vision
from dreamlap.presets import PRESETS
from dreamlap.run import Stage
from tests.test_vision import episodes

CONFIG = PRESETS["debug"].config
FULL = choose_autocast("float32", torch.device("cpu"))


@pytest.mark.parametrize(("asked", "most"), [("1", 1), ("1,4", 1), ("", None), ("0", None), ("many", None), ("9999", None)])
def test_as_many_cores_as_the_process_may_use(asked: str, most: int | None, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    assert cores() == (most or len(os.sched_getaffinity(0)))


def test_a_process_bound_to_one_core_counts_one():
    told = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); from dreamlap.device import cores; print(cores())"
    )
    assert subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True).stdout == "1\n"


def test_cores_do_not_change_what_is_learned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def learned(count: int) -> dict[str, torch.Tensor]:
        monkeypatch.setattr(parallel, "cores", lambda: count)
        agent, folder = build_agent(CONFIG.agent), tmp_path / str(count)
        data = episodes(tmp_path / f"e{count}", 64)
        fit_vision(Stage(folder / "v"), agent.vision, data, VisionTraining(updates=2, batch=7), True, 0, FULL)
        latents = encode_episodes(agent.vision, data, agent.actions, True)
        shown = torch.ones(len(data), dtype=torch.bool)
        memory = MemoryTraining(updates=2, batch=6, window=12)
        fit_memory(Stage(folder / "m"), agent.memory, latents, shown, 0, memory, 0, FULL)
        agent.starts = Starts(latents.mu[:4], torch.zeros(4, agent.memory.state_size))
        assert isinstance(agent.controller, ActorCritic)
        minds, ppo = dreams(agent, 5, CONFIG.dream), PPOConfig(updates=2, num_envs=5, steps=6, minibatch=7)
        train_ppo(Stage(folder / "c"), agent.controller, minds, [ppo], 0, FULL)
        parts = {"vision": agent.vision, "memory": agent.memory, "controller": agent.controller}
        return {f"{name}.{key}": value for name, part in parts.items() for key, value in part.state_dict().items()}

    one, three = learned(1), learned(3)
    assert one.keys() == three.keys()
    assert [name for name, value in one.items() if not torch.equal(value, three[name])] == []


def test_what_goes_wrong_on_a_thread_is_raised_here():
    with pytest.raises(ZeroDivisionError):
        list(parallel.side_by_side(lambda n: 1 / n, [1, 0]))


@pytest.mark.parametrize("name", ["champion", "expert"])
def test_an_agent_acts_with_own_settings_and_leaves_the_others_alone(name: str, monkeypatch: pytest.MonkeyPatch):
    agent, seen, torch_linear = load(name), list[int](), torch.nn.functional.linear

    def linear(*arguments: torch.Tensor) -> torch.Tensor:
        seen.append(torch.get_num_threads())
        return torch_linear(*arguments)

    monkeypatch.setattr(torch.nn.functional, "linear", linear)
    torch.set_num_threads(2)
    try:
        agent.act(np.zeros((96, 96, 3), np.uint8))
        assert set(seen) == {1}
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
