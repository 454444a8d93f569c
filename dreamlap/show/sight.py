"""What V makes of frames, as rows of pictures: reconstructions, samples of its prior, and what each number of z is for.

Where V has more than z (NVAE's groups below), a row more shows what it adds.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch

from dreamlap.agent import Agent
from dreamlap.seeds import generator
from dreamlap.show.figures import sheet
from dreamlap.show.glimpse import shown_frames, unseen_drive
from dreamlap.show.theme import LIGHT, Theme
from dreamlap.vision.vae import kl_by_dimension

COLUMNS = 8
SIGMAS = (-3, -2, -1, 0, 1, 2, 3)
"""Standard deviations of a dimension of z, over a drive, by which a traversal moves it."""


class Sheet(NamedTuple):
    """Rows of frames by name, each (N, S, S, 3) uint8, and a word over every column."""

    rows: dict[str, np.ndarray]
    above: tuple[str, ...]
    caption: str

    def png(self, theme: Theme = LIGHT) -> bytes:
        """The picture."""
        return sheet(self.rows, self.above, theme)


@torch.no_grad()
def reconstructions(agent: Agent, frames: np.ndarray, seed: int = 0) -> Sheet:
    """Moments of a drive (T, S, S, 3), over V's reconstructions of them."""
    shown = frames[np.linspace(0, len(frames) - 1, COLUMNS).astype(int)]
    seen, vision = torch.from_numpy(shown).to(agent.state.device), agent.vision
    rows = {"V": vision.reconstruct(seen)}
    rows |= {"z alone": vision.decode(vision.encode(seen).mu)} if vision.more_than_z else {}
    caption = "A drive on a track that V was not trained on, and V's reconstruction of it."
    return Sheet({"track": shown, **_arrays(rows)}, (), caption)


@torch.no_grad()
def samples(agent: Agent, frames: np.ndarray, seed: int = 0) -> Sheet:
    """Decoded samples of z from the prior N(0, I), the groups below at their means, and sampled too."""
    chance, latent = generator(seed, "samples"), agent.vision.latent
    z = torch.randn(COLUMNS, latent, generator=chance).to(agent.state.device)
    rows = {"z ~ prior": agent.vision.decode(z)}
    rows |= {"all ~ prior": agent.vision.imagine(z, chance)} if agent.vision.more_than_z else {}
    caption = "Samples of z from the prior N(0, I), decoded by V. The more they look like frames, the better the prior fits."
    return Sheet(_arrays(rows), (), caption)


@torch.no_grad()
def traversals(agent: Agent, frames: np.ndarray, seed: int = 0, dimensions: int = 6) -> Sheet:
    """The middle moment of a drive (T, S, S, 3), one dimension of its z moved at a time; those that hold the most nats."""
    posterior = agent.vision.encode(torch.from_numpy(frames).to(agent.state.device))
    middle, spread = posterior.mu[len(frames) // 2], posterior.mu.std(0)
    rows = {}
    for d in kl_by_dimension(posterior).argsort(descending=True)[:dimensions].tolist():
        z = middle.repeat(len(SIGMAS), 1)
        z[:, d] += spread[d] * torch.tensor(SIGMAS).to(z)
        rows[f"z {d}"] = agent.vision.decode(z).cpu().numpy()
    caption = "One frame, decoded while one number of its z is moved by standard deviations over the drive."
    return Sheet(rows, tuple(f"{k:+d} σ" if k else "as it is" for k in SIGMAS), caption)


def _arrays(rows: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    return {name: row.cpu().numpy() for name, row in rows.items()}


SHEETS: dict[str, Callable[..., Sheet]] = {
    "reconstructions": reconstructions, "samples": samples, "traversals": traversals,
}  # fmt: skip


def still_life(agent: Agent, what: str, seed: int = 0) -> bytes:
    """One of SHEETS of a drive by the agent, as PNG."""
    return SHEETS[what](agent, shown_frames(agent, unseen_drive(agent, seed)), seed).png()
