"""How V is trained: to draw again what it saw, through a bottleneck."""

import torch
from torch import Tensor

from dreamlap.config.training import VisionTraining
from dreamlap.device import Autocast
from dreamlap.episodes.sampler import FrameSampler
from dreamlap.episodes.store import EpisodeFile
from dreamlap.learn.loop import descend, half_cosine, run_updates, set_rate, shards
from dreamlap.run import Stage
from dreamlap.seeds import generator
from dreamlap.track import around_car, bar_rows
from dreamlap.vision import VAE
from dreamlap.vision.vae import pixels, reconstruction_error

SHARDS = 4
"""Into how many shards a batch is cut, to be learned from side by side."""


def fit_vision(
    stage: Stage,
    vision: VAE,
    episodes: list[EpisodeFile],
    config: VisionTraining,
    bar: bool,
    seed: int,
    autocast: Autocast,
    previous: Stage | None = None,
) -> None:
    """Train `vision` in place on random frames of `episodes`; `bar`: whether they show the instrument bar."""
    device = next(vision.parameters()).device
    vision.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]  # missing in torch's stubs
    frames = FrameSampler(episodes)
    weight = pixel_weights(vision.size, bar, config).to(device)
    parameters, parts = list(vision.parameters()), min(shards(SHARDS, device), config.batch)
    optimizer = torch.optim.Adam(parameters, config.learning_rate, fused=True)

    def update(i: int) -> dict[str, float]:
        chosen = frames.batch(seed, i, config.batch)
        warmth = min(1.0, (i + 1) / config.kl_warmup)
        set_rate(optimizer, config.learning_rate * half_cosine(i / config.updates))

        def loss(shard: int) -> tuple[Tensor, dict[str, Tensor]]:
            if shard == parts:
                spectral = vision.spectral()
                return config.spectral_weight * spectral, {"spectral": spectral}
            batch = torch.from_numpy(frames[chosen[shard::parts]]).to(device)
            share = len(batch) / config.batch
            with autocast():
                terms = vision.terms(batch, generator(seed, "noise", i, shard), config.alone)
            error = reconstruction_error(terms.logits, pixels(batch), weight, config.likelihood)
            kl = torch.stack([group.clamp_min(config.free_bits).sum() for group in terms.kl.values()])
            nats = {f"kl/{name}": share * group.sum() for name, group in terms.kl.items()}
            told = {"error": share * error, "kl": torch.stack(list(nats.values())).sum()}
            return share * (error + config.kl_weight * warmth * (balance(kl, warmth) * kl).sum()), told | nats

        told = descend(loss, parts + vision.regularised, parameters, optimizer, 100.0)
        return {name: value.item() for name, value in told.items() if name != "kl/z" or vision.regularised}

    run_updates(stage, "V learns to see", config.updates, {"vision": vision, "optimizer": optimizer}, update, previous)


def balance(kl: Tensor, warmth: float) -> Tensor:
    """Weights (G,) of the groups' KL divergences (G,), of mean 1 (Vahdat & Kautz 2020, appendix A).

    While the KL divergence's weight still rises, a group pays in proportion to what it holds: so none is switched off before
    the network has learned to use it. Afterwards all pay alike.
    """
    if warmth >= 1:
        return torch.ones_like(kl)
    share = kl.detach() + 0.01
    return share / share.mean()


def pixel_weights(size: int, bar: bool, config: VisionTraining) -> Tensor:
    """The weight of every pixel of a frame: (S, S)."""
    weight = torch.ones(size, size)
    if bar:
        weight[bar_rows(size)] = config.bar_weight
    weight[around_car(size, bar)] = config.car_weight
    return weight
