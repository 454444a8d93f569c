"""How close each stage is to what the machine can do, and docs/limits.md: `make limits`.

    python -m benchmarks.limits

What a unit of work costs is counted, operation by operation: floating-point operations, and bytes as if nothing stayed in a
cache. The machine's own ceilings, the product of two 2048 x 2048 matrices and a copy, are measured in the same run, on as many
threads as there are cores. Rates are those of whole stages with all that belongs to them, logging and checkpoints included. A
share is operations x rate / ceiling. Three minutes, with nothing else running.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium
import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.dream import dream_rate
from benchmarks.machine import SECONDS, ceilings
from benchmarks.scores import table
from benchmarks.training import data, stages
from dreamlap.agent import Agent, build_agent
from dreamlap.config.training import CMAESConfig
from dreamlap.control import ActorCritic
from dreamlap.control.linear import Linear, Population
from dreamlap.device import Autocast, choose_autocast, choose_device, cores
from dreamlap.episodes.latents import windows
from dreamlap.files import replacing
from dreamlap.learn.memory import memory_losses
from dreamlap.learn.ppo import Rollout, ppo_loss, roll_out
from dreamlap.learn.rollouts import awake_fitness, dream_fitness
from dreamlap.mind import Dream
from dreamlap.parallel import CPU, in_parallel
from dreamlap.presets import PRESETS
from dreamlap.progress import console
from dreamlap.track import FastCarRacing
from dreamlap.vision.vae import pixels, reconstruction_error

PAGE = Path("docs/limits.md")
DREAM, ASLEEP, AWAKE = "1,024 dreams", "C evolves in the dream", "C evolves on the track"
HEAD = ("stage", "unit", "MFLOP", "kB", "units/s", "of the float32 product", "of the bfloat16 product", "of the copy")
CANDIDATES, ROLLOUTS, EVOLVED = 16, 16, 200
"""Of the evolution that is measured, and steps of each rollout."""
EVOLUTION = CMAESConfig(population=CANDIDATES, rollouts=ROLLOUTS, steps=EVOLVED, patience=EVOLVED + 1)
TEXT = """# Limits

Made by `make limits`, on {cores} cores of one machine on one day. Its own ceilings, in the same minutes: {fp32:,.0f} GFLOP/s
for a product of two 2,048 × 2,048 matrices in float32, {bf16:,.0f} in bfloat16; {copy:,.0f} GB/s for a copy, read and written.

{table}
Operations are those of matrix products and convolutions, forward and backward. Bytes are what all operations read and write,
as if nothing stayed in a cache: more than 100 % of the copy means that caches help. Rates are those of whole stages, with
sampling, logging and checkpoints. V encodes: it turns the frames of new drives into z, which is what M learns from.

The track itself makes {tracks:,.0f} steps/s on these cores. With V's and M's operations at the {precision} product's rate, that
allows {both:,.0f} steps/s of evolution on the track; it reaches {driven:,.0f}, {share:.0%}.

With the paper's V and M (`ha2018`), evolution on the track makes {paper:,.0f} steps/s. The same candidates one by one on stock
tracks, in {cores} processes, make {stock:,.0f}. The ratio is **{times:.1f}**.
"""


class Work(NamedTuple):
    """What one unit of a stage's work costs."""

    unit: str
    flops: float
    bytes: float


class Bytes(TorchDispatchMode):
    """Adds up what all operations read and write."""

    total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if not func.is_view:
            self.total += sum(
                x.numel() * x.element_size() for x in tree_leaves((args, kwargs, result)) if isinstance(x, Tensor)
            )
        return result


def lstm_flops(x: Any, w_input: Any, w_hidden: Any, *_: Any, out_shape: Any = None, **__: Any) -> int:
    """Of oneDNN's LSTM over a sequence: every step is a product with both matrices."""
    return 2 * x[0] * x[1] * (w_input[0] * w_input[1] + w_hidden[0] * w_hidden[1])


def lstm_backward_flops(*args: Any, **kwargs: Any) -> int:
    """Twice as many: for the inputs, and for the weights."""
    return 2 * lstm_flops(*args, **kwargs)


KNOWN = {
    torch.ops.aten.mkldnn_rnn_layer: lstm_flops,
    torch.ops.aten.mkldnn_rnn_layer_backward: lstm_backward_flops,
}


def count(unit: str, units: int, work: Callable[[], object]) -> Work:
    """What `work`, which does so many units, costs each of them."""
    with FlopCounterMode(display=False, custom_mapping=KNOWN) as counter, Bytes() as moved:
        work()
    return Work(unit, counter.get_total_flops() / units, moved.total / units)


def works(folder: Path, autocast: Autocast) -> dict[str, Work]:
    """What each stage does, at the sizes of the demo."""
    config = PRESETS["demo"].config
    agent, episodes, latents = data(folder, CPU)
    controller = agent.controller
    assert isinstance(controller, ActorCritic)
    frames, training = torch.from_numpy(episodes[0].frames()[:64]), config.vision_training
    batch = windows(
        latents, torch.arange(64) % len(episodes), torch.zeros(64, dtype=torch.int64), config.memory_training.window
    )

    def see() -> None:
        with autocast():
            terms = agent.vision.terms(frames, torch.Generator().manual_seed(0), training.alone)
        error = reconstruction_error(terms.logits, pixels(frames), torch.ones(64, 64), training.likelihood)
        (error + terms.kl["z"].sum()).backward()

    def look() -> None:
        with torch.no_grad(), autocast():
            agent.vision.encode(frames)

    def expect() -> None:
        sum(memory_losses(agent.memory, batch, torch.randn(batch.mu.shape), autocast).values(), torch.zeros(())).backward()

    mind = Dream(agent, 256, config.dream)
    seen = mind.reset(range(256))

    def dream() -> None:
        mind.step(torch.zeros(256, agent.memory.action))

    def practise() -> None:
        with autocast():
            rollout, _, _ = roll_out(
                mind, controller, seen, config.ppo, torch.randn(config.ppo.steps, 256, agent.memory.action)
            )
        flat = Rollout(*(part.flatten(0, 1) for part in rollout))
        for _ in range(config.ppo.epochs):
            with autocast():
                loss, _ = ppo_loss(controller, flat, config.ppo)
            loss.backward()

    like, tracks = Linear(agent.memory.latent, agent.memory.hidden, agent.memory.action), torch.zeros(256, 64, 64, 3)
    drivers = Population(like, torch.zeros(256, sum(weight.numel() for weight in like.parameters())))

    def evolve() -> None:
        mind.step(drivers.act(seen))

    def evolve_awake() -> None:
        with torch.no_grad(), autocast():
            agent.vision.encode(tracks.byte())
            agent.memory.step(seen[:, : agent.memory.latent], drivers.act(seen), agent.memory.initial(256))

    return {
        "V learns": count("frame", 64, see),
        "V encodes": count("frame", 64, look),
        "M learns": count("step", int(batch.mask.sum()), expect),
        DREAM: count("step", 256, dream),
        "C learns": count("step", 256 * config.ppo.steps, practise),
        ASLEEP: count("step", 256, evolve),
        AWAKE: count("step", 256, evolve_awake),
    }


def rates(folder: Path, autocast: Autocast) -> dict[str, float]:
    """Units of work a second of whole stages, on all cores."""
    found, config = {}, PRESETS["demo"].config
    sizes = {"V learns": 64, "V encodes": 301, "M learns": 64 * 64, "C learns": config.ppo.num_envs * config.ppo.steps}
    for name, (_, many, stage) in stages(folder, CPU).items():
        stage(many // 4)
        began = time.perf_counter()
        stage(many)
        found[name] = sizes[name] * many / (time.perf_counter() - began)
    agent, _, _ = data(folder, CPU)
    agent.controller = Linear(agent.memory.latent, agent.memory.hidden, agent.memory.action)
    torch.nn.init.constant_(agent.memory.scalar_head.bias, -20.0)  # no dream ends before its time
    found[ASLEEP] = evolution_rate(agent, dream_fitness(agent, config.dream, EVOLUTION, autocast))
    found[AWAKE] = evolution_rate(agent, awake_fitness(agent, cores(), autocast, EVOLUTION))
    return found | {DREAM: dream_rate(1024, CPU, autocast)}


def evolution_rate(agent: Agent, fitness: Callable[[Tensor, list[int]], object]) -> float:
    """Steps a second of a generation, after one that does not count."""
    candidates = torch.zeros(CANDIDATES, sum(weight.numel() for weight in agent.controller.parameters()))
    fitness(candidates, list(range(ROLLOUTS)))
    began = time.perf_counter()
    fitness(candidates, list(range(ROLLOUTS)))
    return CANDIDATES * ROLLOUTS * EVOLVED / (time.perf_counter() - began)


def stock_rate(seconds: float) -> float:
    """Steps a second of one candidate of the paper's system after another, on the stock track, in one process."""
    agent, track, steps = build_agent(PRESETS["ha2018"].config.agent), gymnasium.make("CarRacing-v3").unwrapped, 0
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        frame, _ = track.reset(seed=0)
        agent.reset()
        for _ in range(EVOLVED):
            frame = track.step(agent.act(frame))[0]
        steps += EVOLVED
    return steps / (time.perf_counter() - began)


def track_rate(seconds: float) -> float:
    """Steps a second of the fast track alone in one process, driving straight on."""
    track, steps = FastCarRacing(size=64), 0
    track.reset(seed=0)
    began = time.perf_counter()
    while time.perf_counter() - began < seconds:
        for _ in range(EVOLVED):
            track.step(np.zeros(3, np.float32))
        track.reset(seed=0)
        steps += EVOLVED
    return steps / (time.perf_counter() - began)


def main() -> None:
    """Print and write the table."""
    autocast = choose_autocast("auto", choose_device("cpu"))
    with tempfile.TemporaryDirectory() as folder:
        costs = works(Path(folder) / "works", autocast)
        limit, tracks = ceilings(CPU), sum(in_parallel(track_rate, [SECONDS] * cores(), cores()))
        measured = rates(Path(folder) / "rates", autocast)
    rows = []
    for stage, work in costs.items():
        rate = measured[stage]
        flops, moved = work.flops * rate, work.bytes * rate
        shares = [flops / limit["float32"], flops / limit["bfloat16"], moved / limit["copy"]]
        cost = (f"{work.flops / 1e6:,.2f}", f"{work.bytes / 1e3:,.0f}", f"{rate:,.0f}")
        rows.append((stage, work.unit, *cost, *(f"{share:.0%}" for share in shares)))
    precision = "bfloat16" if limit["bfloat16"] > 1.5 * limit["float32"] else "float32"
    paper = build_agent(PRESETS["ha2018"].config.agent)
    evolved = evolution_rate(paper, awake_fitness(paper, cores(), autocast, EVOLUTION))
    stock = sum(in_parallel(stock_rate, [5 * SECONDS] * cores(), cores()))
    both = 1 / (1 / tracks + costs[AWAKE].flops / limit[precision])
    text = TEXT.format(
        cores=cores(),
        fp32=limit["float32"] / 1e9,
        bf16=limit["bfloat16"] / 1e9,
        copy=limit["copy"] / 1e9,
        table=table(HEAD, rows),
        tracks=tracks,
        precision=precision,
        both=both,
        driven=measured[AWAKE],
        share=measured[AWAKE] / both,
        paper=evolved,
        stock=stock,
        times=evolved / stock,
    )
    with replacing(PAGE) as partial:
        partial.write_text(text, encoding="utf-8")
    console.print(text, markup=False)


if __name__ == "__main__":
    main()
