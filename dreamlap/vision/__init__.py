"""V compresses a frame into a latent vector z, and draws a frame from one.

Letters: B batch, S the side of a frame in pixels, Z latent.
"""

from dataclasses import dataclass
from typing import Literal

from dreamlap.vision.vae import VAE, ConvVAE, LightVAE, Posterior

__all__ = ["VAE", "ConvVAE", "LightVAE", "Posterior", "VisionConfig", "build_vision"]


@dataclass(frozen=True)
class VisionConfig:
    """What V is made of."""

    kind: Literal["light", "conv"] = "light"
    """`conv`: the paper's ConvVAE. `light`: sees blocks of 4x4 pixels; trains four times as fast on a CPU."""
    latent: int = 32
    """How many numbers z has."""


def build_vision(config: VisionConfig, size: int) -> VAE:
    """A new V with fresh weights for frames of `size` x `size` pixels."""
    kinds = {"light": LightVAE, "conv": ConvVAE}
    return kinds[config.kind](config.latent, size)
