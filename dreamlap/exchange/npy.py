"""Episodes as NumPy arrays: files NAMEframes.npy, NAMEactions.npy ..., or archives that hold such arrays.

    car_racing_recorded_frames.npy  car_racing_recorded_actions.npy  car_racing_recorded_rewards.npy
    rollout_0.npz: observations, rewards, actions, terminals        123.npz: obs, action

Either with an axis for the episodes, frames (E, T or T + 1, H, W, 3) and actions (E, T, 3), or all episodes end to end, frames
(N, H, W, 3) and actions (N, 3): then ends, true in the last row of an episode, or a given length say where to cut. What is
called dones or terminals is true where the track or the clock ended an episode; terminations and truncations tell them apart.
An archive without ends is one episode. Files are mapped, never read whole, and never unpickled.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np

from dreamlap.config.parts import LIMIT
from dreamlap.episodes import EpisodeFile
from dreamlap.errors import Refused
from dreamlap.exchange.array_file import load, members, shape_of
from dreamlap.exchange.folder import Folder
from dreamlap.exchange.recording import Align, Found, Recording, refusal

NAMES = {
    "frames": ("frames", "observations", "obs"),
    "actions": ("actions", "action"),
    "rewards": ("rewards", "reward"),
    "dones": ("dones", "done", "terminals", "terminal"),
    "ends": ("terminations", "termination", "terminateds", "terminated"),
    "cuts": ("truncations", "truncation", "truncateds", "truncated", "timeouts", "timeout"),
}
"""By what it is, how others call an array."""
KINDS = {name: kind for kind, names in NAMES.items() for name in names}
FLAGS = ("dones", "ends", "cuts")


@dataclass(frozen=True)
class Arrays:
    """Arrays that belong together, by what they are: in which file, and under which name in it if it is an archive."""

    where: Path
    parts: dict[str, list[tuple[Path, str | None]]]
    align: Align = "before"

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """What the headers say."""
        return {kind: shape_of(*parts[0]) for kind, parts in self.parts.items()}

    def load(self, kind: str) -> np.ndarray | None:
        """One of them; None if it is not there.

        Raises:
            Refused: it cannot be read, is of a type that says nothing, or is there under two names that say different things.
        """
        if kind not in self.parts:
            return None
        first, *others = self.parts[kind]
        array = load(*first)
        if any(kind not in FLAGS or not np.array_equal(array, load(*other)) for other in others):
            names = " and ".join(member or path.name for path, member in self.parts[kind])
            raise Refused(f"{self.where}: {names} are both there and may differ: leave one of them")
        if kind in FLAGS and array.dtype.kind not in "biuf":
            raise Refused(f"{self.where}: its {kind} are of type {array.dtype}: write 0 or 1, true or false")
        return array

    @property
    def files(self) -> list[Path]:
        """The files that they lie in."""
        return [path for parts in self.parts.values() for path, _ in parts]


def find(top: Folder, length: int | None = None) -> list[Found]:
    """The episodes in the arrays of a folder and those below it, to be read one by one; none if it holds no such files.

    `length`: the most rows of an episode, where the episodes lie end to end.
    """
    return [
        found
        for folder in top.all()
        for arrays in [*_sets(folder), *map(_archive, _with_suffix(folder, ".npz"))]
        for found in _episodes(arrays, length)
    ]


def _with_suffix(folder: Folder, suffix: str) -> list[Path]:
    return [file for file in folder.files if file.suffix.casefold() == suffix]


def _sets(folder: Folder) -> list[Arrays]:
    """The .npy files of a folder that belong together: whose names are the same but for the word that says what they are."""
    sets: dict[str, dict[str, list[tuple[Path, str | None]]]] = defaultdict(lambda: defaultdict(list))
    for file in _with_suffix(folder, ".npy"):
        if word := re.search(f"({'|'.join(sorted(KINDS, key=len, reverse=True))})$", file.stem, re.IGNORECASE):
            sets[file.stem[: word.start()]][KINDS[word[0].casefold()]].append((file, None))
    return [Arrays((parts.get("frames") or parts["actions"])[0][0], dict(parts)) for parts in sets.values()
            if "frames" in parts or "actions" in parts]  # fmt: skip


def _archive(path: Path) -> Arrays:
    """The arrays of an archive that have names we know."""
    parts: dict[str, list[tuple[Path, str | None]]] = defaultdict(list)
    named = members(path)
    for member in named:
        if kind := KINDS.get(member.casefold()):
            parts[kind].append((path, member))
    # Rollouts of World Models in PyTorch append the frame after the step. Arrays that tell time limits apart, or the next
    # frames, are of the school of D4RL, where frame t was seen before action t.
    rollout = "observations" in named and "cuts" not in parts and "next_observations" not in named
    return Arrays(path, dict(parts), "after" if rollout else "before")


def _episodes(arrays: Arrays, length: int | None) -> list[Found]:
    """The episodes of one set of arrays. A set that makes no sense is one episode, which raises when it is read."""
    kind, files = arrays.where.suffix.casefold().removeprefix("."), arrays.files or [arrays.where]
    try:
        shapes = _checked(arrays)
        if len(shapes["frames"]) == 5:
            _refuse_length(arrays, length, shapes["frames"][1])
            parts = [(e, slice(None)) for e in range(shapes["frames"][0])]
        else:
            parts = [(None, rows) for rows in _cuts(arrays, shapes, length)]
        return [Found(kind, partial(_part, arrays, *part), files) for part in parts]
    except Refused as error:
        return [Found(kind, refusal(str(error)), files)]


def _checked(arrays: Arrays) -> dict[str, tuple[int, ...]]:
    """The shapes of arrays that can be episodes."""
    if missing := {"frames", "actions"} - arrays.parts.keys():
        what = " and ".join(sorted(missing))
        if arrays.where.suffix.casefold() != ".npz":
            raise Refused(f"{arrays.where} has no file of {what} beside it that is called as it is, but for the last word")
        found = ", ".join(members(arrays.where)) or "no arrays that can be read"
        raise Refused(
            f"{arrays.where} holds {found}, but no {what}. Needed are `observations` (or `frames`, `obs`) and `actions` in one "
            "archive, or files NAMEframes.npy and NAMEactions.npy, written with numpy.save"
        )
    shapes = arrays.shapes()
    axes = len(shapes["frames"])
    odd = axes not in (4, 5) or len(shapes["actions"]) < axes - 3
    if odd or any(len(shape) != axes - 3 for kind, shape in shapes.items() if kind not in ("frames", "actions")):
        raise Refused(
            f"{arrays.where}: {_listed(shapes)}; needed are frames (N, H, W, 3), actions (N, 3) and all else (N,), or all of "
            "them with an axis before"
        )
    if axes == 5 and len({shape[0] for shape in shapes.values()}) > 1:
        raise Refused(f"{arrays.where}: {_listed(shapes)} differ in their first axis, the number of episodes")
    return shapes


def _listed(shapes: dict[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{name} {shape}" for name, shape in shapes.items())


def _cuts(arrays: Arrays, shapes: dict[str, tuple[int, ...]], length: int | None) -> list[slice]:
    """The rows of each episode, where they lie end to end."""
    frames, rows, archive = shapes["frames"][0], shapes["actions"][0], arrays.where.suffix.casefold() == ".npz"
    if frames == rows + 1 or _has_spare_actions(arrays, shapes):
        _refuse_length(arrays, length, frames)
        return [slice(None)]
    if any(shape[0] != frames for shape in shapes.values()):
        raise Refused(f"{arrays.where}: {_listed(shapes)} differ in their number of rows, so they do not belong together")
    flags = [np.asarray(arrays.load(kind)).astype(bool) for kind in FLAGS if kind in shapes]
    ends = (np.flatnonzero(np.any(flags, axis=0)) + 1).tolist() if flags else []
    if not length and not ends and (not archive if not flags else rows > LIMIT):
        never = " (those that are there are never true)" if flags else ""
        raise Refused(
            f"{arrays.where}: {frames} frames, and nothing says where episodes end: give --episode-length "
            f"(500 if each has 500 steps, {frames} if all is one episode), or a file of {rows} dones beside it{never}"
        )
    borders = sorted({0, *ends, rows})
    return [
        slice(first, min(first + (length or rows), stop))
        for start, stop in pairwise(borders)
        for first in range(start, stop, length or rows)
    ]


def _refuse_length(arrays: Arrays, length: int | None, frames: int) -> None:
    """Refuse to cut what holds whole episodes already, of so many frames."""
    if length and length < frames - 1:
        raise Refused(
            f"{arrays.where} holds whole episodes, of {frames} frames: --episode-length {length} is for those that lie end to "
            "end. Leave it out, or bring in the others from a folder of their own"
        )


def _has_spare_actions(arrays: Arrays, shapes: dict[str, tuple[int, ...]]) -> bool:
    """Whether an archive keeps actions that were drawn and never done: all else is of one length, and ends with an end."""
    rest = {shape[:1] for kind, shape in shapes.items() if kind != "actions"}
    if arrays.where.suffix.casefold() != ".npz" or "dones" not in shapes or len(rest) != 1:
        return False
    return shapes["actions"][:1] > min(rest) and bool(np.asarray(arrays.load("dones"))[-1:].all())


def _part(arrays: Arrays, episode: int | None, rows: slice) -> Recording:
    """Episode number `episode` of arrays with an axis for episodes; of those without, the rows `rows`."""
    found = {kind: array for kind in NAMES if (array := arrays.load(kind)) is not None}
    found = {kind: (array if episode is None else array[episode])[rows] for kind, array in found.items()}
    first, where = rows.start or 0, str(arrays.where)
    spare = episode is None and _has_spare_actions(arrays, arrays.shapes())
    if spare:
        found["actions"] = found["actions"][: len(found["frames"])]
    if episode is not None:
        where += f", episode {episode}"
    elif rows != slice(None):
        where += f", rows {first} to {first + len(found['actions'])}"
    file, member = arrays.parts["actions"][0]
    source, of = f"{file}, {member}" if member else f"{file}", "" if episode is None else f" of episode {episode}"
    return Recording(
        where,
        lambda i: f"{source}, row {first + i}{of}",
        len(found["frames"]),
        found["frames"],
        found["actions"],
        *(found.get(kind) for kind in ("rewards", "ends", "cuts", "dones")),
        align=arrays.align,
        notes=("kept more actions than steps: those that were never done are left out",) if spare else (),
    )


def write(episodes: Iterator[EpisodeFile], folder: Path) -> None:
    """Write a set of arrays for every episode, episode_0_frames.npy ...: T + 1 frames, T actions, rewards, how it ended."""
    for i, file in enumerate(episodes):
        episode = file.episode()
        ends = np.zeros((2, len(episode)), bool)
        ends[:, -1] = episode.terminated, episode.truncated
        arrays = {"frames": episode.frames, "actions": episode.actions, "terminations": ends[0], "truncations": ends[1]}
        if file.knows("rewards"):
            arrays["rewards"] = episode.rewards
        for name, array in arrays.items():
            np.save(folder / f"episode_{i}_{name}.npy", array, allow_pickle=False)
