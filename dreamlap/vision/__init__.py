"""V compresses a frame into a latent vector z, and draws a frame from one.

Letters: B batch, S the side of a frame in pixels, Z latent.
"""

from dreamlap.config.parts import VisionConfig
from dreamlap.vision.nvae import NVAE
from dreamlap.vision.vae import VAE, ConvVAE, LightVAE, Posterior

__all__ = ["NVAE", "VAE", "ConvVAE", "LightVAE", "Posterior", "VisionConfig", "build_vision"]


def build_vision(config: VisionConfig, size: int) -> VAE:
    """A new V with fresh weights for frames of `size` x `size` pixels."""
    if config.kind == "conv":
        return ConvVAE(config.latent, size)
    if config.kind == "light":
        return LightVAE(config.latent, size, config.width)
    return NVAE(config.latent, size, config.width, config.groups)
