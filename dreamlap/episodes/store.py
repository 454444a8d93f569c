"""A folder of episodes, one file each: every complete episode and never a half one.

A file is a safetensors container, so it is self-describing, checked when it is opened, mapped rather than read, and never
unpickled. Its frames are compressed losslessly (zstd) in short chunks: to read one frame costs to decode one chunk. Any
number of writers may add to a folder at once, since each writes files of its own and renames them when they are whole.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import zstandard
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from dreamlap.run import replacing

CHUNK = 16
"""Frames compressed together: longer chunks are smaller on disk, shorter ones cost less for a single frame."""

SUFFIX = ".episode"


@dataclass(frozen=True)
class Episode:
    """T steps on one track: `frames[t]` is seen, `actions[t]` done, `rewards[t]` earned, `frames[t + 1]` seen next.

    What nobody recorded, in episodes that were made elsewhere, is NaN throughout: it cannot be mistaken for a number.
    """

    frames: np.ndarray  # (T + 1, S, S, 3) uint8
    actions: np.ndarray  # (T, 3) float32, the stock track's steer, gas, brake
    rewards: np.ndarray  # (T,) float32, or NaN throughout
    speeds: np.ndarray  # (T + 1,) float32, the car's true speed, or NaN: for measuring V, never shown to V, M or C
    terminated: bool  # the track ended it: the lap is finished, or the car has left the playfield
    truncated: bool  # the clock ended it
    about: dict[str, Any] = field(default_factory=dict)  # track seed, driver, whatever is worth knowing later

    def __len__(self) -> int:
        return len(self.actions)


class EpisodeFile:
    """An episode on disk, opened lazily: only what is asked for is decoded."""

    def __init__(self, path: Path):
        self.path = path
        try:
            self._file = safe_open(str(path), framework="numpy")
            self.about: dict[str, Any] = json.loads(self._file.metadata()["about"])
            self._offsets = self._file.get_tensor("offsets")
            self.shape: tuple[int, ...] = tuple(self._file.get_tensor("shape").tolist())
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path} is not a whole episode ({error}): delete it, or copy it again") from error

    def __len__(self) -> int:
        return self.shape[0] - 1

    def chunk(self, index: int) -> np.ndarray:
        """Frames CHUNK * index ... as (up to CHUNK, S, S, 3) uint8."""
        start, stop = self._offsets[index : index + 2]
        data = self._file.get_slice("frames")[int(start) : int(stop)]
        raw = zstandard.ZstdDecompressor().decompress(data.tobytes())
        return np.frombuffer(raw, np.uint8).reshape(-1, *self.shape[1:])

    def frames(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Frames [start, stop) as (stop - start, S, S, 3) uint8; all T + 1 of them by default."""
        stop = self.shape[0] if stop is None else stop
        if not 0 <= start < stop <= self.shape[0]:
            raise IndexError(f"{self.path.name} has frames 0 to {self.shape[0]}, not {start} to {stop}")
        first = start // CHUNK
        chunks = [self.chunk(i) for i in range(first, (stop - 1) // CHUNK + 1)]
        return np.concatenate(chunks)[start - first * CHUNK : stop - first * CHUNK]

    def array(self, name: str) -> np.ndarray:
        """One of `actions`, `rewards`, `speeds`, whole."""
        return self._file.get_tensor(name)

    def knows(self, name: str) -> bool:
        """Whether its `rewards`, or its `speeds`, were recorded."""
        return not np.isnan(self.array(name)).any()

    @property
    def terminated(self) -> bool:
        """Whether the track ended the episode."""
        return bool(self.about["terminated"])

    def episode(self) -> Episode:
        """All of it, in memory."""
        about = dict(self.about)
        terminated, truncated = about.pop("terminated"), about.pop("truncated")
        actions, rewards, speeds = self.array("actions"), self.array("rewards"), self.array("speeds")
        return Episode(self.frames(), actions, rewards, speeds, terminated, truncated, about)


class EpisodeStore:
    """A folder of episode files, read by name in sorted order."""

    def __init__(self, folder: Path | str):
        self.folder = Path(folder)

    def __contains__(self, name: str) -> bool:
        return self._path(name).exists()

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}{SUFFIX}"

    def names(self) -> list[str]:
        """The episodes that are there, sorted."""
        return sorted(path.stem for path in self.folder.glob(f"*{SUFFIX}") if not path.name.startswith("."))

    def write(self, name: str, episode: Episode) -> None:
        """Keep an episode under `name`, in place of one that has that name."""
        compressor = zstandard.ZstdCompressor(level=3)
        chunks = [
            compressor.compress(np.ascontiguousarray(episode.frames[i : i + CHUNK]).data)
            for i in range(0, len(episode.frames), CHUNK)
        ]
        arrays = {
            "frames": np.frombuffer(b"".join(chunks), np.uint8),
            "offsets": np.cumsum([0, *map(len, chunks)]),
            "shape": np.array(episode.frames.shape),
            "actions": episode.actions.astype(np.float32),
            "rewards": episode.rewards.astype(np.float32),
            "speeds": episode.speeds.astype(np.float32),
        }
        about = {**episode.about, "terminated": episode.terminated, "truncated": episode.truncated}
        with replacing(self._path(name)) as partial:
            save_file(arrays, str(partial), {"about": json.dumps(about)})

    def open(self, name: str) -> EpisodeFile:
        """Open the episode of that name."""
        if name not in self:
            raise FileNotFoundError(
                f"no episode {name} in {self.folder}: `dreamlap data info {self.folder}` lists what is there"
            )
        return EpisodeFile(self._path(name))

    def summary(self) -> str:
        """What is there, for a person: episodes, steps, bytes, and the returns of each driver."""
        episodes = list(self)
        if not episodes:
            return f"no episodes in {self.folder}"
        returns: dict[str, list[float]] = {}
        for episode in episodes:
            returns.setdefault(str(episode.about.get("driver", "unknown")), []).append(float(episode.array("rewards").sum()))
        size = sum(episode.path.stat().st_size for episode in episodes)
        lines = [
            f"{self.folder}: {len(episodes)} episodes, {sum(map(len, episodes)):,} steps, {size / 1e6:.1f} MB",
            f"frames {episodes[0].shape[1]}x{episodes[0].shape[2]}",
            *(f"{driver}: {len(all_)} episodes, {_mean_return(all_)}" for driver, all_ in sorted(returns.items())),
        ]
        return "\n".join(lines)

    def __iter__(self) -> Iterator[EpisodeFile]:
        return map(self.open, self.names())


def _mean_return(returns: list[float]) -> str:
    known = [value for value in returns if not np.isnan(value)]
    words = [f"mean return {np.mean(known):.0f}"] if known else []
    if len(known) < len(returns):
        words.append(f"{len(returns) - len(known)} without rewards: V and M can learn from those, C cannot")
    return ", ".join(words)


class FrameSampler:
    """Random frames from many episodes, with the chunks decoded lately kept in memory (up to `memory` bytes)."""

    def __init__(self, episodes: list[EpisodeFile], memory: int = 4 * 2**30):
        self.episodes = episodes
        self.starts = np.cumsum([0, *(episode.shape[0] for episode in episodes)])
        chunk_bytes = CHUNK * int(np.prod(episodes[0].shape[1:]))
        # Of the episodes, not of self: a cache that holds its owner would keep the frames after it is gone.
        self._chunk = lru_cache(maxsize=max(1, memory // chunk_bytes))(lambda episode, chunk: episodes[episode].chunk(chunk))

    def __len__(self) -> int:
        return int(self.starts[-1])

    def __getitem__(self, indices: np.ndarray) -> np.ndarray:
        """Frames (B, S, S, 3) uint8 at positions `indices` (B,) of all episodes laid end to end."""
        episodes = np.searchsorted(self.starts, indices, side="right") - 1
        within = indices - self.starts[episodes]
        places = zip(episodes.tolist(), within.tolist(), strict=True)
        return np.stack([self._chunk(e, t // CHUNK)[t % CHUNK] for e, t in places])
