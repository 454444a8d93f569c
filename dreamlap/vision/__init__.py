"""V compresses a frame into a latent vector z, and draws a frame from one.

Letters: B batch, S the side of a frame in pixels, Z latent.
"""

from typing import Annotated, Literal

from dreamlap.errors import Refused
from dreamlap.settings import least, settings
from dreamlap.vision.nvae import NVAE
from dreamlap.vision.vae import VAE, ConvVAE, LightVAE, Posterior

__all__ = ["NVAE", "VAE", "ConvVAE", "LightVAE", "Posterior", "VisionConfig", "build_vision"]


@settings
class VisionConfig:
    """What V is made of."""

    kind: Literal["light", "conv", "nvae"] = "light"
    """`conv`: the paper's ConvVAE. `light`: sees blocks of 4x4 pixels; trains four times as fast on a CPU. `nvae`: a deep
    hierarchical VAE (Vahdat & Kautz 2020), z its topmost group; draws best, trains at half the speed of `conv`."""
    latent: Annotated[int, least(1, 4096)] = 32
    """How many numbers z has."""
    width: Annotated[int, least(1, 1024)] = 32
    """Channels at the finest scale, of `light` and `nvae` (a multiple of 8); every coarser scale has twice as many."""
    groups: Annotated[tuple[int, ...], least(0, 64)] = (2, 3, 3)
    """Of `nvae`: how many groups of latents below z each scale has, from the coarsest scale to the finest."""

    def __post_init__(self) -> None:
        """Refuse a width that NVAE cannot normalize in groups of channels."""
        if self.kind == "nvae" and self.width > 1 and self.width % 8:
            raise Refused(f"--vision.width {self.width}: an NVAE (--vision.kind nvae) needs a multiple of 8, such as 16 or 32")


def build_vision(config: VisionConfig, size: int) -> VAE:
    """A new V with fresh weights for frames of `size` x `size` pixels."""
    if config.kind == "conv":
        return ConvVAE(config.latent, size)
    if config.kind == "light":
        return LightVAE(config.latent, size, config.width)
    return NVAE(config.latent, size, config.width, config.groups)
