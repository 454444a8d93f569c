"""What a GPU makes of it: every stage's rate on a device, beside the limit of its own matrix products, and whether it is right.

    python -m benchmarks.gpu [DEVICE]

First what V, M and C compute there is compared with float64 on the CPU, and a recorded update with one that is not. Then the
rates: of the device itself, of the dream, and of all that learns. It asks nothing and takes some five minutes.
"""

import copy
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from rich.table import Table
from torch import Tensor

from benchmarks.machine import ceilings, rate, wait
from benchmarks.training import stages
from dreamlap.agent import Agent, load_agent
from dreamlap.config.training import CMAESConfig, PPOConfig
from dreamlap.control import ActorCritic
from dreamlap.control.linear import Linear
from dreamlap.device import Autocast, choose_autocast, choose_device
from dreamlap.learn.loop import set_rate
from dreamlap.learn.ppo import Learner
from dreamlap.learn.rollouts import dream_fitness
from dreamlap.memory.mixture import mean
from dreamlap.mind import Dream, DreamConfig
from dreamlap.parallel import CPU
from dreamlap.progress import console
from dreamlap.recorded import Recorded

SECONDS = 3.0
STEPS = 25
"""Steps of the dream that are recorded as one graph."""
AGENT = "unprivileged"
FLOPS = 0.84e6
"""Of a step of the dream with the paper's shapes: two matrix products."""


def errors(agent: Agent, device: torch.device, autocast: Autocast) -> dict[str, float]:
    """Greatest relative error of what V, M and C compute on the device, beside float64 on the CPU."""
    starts = agent.starts
    assert starts is not None
    z, state = starts.z.cpu(), starts.state.cpu()
    action = torch.rand(len(z), agent.memory.action, generator=torch.Generator().manual_seed(0)) * 2 - 1
    frames = agent.vision.decode(starts.z).cpu()

    def answers(made: Agent, kind: torch.dtype, context: Callable[[], Any]) -> dict[str, Tensor]:
        device = next(made.memory.parameters()).device
        assert isinstance(made.controller, ActorCritic)
        with torch.no_grad(), context():
            seen, stepped = (frames.to(device).permute(0, 3, 1, 2) / 255).to(kind), made.memory
            state_after = stepped.step(z.to(device, kind), action.to(device, kind), state.to(device, kind))
            expected = stepped.foresee(state_after)
            observation = torch.cat([z.to(device, kind), made.memory.h(state.to(device, kind))], -1)
            return {
                "V encodes": made.vision.encoder(seen),
                "V draws": made.vision.decoder(z.to(device, kind)),
                "M's state": state_after,
                "M's next z": mean(expected.z),
                "M's reward": expected.reward,
                "C acts": made.controller.actor(observation).tanh(),
            }

    exact = copy.deepcopy(agent).to(CPU)
    for part in (exact.vision, exact.memory, exact.controller):
        part.double()
    right, found = answers(exact, torch.float64, nullcontext), answers(agent, torch.float32, autocast)
    return {name: float((found[name].cpu().double() - value).abs().max() / value.abs().max()) for name, value in right.items()}


def ppo_update(
    agent: Agent, config: PPOConfig, autocast: Autocast, record: bool = True
) -> tuple[Callable[[], object], ActorCritic]:
    """An update of PPO in the dreams of `agent`, as something to be called again and again, and the C that it trains."""
    device, controller = agent.state.device, copy.deepcopy(agent.controller)
    assert isinstance(controller, ActorCritic)
    optimizer = torch.optim.Adam(controller.parameters(), config.learning_rate, eps=1e-5, fused=True)
    set_rate(optimizer, config.learning_rate)
    mind = Dream(agent, config.num_envs, DreamConfig())
    learner = Learner(controller, [mind], optimizer, autocast)
    learn = learner if record else learner.update
    seen = [mind.reset(range(config.num_envs))]
    chance = torch.Generator(device).manual_seed(0)

    def update() -> None:
        noise = torch.randn(config.steps, config.num_envs, mind.action_size, generator=chance, device=device)
        steps = config.steps * config.num_envs
        order = torch.stack([torch.randperm(steps, generator=chance, device=device) for _ in range(config.epochs)])
        seen[:], _ = learn(config, seen, [noise], order)

    return update, controller


def recorded_alike(agent: Agent, autocast: Autocast) -> bool:
    """Whether four updates end in the same bits, recorded or not."""
    ends = []
    for record in (True, False):
        update, controller = ppo_update(agent, PPOConfig(num_envs=256, steps=20), autocast, record)
        for _ in range(4):
            update()
        ends.append([part.detach().clone() for part in controller.parameters()])
    return all(torch.equal(one, other) for one, other in zip(*ends, strict=True))


def dream_rate(agent: Agent, count: int, autocast: Autocast, seconds: float = SECONDS) -> float:
    """Steps a second of `count` dreams, recorded; the actions are those of C."""
    mind = Dream(agent, count, DreamConfig())
    seen = mind.reset(range(count))

    def steps(seen: Tensor, *present: Tensor) -> tuple[Tensor, ...]:
        mind.present = present
        with torch.no_grad(), autocast():
            for _ in range(STEPS):
                seen = mind.step(agent.controller.act(seen)).observation
        return seen, *mind.present

    recorded, now = Recorded(steps), [seen, *mind.present]

    def go_on() -> None:
        now[:] = recorded(*now)

    return count * STEPS * rate(go_on, agent.state.device, seconds)


def cmaes_rate(agent: Agent, autocast: Autocast, seconds: float = SECONDS) -> float:
    """Dream steps a second of a generation of the paper's size: 64 candidates of 16 rollouts, 200 steps each."""
    config, linear = CMAESConfig(population=64, rollouts=16, steps=200), copy.copy(agent)
    like = Linear(agent.memory.latent, agent.memory.hidden, agent.memory.action).to(agent.state.device)
    linear.controller = like
    fitness = dream_fitness(linear, DreamConfig(), config, autocast)
    size = sum(part.numel() for part in like.parameters())
    candidates = torch.randn(64, size, generator=torch.Generator().manual_seed(0)) * 0.1
    return 64 * 16 * 200 * rate(lambda: fitness(candidates, list(range(16))), agent.state.device, seconds)


def main(name: str = "auto") -> None:
    """Print the checks and the table."""
    device = choose_device(name)
    agent = load_agent(AGENT, device)
    plain, mixed = choose_autocast("float32", device), choose_autocast("bfloat16", device)
    called = torch.cuda.get_device_name() if device.type == "cuda" else "this CPU"
    console.print(f"{called}, torch {torch.__version__}")
    limits = ceilings(device)
    console.print(
        f"matrix product: {limits['float32'] / 1e12:,.1f} TFLOP/s in float32, {limits['bfloat16'] / 1e12:,.1f} in bfloat16; "
        f"copy: {limits['copy'] / 1e9:,.0f} GB/s"
    )
    check = Table("what", "float32", "bfloat16", title="greatest error beside float64 on the CPU, of the greatest value")
    found = [errors(agent, device, precision) for precision in (plain, mixed)]
    for what in found[0]:
        check.add_row(what, *(f"{each[what]:.1e}" for each in found))
    console.print(check)
    console.print(f"recorded and not: {'the same bits' if recorded_alike(agent, mixed) else 'OTHER BITS'}")
    table = Table("what", "float32", "bfloat16", "x of its product ceiling", title="a second")
    for count in (1024, 4096, 16384, 65536) if device.type == "cuda" else (1024,):
        rates = [dream_rate(agent, count, precision) for precision in (plain, mixed)]
        share = " ".join(f"{r * FLOPS / limits[n]:.0%}" for r, n in zip(rates, ("float32", "bfloat16"), strict=True))
        table.add_row(f"steps of {count:,} dreams, C acting", *(f"{r:,.0f}" for r in rates), share)
    for config in (PPOConfig(), PPOConfig(num_envs=8192, minibatch=32768), PPOConfig(num_envs=32768, minibatch=131072)):
        if device.type != "cuda" and config.num_envs > 512:
            continue
        rates = []
        for precision in (plain, mixed):
            update, _ = ppo_update(agent, config, precision)
            rates.append(config.num_envs * config.steps * rate(update, device, SECONDS))
        told = f"steps of PPO with {config.num_envs:,} dreams, minibatches of {config.minibatch:,}"
        table.add_row(told, *(f"{r:,.0f}" for r in rates), "")
    table.add_row("steps of CMA-ES in the dream, 64 x 16", *(f"{cmaes_rate(agent, each):,.0f}" for each in (plain, mixed)), "")
    with tempfile.TemporaryDirectory() as folder:
        for name, (what, many, stage) in stages(Path(folder), device).items():
            many *= 8 if device.type == "cuda" else 1  # enough for what is kept now and then not to matter
            stage(many // 8)
            wait(device)
            began = time.perf_counter()
            stage(many)
            wait(device)
            table.add_row(f"{name}: {what}", "", f"{many / (time.perf_counter() - began):,.1f}", "")
    console.print(table)
    if device.type == "cuda":
        console.print(f"peak memory of the GPU: {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB")


if __name__ == "__main__":
    main(*sys.argv[1:])
