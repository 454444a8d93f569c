"""Episodes as NumPy arrays: NAMEframes.npy, NAMEactions.npy, and NAMErewards.npy and NAMEdones.npy where there are any.

    car_racing_recorded_frames.npy  car_racing_recorded_actions.npy  car_racing_recorded_rewards.npy

Either with an axis for the episodes, frames (E, T or T + 1, H, W, 3) and actions (E, T, 3), or all episodes end to end, frames
(N, H, W, 3) and actions (N, 3): then `dones`, true in the row in which the track ended an episode, or a given length says
where to cut. Files are mapped, never read whole, and never unpickled.
"""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np

from dreamlap.episodes import EpisodeFile
from dreamlap.errors import Refused
from dreamlap.exchange.recording import Recording

FRAMES = "frames.npy"


def find(source: Path, length: int | None = None) -> list[Callable[[], Recording]]:
    """The episodes in the arrays of `source`, to be read one by one; none if it holds no such files.

    `length`: rows of an episode, where the episodes lie end to end.
    """
    found = []
    for path in sorted(source.glob(f"*{FRAMES}")):
        found += _episodes(path, length)
    return found


def _episodes(path: Path, length: int | None) -> list[Callable[[], Recording]]:
    """The episodes of one set of arrays. A set that makes no sense is one episode, which raises when it is read."""
    try:
        arrays = _open(path)
        if arrays["frames"].ndim == 5:
            return [partial(_part, path, e, slice(None)) for e in range(min(map(len, arrays.values())))]
        return [partial(_part, path, None, rows) for rows in _cuts(path, arrays, length)]
    except ValueError as error:
        return [partial(_refuse, error)]


def _refuse(error: ValueError) -> Recording:
    raise error


def _open(path: Path) -> dict[str, np.ndarray]:
    """The arrays that belong to `path`, by name: mapped, so that a header that claims more than the file holds is refused."""
    arrays = {}
    for name in ("frames", "actions", "rewards", "dones"):
        file = path.with_name(path.name.removesuffix(FRAMES) + f"{name}.npy")
        if name in ("rewards", "dones") and not file.is_file():
            continue
        try:
            array = np.load(file, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, TypeError, OverflowError, EOFError) as error:
            raise Refused(f"{file} cannot be read as an array ({error}): write it with numpy.save") from error
        if not isinstance(array, np.memmap):
            raise Refused(f"{file} is an archive of arrays: write each array with numpy.save into a file of its own")
        arrays[name] = array
    shapes = {name: array.shape for name, array in arrays.items()}
    if arrays["frames"].ndim not in (4, 5) or any(array.ndim < arrays["frames"].ndim - 3 for array in arrays.values()):
        raise Refused(
            f"{path}: {_listed(shapes)}; needed are frames (N, H, W, 3) and actions (N, 3), or all with an axis before"
        )
    if arrays["frames"].ndim == 5 and len({shape[0] for shape in shapes.values()}) > 1:
        raise Refused(f"{path}: {_listed(shapes)} differ in their first axis, the number of episodes")
    return arrays


def _listed(shapes: dict[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{name} {shape}" for name, shape in shapes.items())


def _cuts(path: Path, arrays: dict[str, np.ndarray], length: int | None) -> list[slice]:
    """The rows of each episode, where they lie end to end."""
    shapes = {name: array.shape for name, array in arrays.items()}
    frames, rows = len(arrays["frames"]), len(arrays["actions"])
    if frames == rows + 1:
        return [slice(None)]
    if any(shape[0] != frames for shape in shapes.values()):
        raise Refused(f"{path}: {_listed(shapes)} differ in their number of rows, so they do not belong together")
    if "dones" in arrays:
        ends = (np.flatnonzero(np.asarray(arrays["dones"])) + 1).tolist()
    elif length:
        ends = list(range(length, rows, length))
    else:
        raise Refused(
            f"{path}: {frames} frames, and nothing says where episodes end: give --episode-length "
            f"(500 if each has 500 steps, {frames} if all is one episode), or a file of {rows} dones beside it"
        )
    borders = sorted({0, *ends, rows})
    return [slice(start, stop) for start, stop in pairwise(borders)]


def _part(path: Path, episode: int | None, rows: slice) -> Recording:
    """Episode number `episode` of arrays with an axis for episodes; of those without, the rows `rows`."""
    arrays = {name: array if episode is None else array[episode] for name, array in _open(path).items()}
    arrays = {name: array[rows] for name, array in arrays.items()}
    first = rows.start or 0
    where = f"{path}, rows {first} to {first + len(arrays['actions'])}" if episode is None else f"{path}, episode {episode}"
    return Recording(
        where,
        lambda i: (
            f"{path.with_name(path.name.removesuffix(FRAMES) + 'actions.npy')}, row {first + i}"
            + ("" if episode is None else f" of episode {episode}")
        ),
        len(arrays["frames"]),
        arrays["frames"],
        arrays["actions"],
        arrays.get("rewards"),
        arrays.get("dones"),
    )


def write(episodes: Iterator[EpisodeFile], folder: Path) -> None:
    """Write a set of arrays for every episode, episode_0_frames.npy ..., with T + 1 frames, T actions, rewards and dones."""
    folder.mkdir(parents=True)
    for i, file in enumerate(episodes):
        episode = file.episode()
        dones = np.zeros(len(episode), bool)
        dones[-1] = episode.terminated
        arrays = {"frames": episode.frames, "actions": episode.actions, "dones": dones}
        if file.knows("rewards"):
            arrays["rewards"] = episode.rewards
        for name, array in arrays.items():
            np.save(folder / f"episode_{i}_{name}.npy", array, allow_pickle=False)
