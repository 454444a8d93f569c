"""How V is trained: to draw again what it saw, through a bottleneck."""

from typing import Annotated, Literal

import torch
from torch import Tensor

from dreamlap.device import Autocast
from dreamlap.episodes.store import EpisodeFile, FrameSampler
from dreamlap.learn.loop import descend, half_cosine, run_updates, set_rate, shards
from dreamlap.run import Stage
from dreamlap.seeds import generator, numpy_generator
from dreamlap.settings import SHARE, SIZE, above, count, least, settings
from dreamlap.track import bar_rows
from dreamlap.vision import VAE
from dreamlap.vision.vae import pixels, reconstruction_error

SHARDS = 4
"""Into how many shards a batch is cut, to be learned from side by side."""


@settings
class VisionTraining:
    """How V is trained."""

    updates: Annotated[int, least(0)] = count(3000, least=0)
    """Gradient steps."""
    batch: Annotated[int, SIZE] = 64
    """Frames a step."""
    learning_rate: Annotated[float, above(0)] = 1e-3
    """Of Adam, at the start; it falls to a tenth along a half cosine."""
    likelihood: Literal["mse", "bce"] = "mse"
    """Error summed over pixels: squared (the paper's), or binary cross-entropy."""
    bar_weight: Annotated[float, least(0)] = 5.0
    """Weight of the rows of the instrument bar: above 1 the speed survives in z."""
    kl_weight: Annotated[float, least(0)] = 0.1
    """Weight of the KL divergence (beta): at 1, the paper's, z keeps 16 nats of these frames and the road is blurred."""
    kl_warmup: Annotated[int, least(1)] = count(100, least=1)
    """Updates over which the weight of the KL divergence rises from 0 (annealing)."""
    free_bits: Annotated[float, least(0)] = 0.0
    """Nats a latent dimension may hold before its KL divergence costs anything (Kingma et al. 2016)."""
    alone: Annotated[float, SHARE] = 0.5
    """Of NVAE: share of the frames that are drawn from z alone, as a dream is; 0 is its paper's."""
    spectral_weight: Annotated[float, least(0)] = 0.01
    """Of NVAE: weight of its spectral regularisation (lambda), which keeps the KL divergence bounded."""


def train_vision(
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
        chosen = numpy_generator(seed, "frames", i).integers(len(frames), size=config.batch)
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
    return weight
