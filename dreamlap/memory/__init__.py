"""M remembers what it saw and did, and predicts what comes next.

Letters: B batch, T time, Z latent, A action, H hidden, K mixtures, S state.
"""

from dreamlap.config.parts import MemoryConfig
from dreamlap.memory.mdn_rnn import MDNGRU, MDNLSTM, MDNRNN, MDNReservoir, Prediction

__all__ = ["MDNGRU", "MDNLSTM", "MDNRNN", "MDNReservoir", "MemoryConfig", "Prediction", "build_memory"]


def build_memory(config: MemoryConfig, latent: int, action: int) -> MDNRNN:
    """A new M with fresh weights for latents of `latent` and actions of `action` numbers."""
    kinds = {"lstm": MDNLSTM, "gru": MDNGRU, "reservoir": MDNReservoir}
    return kinds[config.kind](latent, action, config.hidden, config.mixtures)
