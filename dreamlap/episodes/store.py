"""A folder of episodes, one file each: every complete episode and never a half one.

A file is a safetensors container, so it is self-describing, checked when it is opened, mapped rather than read, and never
unpickled. Its frames are compressed losslessly (zstd) in short chunks: to read one frame costs to decode one chunk. A checksum
guards the rest of the file when it is opened, and zstd's own guards every chunk when it is decoded. Processes of one owner of
the folder (`dreamlap.files.Owned`) may add to it at once: each writes files of its own and renames them when they are whole.
"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import zstandard
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from dreamlap.episodes.episode import MOST_BYTES, Episode, check_episode, check_shapes
from dreamlap.errors import Refused
from dreamlap.files import place, replacing
from dreamlap.named import SUFFIX
from dreamlap.progress import counted
from dreamlap.weights import checksum

CHUNK = 16
"""Frames compressed together: longer chunks are smaller on disk, shorter ones cost less for a single frame."""
SMALL = ("offsets", "shape", "actions", "rewards", "speeds")
"""The arrays that the checksum guards."""
OPEN = 128
"""Episodes whose files are open at a time: each takes a memory map, and Linux gives a process 65,530 of them."""


@lru_cache(OPEN)
def _opened(path: str, version: tuple[int, ...]) -> Any:
    return safe_open(path, framework="numpy")


def _version(path: Path) -> tuple[int, ...]:
    """What changes whenever the file does."""
    told = path.stat()
    return told.st_dev, told.st_ino, told.st_size, told.st_mtime_ns


class Packed(NamedTuple):
    """An episode as the bytes of its file: so it travels from the machine that drove it."""

    identity: str
    data: bytes


def pack(episode: Episode, where: str) -> Packed:
    """Compress an episode, called `where` in complaints.

    Raises:
        Refused: it is no episode.
    """
    numbers = {name: getattr(episode, name).astype(np.float32) for name in ("actions", "rewards", "speeds")}
    episode = replace(episode, **numbers)
    episode.check(where)  # as it will be read
    compressor = zstandard.ZstdCompressor(level=3, write_checksum=True)
    chunks = [
        compressor.compress(np.ascontiguousarray(episode.frames[i : i + CHUNK]).data)
        for i in range(0, len(episode.frames), CHUNK)
    ]
    arrays = {
        "frames": np.frombuffer(b"".join(chunks), np.uint8),
        "offsets": np.cumsum([0, *map(len, chunks)]),
        "shape": np.array(episode.frames.shape),
        **numbers,
    }
    about = json.dumps(episode.told())
    identity = episode.identity
    told = {"about": about, "identity": identity, "checksum": _guard({n: arrays[n] for n in SMALL}, about, identity)}
    return Packed(identity, save(arrays, told))


class EpisodeFile:
    """An episode on disk: only what is asked for is read and decoded, and the file is open no longer than it is used."""

    def __init__(self, path: Path):
        """Open it and check all of it but the frames, which are checked when they are decoded.

        Raises:
            Refused: it is not a whole episode, or it has changed since it was written.
        """
        self.path = path
        try:
            self._as = _version(path)
            self._told: dict[str, str] = self._file.metadata()
            if (size := path.stat().st_size) > 2 * MOST_BYTES:
                raise ValueError(f"it has {size:,} bytes")
            small = {name: self.array(name) for name in SMALL}
            self._offsets = small["offsets"]
            self.shape: tuple[int, ...] = tuple(small["shape"].tolist())
            self.about: dict[str, Any] = json.loads(self._told["about"])
            self._check(small)
        except (SafetensorError, OSError, AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
            raise Refused(f"{path} is not a whole episode ({error}): delete it, or copy it again") from error

    @property
    def _file(self) -> Any:
        """The file itself.

        Raises:
            Refused: it is not the one that was opened any more.
        """
        try:
            if _version(self.path) == self._as:
                return _opened(str(self.path), self._as)
        except FileNotFoundError:
            pass
        raise Refused(f"{self.path} has changed or is gone since it was opened: run the same command again")

    def _check(self, small: dict[str, np.ndarray]) -> None:
        """Whether it is an episode, and its chunks fill its frames, before anything of its size is made."""
        said = [self._told[name] for name in ("about", "identity") if name in self._told]
        if self._told.get("checksum") not in (None, *(_guard(small, *said[:n]) for n in (2, 1))):  # 1: an older file
            raise ValueError("its checksum differs: it has changed since it was written")
        check_shapes(small, np.int64, shape=(4,))
        if not isinstance(self.about, dict) or not {"terminated", "truncated"} <= self.about.keys():
            raise ValueError("it does not say how it ended")
        check_episode(self.shape, small, self.about)
        check_shapes(small, np.int64, offsets=(-(-self.shape[0] // CHUNK) + 1,))
        offsets, frames = self._offsets, self._file.get_slice("frames")
        whole = frames.get_dtype() == "U8" and frames.get_shape() == [offsets[-1]]
        if not whole or offsets[0] != 0 or (offsets[1:] <= offsets[:-1]).any():
            raise ValueError("its chunks do not fill its frames")

    def __len__(self) -> int:
        return self.shape[0] - 1

    def chunk(self, index: int) -> np.ndarray:
        """Frames CHUNK * index ... as (up to CHUNK, S, S, 3) uint8.

        Raises:
            Refused: the chunk is broken, or is not of the size that it must have.
        """
        start, stop = self._offsets[index : index + 2]
        data = self._file.get_slice("frames")[int(start) : int(stop)].tobytes()
        size = min(CHUNK, self.shape[0] - index * CHUNK) * self.shape[1] * self.shape[2] * 3
        try:
            if (claimed := zstandard.frame_content_size(data)) != size:
                raise ValueError(f"chunk {index} claims {claimed:,} bytes, and its frames have {size:,}")
            raw = zstandard.ZstdDecompressor().decompress(data, max_output_size=size)
        except (zstandard.ZstdError, ValueError) as error:
            raise Refused(f"{self.path} is not a whole episode ({error}): delete it, or copy it again") from error
        return np.frombuffer(raw, np.uint8).reshape(-1, *self.shape[1:])

    @cached_property
    def identity(self) -> str:
        """See `Episode.identity`. It is read where a checksum vouches for the file; of an older one the frames are decoded."""
        return self._told["identity"] if {"checksum", "identity"} <= self._told.keys() else self.episode().identity

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
        return self.about["terminated"]

    def episode(self) -> Episode:
        """All of it, in memory."""
        about = dict(self.about)
        terminated, truncated = about.pop("terminated"), about.pop("truncated")
        actions, rewards, speeds = self.array("actions"), self.array("rewards"), self.array("speeds")
        return Episode(self.frames(), actions, rewards, speeds, terminated, truncated, about)


class EpisodeStore:
    """A folder of episode files, read by name in sorted order."""

    def __init__(self, folder: Path | str):
        self.folder = place(folder)

    def __contains__(self, name: str) -> bool:
        return self._path(name).exists()

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}{SUFFIX}"

    def names(self) -> list[str]:
        """The episodes that are there, sorted."""
        return sorted(path.stem for path in self.folder.glob(f"*{SUFFIX}") if not path.name.startswith("."))

    def write(self, name: str, episode: Episode | Packed) -> None:
        """Keep an episode under `name`. Where the same one is there already, nothing is done; a broken file is replaced.

        Raises:
            Refused: it is no episode, or another one has that name.
        """
        packed = pack(episode, f"{self.folder / name}") if isinstance(episode, Episode) else episode
        if name in self and (there := self._whole(name)) is not None:
            if there.identity == packed.identity:
                return
            raise Refused(f"{self._path(name)} is there already and is another episode: choose another folder, or delete it")
        with replacing(self._path(name)) as partial:
            partial.write_bytes(packed.data)

    def _whole(self, name: str) -> EpisodeFile | None:
        try:
            return EpisodeFile(self._path(name))
        except Refused:
            return None

    def open(self, name: str) -> EpisodeFile:
        """Open the episode of that name."""
        if name not in self:
            raise FileNotFoundError(
                f"no episode {name} in {self.folder}: `dreamlap data info {self.folder}` lists what is there"
            )
        return EpisodeFile(self._path(name))

    def summary(self) -> str:
        """What is there, for a person: episodes, steps, bytes, frames, how they ended, and the returns of each driver."""
        episodes = list(self)
        if not episodes:
            return f"no episodes in {self.folder}"
        returns: dict[str, list[float]] = {}
        for episode in episodes:
            returns.setdefault(str(episode.about.get("driver", "unknown")), []).append(float(episode.array("rewards").sum()))
        steps = sum(map(len, episodes))
        size = sum(episode.path.stat().st_size for episode in episodes)
        sizes = Counter(f"{episode.shape[2]}x{episode.shape[1]}" for episode in episodes)
        frames = ", ".join(f"{side} ({counted(count, 'episode')})" if len(sizes) > 1 else side for side, count in sizes.items())
        ended = sum(episode.terminated for episode in episodes)
        lines = [
            f"{self.folder}: {counted(len(episodes), 'episode')}, {counted(steps, 'step')}, {size / 1e6:.1f} MB",
            f"frames {frames}" + (": only those of one size can be learned from together" if len(sizes) > 1 else ""),
            f"{ended} ended by the track (terminated), {len(episodes) - ended} by the clock or the recording (truncated)",
            *(f"{driver}: {counted(len(all_), 'episode')}, {_mean_return(all_)}" for driver, all_ in sorted(returns.items())),
        ]
        return "\n".join(lines)

    def __iter__(self) -> Iterator[EpisodeFile]:
        return map(self.open, self.names())


def _guard(arrays: dict[str, np.ndarray], *said: str) -> str:
    """The checksum of a file's small arrays and of what it says about itself."""
    return checksum(arrays.items(), *said)


def _mean_return(returns: list[float]) -> str:
    known = [value for value in returns if not np.isnan(value)]
    words = [f"mean return {np.mean(known):.0f}"] if known else []
    if len(known) < len(returns):
        words.append(f"{len(returns) - len(known)} without rewards: V and M can learn from those, C cannot")
    return ", ".join(words)
