"""What V has learned, measured on frames that it was never shown.

Letters: N frames, D = 3 S^2 numbers of a frame.
"""

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Laplace

from dreamlap.episodes.sampler import FrameSampler
from dreamlap.episodes.store import EpisodeFile
from dreamlap.seeds import generator
from dreamlap.vision import VAE
from dreamlap.vision.vae import pixels

FRAMES = 1024
"""The most frames that V is measured on, evenly spaced over the episodes."""
BATCH = 64


def eyesight(vision: VAE, train: list[EpisodeFile], held_out: list[EpisodeFile], bar: bool, seed: int) -> dict[str, Any]:
    """What is kept beside a trained V; `bar`: whether the frames show the car's speed."""
    seen, unseen, device = sample_frames(train), sample_frames(held_out), next(vision.parameters()).device
    speed = probe_speed(vision, train[:: max(1, len(train) // 32)], held_out) if bar else float("nan")
    return {
        "speed_r2": speed if math.isfinite(speed) else None,  # JSON has no NaN
        **bits_per_dimension(vision, seen, unseen, seed),
        "rms": rms(vision.reconstruct, unseen, device),
        "rms_of_z": rms(lambda frames: vision.decode(vision.encode(frames).mu), unseen, device),
    }


def sample_frames(episodes: list[EpisodeFile]) -> list[Tensor]:
    """Up to FRAMES frames, evenly spaced over `episodes`, in batches (B, S, S, 3) uint8."""
    frames = FrameSampler(episodes)
    places = np.linspace(0, len(frames) - 1, min(FRAMES, len(frames))).astype(int)
    return list(torch.from_numpy(frames[places]).split(BATCH))


@torch.no_grad()
def bits_per_dimension(vision: VAE, seen: list[Tensor], unseen: list[Tensor], seed: int) -> dict[str, Any]:
    """What it costs to say a frame by way of V, in bits for each of its D numbers: an upper bound of -log2 p(x) / D.

    All latents are sampled from their posteriors and paid for by their KL divergence; then every number of the frame, given
    V's reconstruction, by a Laplace distribution on the 256 levels. Its scale is V's mean absolute error on frames that it was
    trained on (the estimate of maximum likelihood): so no V is favoured by the likelihood that it was trained with.

    Returns:
        `bits_per_dimension`; `kl`, the nats of every group of latents, z first; `scale` in grey levels.
    """
    chance, device = generator(seed, "bits"), next(vision.parameters()).device
    scale = float(np.mean([_drawn(vision, batch.to(device), chance)[0].abs().mean().item() for batch in seen]))
    bits, nats, frames, size = 0.0, Counter[str](), sum(map(len, unseen)), unseen[0][0].numel()
    for batch in unseen:
        error, kl = _drawn(vision, batch.to(device), chance)
        bits += laplace_bits(pixels(batch) * 255, error, scale).sum().item() / frames
        nats.update({name: len(batch) / frames * group for name, group in kl.items()})
    total = (bits + sum(nats.values()) / math.log(2)) / size
    return {"bits_per_dimension": total, "kl": dict(nats), "scale": scale}


def _drawn(vision: VAE, frames: Tensor, chance: torch.Generator) -> tuple[Tensor, dict[str, float]]:
    """The error of V's reconstruction from sampled latents (N, 3, S, S) in grey levels, and the nats of every group of them."""
    terms = vision.terms(frames, chance)
    error = (pixels(frames).cpu().double() - terms.logits.cpu().double().sigmoid()) * 255
    return error, {name: group.sum().item() for name, group in terms.kl.items()}


def laplace_bits(level: Tensor, error: Tensor, scale: float) -> Tensor:
    """-log2 of the probability of grey levels 0 ... 255 that are `error` away from the middle of a Laplace distribution.

    A level owns what lies within half of it; the first and the last own all that lies beyond, too. Elementwise.
    """
    distance, laplace, zero = error.double().abs(), Laplace(0.0, scale), torch.zeros(())
    inner = (level > 0.5) & (level < 254.5)
    near = -(laplace.cdf(0.5 - distance) - laplace.cdf(-0.5 - distance).where(inner, zero)).log()
    far = (distance - 0.5) / scale + math.log(2) - torch.where(inner, math.log1p(-math.exp(-1 / scale)), zero)
    return torch.where(distance > 0.5, far, near) / math.log(2)


@torch.no_grad()
def rms(draw: Callable[[Tensor], Tensor], batches: list[Tensor], device: torch.device) -> float:
    """Root mean squared error of reconstructions of frames, in grey levels."""
    squares = [(draw(batch.to(device)).cpu().float() - batch.float()).square().mean((1, 2, 3)) for batch in batches]
    return float(torch.cat(squares).mean().sqrt())


@torch.no_grad()
def probe_speed(vision: VAE, train: list[EpisodeFile], held_out: list[EpisodeFile]) -> float:
    """R^2 on held-out episodes of a linear probe that reads the car's true speed off z (1: all of it is there).

    Episodes whose speeds nobody recorded are left out; NaN if none are left to learn from, or to measure by.
    """
    train, held_out = ([episode for episode in lot if episode.knows("speeds")] for lot in (train, held_out))
    if not train or not held_out:
        return float("nan")
    x, y = _latents_and_speeds(vision, train)
    weights = np.linalg.lstsq(x, y, rcond=1e-3)[0]  # directions of z in which next to nothing happens tell nothing
    x, y = _latents_and_speeds(vision, held_out)
    return float(1 - np.square(y - x @ weights).sum() / np.square(y - y.mean()).sum())


def _latents_and_speeds(vision: VAE, episodes: list[EpisodeFile]) -> tuple[np.ndarray, np.ndarray]:
    device = next(vision.parameters()).device
    z = [vision.encode(torch.from_numpy(e.frames()).to(device)).mu.cpu().numpy() for e in episodes]
    x = np.concatenate(z).astype(np.float64)
    return np.hstack([x, np.ones((len(x), 1))]), np.concatenate([e.array("speeds") for e in episodes]).astype(np.float64)
