"""How soon V draws as well as the paper's V does after ten minutes: the same frames, the same cores, nothing else running.

    python -m benchmarks.vision [--minutes 10]

The paper's V learns plainly: ConvVAE, float32, batches of 100, Adam with a rate of 1e-4, squared error, a KL divergence that
costs nothing below 16 nats (Ha & Schmidhuber 2018, and its code). Ours is that of the preset `demo`, in bfloat16 where the
hardware has it. It learns in trainings of 25, 50, 100, ... updates, each from scratch and with its whole schedule, until one
draws held-out frames with no greater error. The time of that one counts. The bits count what z holds, too.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import torch
from rich.table import Table

from dreamlap.config.parts import VisionConfig
from dreamlap.device import choose_autocast, choose_device
from dreamlap.drivers import DriverConfig
from dreamlap.episodes import EpisodeFile, EpisodeStore
from dreamlap.episodes.record import collect
from dreamlap.episodes.sampler import FrameSampler
from dreamlap.learn.vision import fit_vision
from dreamlap.measure.vision import bits_per_dimension, rms, sample_frames
from dreamlap.presets import PRESETS
from dreamlap.progress import console, meter
from dreamlap.run import Stage
from dreamlap.seeds import generator
from dreamlap.vision import VAE, build_vision
from dreamlap.vision.vae import pixels

DRIVES, HELD_OUT = 112, 16
"""Drives of 300 steps of the noisy autopilot, and every how many of them is held out."""
BATCH, RATE, FREE_NATS = 100, 1e-4, 16.0
"""Of the paper's V."""
FIRST = 25
"""Updates of our first training; each later one has twice as many."""


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--minutes", type=float, default=10.0, help="how long the paper's V learns")
    limit = options.parse_args().minutes * 60
    choose_device("cpu")
    table = Table("V", "updates", "seconds", "error on held-out frames, of 255", "bits per dimension", "nats in z")
    with tempfile.TemporaryDirectory() as folder:
        store = EpisodeStore(Path(folder) / "episodes")
        collect(store, "drive", DRIVES, DriverConfig("autopilot"), PRESETS["demo"].config.track, 0, steps=300)
        episodes = list(store)
        shown = [episode for number, episode in enumerate(episodes) if number % HELD_OUT]
        held_out = episodes[::HELD_OUT]
        vision, updates, took = papers(shown, limit)
        goal = sight(vision, shown, held_out)
        table.add_row("the paper's", *told(updates, took, goal))
        for vision, updates, seconds in ours(shown, Path(folder)):
            reached = sight(vision, shown, held_out)
            table.add_row("the demo's", *told(updates, seconds, reached))
            if reached["rms"] <= goal["rms"]:
                console.print(table)
                console.print(f"{took / seconds:.1f} times as soon")
                break


def papers(episodes: list[EpisodeFile], limit: float) -> tuple[VAE, int, float]:
    """The paper's V after `limit` seconds -> V, its updates and its seconds."""
    torch.manual_seed(0)
    vision, frames, updates = build_vision(VisionConfig(kind="conv"), 64), FrameSampler(episodes), 0
    optimizer, began = torch.optim.Adam(vision.parameters(), RATE), time.perf_counter()
    with meter("the paper's V", int(limit)) as bar:
        while (now := time.perf_counter() - began) < limit:
            batch = torch.from_numpy(frames[frames.batch(0, updates, BATCH)])
            terms = vision.terms(batch, generator(0, "noise", updates))
            error = (terms.logits.sigmoid() - pixels(batch)).square().sum((1, 2, 3)).mean()
            loss = error + terms.kl["z"].sum().clamp_min(FREE_NATS)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            updates += 1
            bar.advance(int(time.perf_counter() - began) - int(now), f"{updates} updates, error {error.item():.1f}")
    return vision, updates, time.perf_counter() - began


def ours(episodes: list[EpisodeFile], folder: Path) -> Iterator[tuple[VAE, int, float]]:
    """The demo's V of longer and longer trainings -> V, its updates and its seconds."""
    config, autocast = PRESETS["demo"].config, choose_autocast("auto", torch.device("cpu"))
    for doubled in count():
        torch.manual_seed(0)
        vision = build_vision(config.vision, config.track.size)
        training = replace(config.vision_training, updates=FIRST << doubled)
        stage, began = Stage(folder / f"ours-{doubled}"), time.perf_counter()
        fit_vision(stage, vision, episodes, training, config.track.bar, 0, autocast)
        yield vision, training.updates, time.perf_counter() - began


def sight(vision: VAE, shown: list[EpisodeFile], held_out: list[EpisodeFile]) -> dict[str, Any]:
    """The error of its drawings, its bits and its nats."""
    unseen = sample_frames(held_out)
    found = bits_per_dimension(vision, sample_frames(shown), unseen, 0)
    return found | {"rms": rms(vision.reconstruct, unseen, torch.device("cpu"))}


def told(updates: int, seconds: float, found: dict[str, Any]) -> tuple[str, ...]:
    """A row, but for its name."""
    bits, nats = found["bits_per_dimension"], sum(found["kl"].values())
    return f"{updates:,}", f"{seconds:.0f}", f"{found['rms']:.2f}", f"{bits:.3f}", f"{nats:.1f}"


if __name__ == "__main__":
    main()
