"""M remembers what it saw and did, and predicts what comes next.

Letters: B batch, T time, Z latent, A action, H hidden, K mixtures.
"""

from dataclasses import dataclass

from dreamlap.memory.mdn_lstm import MDNLSTM, Prediction

__all__ = ["MDNLSTM", "MemoryConfig", "Prediction", "build_memory"]


@dataclass(frozen=True)
class MemoryConfig:
    """What M is made of."""

    hidden: int = 256
    """How many numbers h has."""
    mixtures: int = 5
    """Gaussians in the mixture of every latent dimension."""


def build_memory(config: MemoryConfig, latent: int, action: int) -> MDNLSTM:
    """A new M with fresh weights for latents of `latent` and actions of `action` numbers."""
    return MDNLSTM(latent, action, config.hidden, config.mixtures)
