"""Frames for V to learn from, at random from any number of episodes."""

from functools import lru_cache

import numpy as np

from dreamlap.episodes.store import CHUNK, EpisodeFile
from dreamlap.seeds import numpy_generator

POOL = 4096
"""Chunks in the pool that V's batches are drawn from where not all frames fit into memory."""


class FrameSampler:
    """Random frames from many episodes, with the chunks decoded lately kept in memory (up to `memory` bytes)."""

    def __init__(self, episodes: list[EpisodeFile], memory: int = 4 * 2**30):
        self.episodes = episodes
        self.starts = np.cumsum([0, *(episode.shape[0] for episode in episodes)])
        chunks, kept = sum(-(-episode.shape[0] // CHUNK) for episode in episodes), memory // _chunk_bytes(episodes[0])
        self.all_fit = chunks <= kept
        kept = max(1, kept if self.all_fit else min(kept, POOL))
        # Of the episodes, not of self: a cache that holds its owner would keep the frames after it is gone.
        self._chunk = lru_cache(maxsize=kept)(lambda episode, chunk: episodes[episode].chunk(chunk))
        self._pool = kept

    def __len__(self) -> int:
        return int(self.starts[-1])

    def __getitem__(self, indices: np.ndarray) -> np.ndarray:
        """Frames (B, S, S, 3) uint8 at positions `indices` (B,) of all episodes laid end to end."""
        episodes, within = self._locate(indices)
        places = zip(episodes.tolist(), within.tolist(), strict=True)
        return np.stack([self._chunk(e, t // CHUNK)[t % CHUNK] for e, t in places])

    def _locate(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        episodes = np.searchsorted(self.starts, indices, side="right") - 1
        return episodes, indices - self.starts[episodes]

    def batch(self, seed: int, number: int, size: int) -> np.ndarray:
        """The positions of the frames of batch `number`: (size,), any frame as likely as any other.

        Where the frames do not all fit into memory, they are drawn from a pool of chunks. For every batch some new chunks come
        into it and as many leave it, so that a chunk is decoded once and gives about as many frames as it has.
        """
        chance = numpy_generator(seed, "frames", number)
        if self.all_fit:
            return chance.integers(len(self), size=size)
        new = -(-size // CHUNK)  # chunks that come in with a batch
        batches = max(1, self._pool // new)  # for which a chunk stays
        came, which = number + batches - chance.integers(batches, size=size), chance.integers(new, size=size)
        entered = {n: numpy_generator(seed, "chunks", n).integers(len(self), size=new) for n in np.unique(came).tolist()}
        episodes, within = self._locate(np.array([entered[n][k] for n, k in zip(came.tolist(), which.tolist(), strict=True)]))
        first = within - within % CHUNK
        length = np.minimum(CHUNK, np.diff(self.starts)[episodes] - first)
        return self.starts[episodes] + first + chance.integers(length)


def _chunk_bytes(episode: EpisodeFile) -> int:
    return CHUNK * int(np.prod(episode.shape[1:]))
