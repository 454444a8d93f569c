"""How many steps a second the dream makes, beside the stock track on the same cores.

The limit: a dream step is two matrix products (the LSTM's gates and the heads) of some 0.8 MFLOP in all; the table prints
what the machine's own matrix product reaches and which share of it the dream gets.
"""

import time

import gymnasium as gym
import numpy as np
import torch
from rich.table import Table

from dreamlap.agent import AgentConfig, Starts, build_agent
from dreamlap.device import choose_device, cores
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


def dream_rate(num_envs: int, device: torch.device, seconds: float = SECONDS) -> float:
    """Steps a second of `num_envs` dreams with the paper's shapes, side by side in shards as C is trained in them."""
    agent = build_agent(AgentConfig()).to(device)
    agent.starts = Starts(torch.randn(512, 32, device=device), torch.randn(512, agent.memory.state_size, device=device) * 0.1)
    minds, steps = dreams(agent, num_envs, DreamConfig()), 0

    def live(mind: Dream) -> None:
        action = torch.zeros(mind.num_envs, 2, device=device)
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


def matrix_rate() -> float:
    """Floating-point operations a second of a large matrix product on all cores."""
    torch.set_num_threads(cores())
    a = torch.randn(2048, 2048)
    product = a @ a
    began = time.perf_counter()
    for _ in range(10):
        product = a @ product / 2048
    return 10 * 2 * 2048**3 / (time.perf_counter() - began)


def main() -> None:
    """Print the table."""
    device = choose_device("cpu")
    stock = sum(in_parallel(stock_rate, [SECONDS, SECONDS], 2))
    table = Table("what", "steps/s", "x stock", title="on two cores")
    table.add_row("stock CarRacing-v3, two processes", f"{stock:,.0f}", "1")
    for num_envs in (64, 256, 1024, 4096):
        rate = dream_rate(num_envs, device)
        table.add_row(f"dream, {num_envs} at once", f"{rate:,.0f}", f"{rate / stock:,.0f}")
    console.print(table)
    ceiling = matrix_rate()
    console.print(f"matrix product: {ceiling / 1e9:,.0f} GFLOP/s, so at most {ceiling / 0.84e6:,.0f} dream steps/s in float32")


if __name__ == "__main__":
    main()
