"""How V is trained: to draw again what it saw, through a bottleneck."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from dreamlap.episodes.store import EpisodeFile, FrameSampler
from dreamlap.learn.loop import descend, run_updates, set_rate
from dreamlap.run import Stage
from dreamlap.seeds import generator, numpy_generator
from dreamlap.settings import count
from dreamlap.track import bar_rows
from dreamlap.vision import VAE
from dreamlap.vision.vae import kl_by_dimension, pixels, reconstruction_error


@dataclass(frozen=True)
class VisionTraining:
    """How V is trained."""

    updates: int = count(3000, least=2)
    """Gradient steps."""
    batch: int = 64
    """Frames a step."""
    learning_rate: float = 1e-3
    """Of Adam, at the start; it falls to a tenth along a half cosine."""
    likelihood: Literal["mse", "bce"] = "mse"
    """Error summed over pixels: squared (the paper's), or binary cross-entropy."""
    bar_weight: float = 5.0
    """Weight of the rows of the instrument bar: above 1 the speed survives in z."""
    kl_weight: float = 0.1
    """Weight of the KL divergence (beta): at 1, the paper's, z keeps 16 nats of these frames and the road is blurred."""
    kl_warmup: int = count(100, least=1)
    """Updates over which the weight of the KL divergence rises from 0 (annealing)."""
    free_bits: float = 0.0
    """Nats a latent dimension may hold before its KL divergence costs anything (Kingma et al. 2016)."""


def train_vision(
    stage: Stage,
    vision: VAE,
    episodes: list[EpisodeFile],
    config: VisionTraining,
    bar: bool,
    seed: int,
    autocast: torch.autocast,
    previous: Stage | None = None,
) -> None:
    """Train `vision` in place on random frames of `episodes`; `bar`: whether they show the instrument bar."""
    device = next(vision.parameters()).device
    vision.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]  # missing in torch's stubs
    frames = FrameSampler(episodes)
    weight = row_weights(vision.size, bar, config.bar_weight).to(device)
    optimizer = torch.optim.Adam(vision.parameters(), config.learning_rate)

    def update(i: int) -> dict[str, float]:
        chosen = numpy_generator(seed, "frames", i).integers(len(frames), size=config.batch)
        batch = torch.from_numpy(frames[chosen]).to(device)
        noise = torch.randn(config.batch, vision.latent, generator=generator(seed, "noise", i)).to(device)
        set_rate(optimizer, config.learning_rate * half_cosine(i / config.updates))
        with autocast:
            posterior = vision.encode(batch)
            logits = vision.logits(posterior.sample(noise))
        error = reconstruction_error(logits, pixels(batch), weight, config.likelihood)
        kl = kl_by_dimension(posterior)
        annealed = config.kl_weight * min(1.0, (i + 1) / config.kl_warmup)
        loss = error + annealed * kl.clamp_min(config.free_bits).sum()
        norm = descend(loss, optimizer, vision.parameters(), 100.0)
        return {"error": error.item(), "kl": kl.sum().item(), "gradient": norm}

    run_updates(stage, "V learns to see", config.updates, {"vision": vision, "optimizer": optimizer}, update, previous)


def row_weights(size: int, bar: bool, bar_weight: float) -> Tensor:
    """The weight of every row of a frame: (S, 1)."""
    weight = torch.ones(size, 1)
    if bar:
        weight[bar_rows(size)] = bar_weight
    return weight


def half_cosine(done: float) -> float:
    """The share of the learning rate that is left when a share `done` of the updates is over: from 1 down to 0.1."""
    return 0.1 + 0.45 * (1 + float(np.cos(np.pi * done)))


@torch.no_grad()
def probe_speed(vision: VAE, train: list[EpisodeFile], held_out: list[EpisodeFile]) -> float:
    """R^2 on held-out episodes of a linear probe that reads the car's true speed off z (1: all of it is there).

    Episodes whose speeds nobody recorded are left out; NaN if none are left to learn from, or to measure by.
    """
    train, held_out = ([episode for episode in lot if episode.knows("speeds")] for lot in (train, held_out))
    if not train or not held_out:
        return float("nan")
    x, y = _latents_and_speeds(vision, train)
    weights = np.linalg.lstsq(x, y, rcond=None)[0]
    x, y = _latents_and_speeds(vision, held_out)
    return float(1 - np.square(y - x @ weights).sum() / np.square(y - y.mean()).sum())


def _latents_and_speeds(vision: VAE, episodes: list[EpisodeFile]) -> tuple[np.ndarray, np.ndarray]:
    device = next(vision.parameters()).device
    z = [vision.encode(torch.from_numpy(e.frames()).to(device)).mu.cpu().numpy() for e in episodes]
    x = np.concatenate(z).astype(np.float64)
    return np.hstack([x, np.ones((len(x), 1))]), np.concatenate([e.array("speeds") for e in episodes]).astype(np.float64)
