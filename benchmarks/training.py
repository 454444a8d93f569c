"""How fast V, M and C learn alone, and beside other work: one busy process, and two.

    python -m benchmarks.training

Every stage of the preset `demo` learns for some seconds, on a little data that is collected first. A stage that keeps less
than half of its rate beside one busy process, or less than two fifths beside two, is marked.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import torch
from rich.table import Table

from dreamlap.agent import Agent, build_agent
from dreamlap.control import ActorCritic
from dreamlap.device import choose_autocast, choose_device, cores
from dreamlap.drivers import DriverConfig
from dreamlap.episodes import EpisodeFile, EpisodeStore
from dreamlap.episodes.latents import Latents, encode_episodes
from dreamlap.episodes.record import collect
from dreamlap.learn.memory import dream_starts, fit_memory
from dreamlap.learn.ppo import dreams, train_ppo
from dreamlap.learn.vision import fit_vision
from dreamlap.presets import PRESETS
from dreamlap.progress import console
from dreamlap.run import Stage

LEAST = {0: 1.0, 1: 0.5, 2: 0.4}
"""Busy processes beside a training -> the share of its rate that it is to keep."""


def data(folder: Path, device: torch.device) -> tuple[Agent, list[EpisodeFile], Latents]:
    """A fresh agent of the demo, 16 drives of 300 steps, and what its V makes of them."""
    config = PRESETS["demo"].config
    agent, store = build_agent(config.agent).to(device), EpisodeStore(folder / "episodes")
    collect(store, "drive", 16, DriverConfig("autopilot"), config.track, 0, steps=300)
    episodes = list(store)
    latents = encode_episodes(agent.vision, episodes, agent.actions, config.track.bar)
    agent.starts = dream_starts(agent.memory, latents, config.memory.burn_in, 0.1, 0, 0.0, 1000, 0)
    return agent, episodes, latents


def stages(folder: Path, device: torch.device) -> dict[str, tuple[str, int, Callable[[int], object]]]:
    """Name of a stage -> what is counted, how many of them take some seconds, and the stage: it does so many."""
    config, autocast = PRESETS["demo"].config, choose_autocast("auto", device)
    agent, episodes, latents = data(folder, device)
    shown = torch.ones(len(episodes), dtype=torch.bool, device=device)

    def stage() -> Stage:
        return Stage(Path(tempfile.mkdtemp(dir=folder)))

    def see(updates: int) -> None:
        vision = replace(config.vision_training, updates=updates)
        fit_vision(stage(), agent.vision, episodes, vision, config.track.bar, 0, autocast)

    def expect(updates: int) -> None:
        memory = replace(config.memory_training, updates=updates)
        fit_memory(stage(), agent.memory, latents, shown, 0, memory, 0, autocast)

    def drive(updates: int) -> None:
        ppo = replace(config.ppo, updates=updates)
        assert isinstance(agent.controller, ActorCritic)
        train_ppo(stage(), agent.controller, dreams(agent, ppo.num_envs, config.dream), [ppo], 0, autocast)

    def look(number: int) -> None:
        encode_episodes(agent.vision, episodes * (number // len(episodes)), agent.actions, config.track.bar, autocast)

    return {
        "V learns": ("updates", 160, see),
        "V encodes": ("episodes", 160, look),
        "M learns": ("updates", 120, expect),
        "C learns": ("updates", 10, drive),
    }


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """So many processes that do nothing but keep a core busy."""
    working = [get_context("spawn").Process(target=_work, daemon=True) for _ in range(processes)]
    for process in working:
        process.start()
    time.sleep(1.0 if working else 0.0)  # until they are up
    yield
    for process in working:
        process.kill()
        process.join()


def _work() -> None:
    while True:
        sum(range(10_000))


def main() -> None:
    """Print the table."""
    table = Table("stage", "a second", *(f"beside {n}" for n in LEAST if n), title=f"{cores()} cores")
    with tempfile.TemporaryDirectory() as folder:
        for name, (what, many, stage) in stages(Path(folder), choose_device("cpu")).items():
            stage(many // 4)
            rates = {}
            for processes in LEAST:
                with busy(processes):
                    began = time.perf_counter()
                    stage(many)
                    rates[processes] = many / (time.perf_counter() - began)
            kept = {n: rate / rates[0] for n, rate in rates.items() if n}
            told = [f"{rates[n]:.1f}, {share:.0%}" + " (too little)" * (share < LEAST[n]) for n, share in kept.items()]
            table.add_row(name, f"{rates[0]:.1f} {what}", *told)
    console.print(table)


if __name__ == "__main__":
    main()
