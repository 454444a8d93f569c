"""M remembers what it saw and did, and predicts what comes next.

Letters: B batch, T time, Z latent, A action, H hidden, K mixtures, S state.
"""

from typing import Annotated, Literal

from dreamlap.memory.mdn_rnn import MDNGRU, MDNLSTM, MDNRNN, MDNReservoir, Prediction
from dreamlap.settings import least, settings

__all__ = ["MDNGRU", "MDNLSTM", "MDNRNN", "MDNReservoir", "MemoryConfig", "Prediction", "build_memory"]


@settings
class MemoryConfig:
    """What M is made of."""

    kind: Literal["lstm", "gru", "reservoir"] = "lstm"
    """`lstm`: the paper's. `gru`: gated recurrent units, without a cell. `reservoir`: an LSTM, whose h C does not see; it sees
    that of one that never learned (a control)."""
    hidden: Annotated[int, least(1, 16384)] = 256
    """How many numbers h has."""
    mixtures: Annotated[int, least(1, 1024)] = 5
    """Gaussians in the mixture of every latent dimension; of 1,000 dimensions, 1 each makes M three times as fast as 5."""
    warmup: Annotated[int, least(0, 1000)] = 16
    """Real steps that M has seen before what it expects is believed: dreams, measures and films begin no earlier."""


def build_memory(config: MemoryConfig, latent: int, action: int) -> MDNRNN:
    """A new M with fresh weights for latents of `latent` and actions of `action` numbers."""
    kinds = {"lstm": MDNLSTM, "gru": MDNGRU, "reservoir": MDNReservoir}
    return kinds[config.kind](latent, action, config.hidden, config.mixtures)
