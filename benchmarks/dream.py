"""How many steps a second the dream makes, beside the stock track on the same cores.

A step of the dream is two matrix products, the LSTM's gates and the heads, of some 0.8 MFLOP in all: `make limits` says which
share of the machine's own product it gets.
"""

import time

import gymnasium as gym
import numpy as np
import torch
from rich.table import Table

from dreamlap.agent import AgentConfig, Starts, build_agent
from dreamlap.device import Autocast, choose_autocast, choose_device
from dreamlap.learn.ppo import dreams
from dreamlap.mind import Dream, DreamConfig
from dreamlap.parallel import in_parallel, side_by_side
from dreamlap.progress import console

SECONDS = 6.0
TOGETHER = 10
"""Steps that a shard dreams before it waits for the others; when C is trained, it is 50."""


def stock_rate(seconds: float) -> float:
    """Steps a second of the stock track in one process, resets included."""
    env = gym.make("CarRacing-v3")
    env.reset(seed=0)
    action, steps, began = np.array([0.1, 0.3, 0.0], np.float32), 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        _, _, terminated, truncated, _ = env.step(action)
        steps += 1
        if terminated or truncated:
            env.reset()
    return steps / (time.perf_counter() - began)


def dream_rate(num_envs: int, device: torch.device, autocast: Autocast, seconds: float = SECONDS) -> float:
    """Steps a second of `num_envs` dreams with the paper's shapes, side by side in shards as C is trained in them."""
    agent = build_agent(AgentConfig()).to(device)
    agent.starts = Starts(torch.randn(512, 32, device=device), torch.randn(512, agent.memory.state_size, device=device) * 0.1)
    minds, steps = dreams(agent, num_envs, DreamConfig()), 0

    def live(mind: Dream) -> None:
        action = torch.zeros(mind.num_envs, 2, device=device)
        with autocast():
            for _ in range(TOGETHER):
                mind.step(action)

    for mind in minds:
        mind.reset(range(mind.num_envs))
    list(side_by_side(live, minds))  # warm
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        list(side_by_side(live, minds))
        steps += TOGETHER
    return steps * num_envs / (time.perf_counter() - began)


def main() -> None:
    """Print the table."""
    device = choose_device("cpu")
    stock = sum(in_parallel(stock_rate, [SECONDS, SECONDS], 2))
    table = Table("what", "steps/s in float32", "x stock", "in bfloat16", "x stock", title="on two cores")
    table.add_row("stock CarRacing-v3, two processes", f"{stock:,.0f}", "1", "", "")
    for num_envs in (64, 256, 1024, 4096):
        rates = [dream_rate(num_envs, device, choose_autocast(precision, device)) for precision in ("float32", "bfloat16")]
        table.add_row(
            f"dream, {num_envs} at once", *(told for rate in rates for told in (f"{rate:,.0f}", f"{rate / stock:,.0f}"))
        )
    console.print(table)


if __name__ == "__main__":
    main()
