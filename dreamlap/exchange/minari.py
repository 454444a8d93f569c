"""Episodes as a Minari dataset (Farama's standard for offline data), kept in HDF5 without loss.

The folder of a dataset is what Minari makes of its name: `carracing-v0/data/main_data.hdf5` and `metadata.json`. Put into
Minari's own folder, ~/.minari/datasets, it is read by `minari.load_dataset("carracing-v0")`.
"""

import io
import re
from collections.abc import Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from types import ModuleType
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from PIL import Image

from dreamlap.episodes import EpisodeFile, EpisodeStore
from dreamlap.errors import Refused, installing
from dreamlap.exchange.folder import Folder
from dreamlap.exchange.recording import MAX_BYTES, Found, Recording, readable, refusal
from dreamlap.files import read_object
from dreamlap.track.actions import STOCK_HIGH, STOCK_LOW

METADATA, DATA = "metadata.json", "main_data.hdf5"


def find(top: Folder) -> list[Found]:
    """The episodes of the datasets in a folder and below it, to be read one by one; none if there are no datasets."""
    datasets = [folder for folder in top.all() if {folder.path / METADATA, folder.path / DATA} <= set(folder.files)]
    return [found for folder in datasets for found in _episodes(folder.path)]


def _episodes(folder: Path) -> list[Found]:
    files = [folder / METADATA, folder / DATA]
    try:
        return [Found("minari", partial(read, folder, number), files) for number in _numbers(folder)]
    except Refused as error:
        return [Found("minari", refusal(str(error)), files)]


def _numbers(folder: Path) -> list[int]:
    """The numbers of a dataset's episodes.

    Raises:
        Refused: the dataset cannot be read, or must not be.
    """
    _require()
    about = read_object(folder / METADATA)
    if about.get("data_format") != "hdf5":
        raise Refused(f"{folder} is a Minari dataset of format {about.get('data_format')}: write it again as hdf5")
    for name in ("observation_space", "action_space"):
        if not isinstance(about.get(name), str):  # Minari would make the environment that the file names, whatever that runs
            raise Refused(f"{folder / METADATA} does not say its {name}: create the dataset again with a Minari of today")
    import h5py

    with readable(f"{folder / DATA} cannot be read", "copy it again"), h5py.File(folder / DATA, "r") as file:
        numbers = sorted(int(name[8:]) for name in map(str, file) if re.fullmatch(r"episode_\d+", name))
    if not numbers:
        raise Refused(f"{folder} is a Minari dataset without episodes")
    return numbers


def read(folder: Path, number: int) -> Recording:
    """Episode `number` of the dataset in `folder`.

    Raises:
        Refused: it is not an episode of frames and continuous actions, or points at other files, or is absurdly large.
    """
    from minari import MinariDataset

    where = f"{folder}, episode {number}"
    with readable(f"{where} cannot be read", "copy the dataset again, or create it again with a Minari of today"):
        _guard(folder / DATA, f"episode_{number}")
        dataset = MinariDataset(folder)
        if not isinstance(dataset.observation_space, spaces.Box) or not isinstance(dataset.action_space, spaces.Box):
            raise ValueError(
                f"its observations are {dataset.observation_space}, its actions {dataset.action_space}; both must be Box"
            )
        episode = next(iter(dataset.iterate_episodes([number])))
    return Recording(
        where,
        lambda i: f"{where}, step {i}",
        len(episode.observations),
        episode.observations,
        episode.actions,
        episode.rewards,
        episode.terminations,
        episode.truncations,
        notes=("had frames kept as JPEG, which is not exact",) if dataset.storage.jpeg_encoding else (),
    )


def _guard(path: Path, name: str) -> None:
    """Whether an episode stays in its file and does not fill the memory.

    Raises:
        ValueError: it does not.
    """
    import h5py

    with h5py.File(path, "r") as file:
        if not isinstance(file.get(name, getlink=True), h5py.HardLink) or not isinstance(group := file[name], h5py.Group):
            raise ValueError("it is no group of arrays in this file")
        links: list[tuple[str, Any]] = []
        group.visititems_links(lambda name, link: links.append((name, link)))
        arrays = [group[name] for name, link in links if isinstance(link, h5py.HardLink)]
        arrays = [array for array in arrays if isinstance(array, h5py.Dataset)]
        away = [name for name, link in links if not isinstance(link, h5py.HardLink)]
        away += [array.name for array in arrays if array.is_virtual or array.external]
        if away:
            raise ValueError(f"{away[0]} lies in another place; a dataset holds its data itself")
        if sum(map(_size, arrays)) > MAX_BYTES:
            raise ValueError(f"it claims more than {MAX_BYTES / 1e9:.0f} GB for one episode")


def _size(item: Any) -> int:
    """Bytes of an array once it is read; of JPEG pictures (Minari's default), once they are decoded.

    Raises:
        ValueError: the pictures are not of one size, by their headers. Minari takes that of the first for all.
    """
    if not item.name.endswith("/observations") or item.ndim > 2 or item.dtype not in (np.uint8, object):
        return item.nbytes
    sizes, total = set(), 0
    for row in item:  # an object: of any length
        with Image.open(io.BytesIO(row.tobytes()), formats=["JPEG"]) as image:
            sizes.add(image.size)
            total += row.nbytes + image.size[0] * image.size[1] * 3
    if len(sizes) != 1:
        raise ValueError(f"its {len(item)} frames are of {len(sizes)} sizes, and one is needed")
    return total


def check(store: EpisodeStore, name: str) -> None:
    """Refuse, before anything is written, what cannot be a Minari dataset of this name.

    Raises:
        Refused: Minari has no such names, or the frames are not all of one size.
    """
    _require()
    if not re.fullmatch(r"[-\w]+-v\d+", name):
        raise Refused(f"Minari calls its datasets NAME-vNUMBER, so export to a folder such as carracing-v0, not {name}")
    by_size: dict[str, list[str]] = {}
    for file in store:
        by_size.setdefault(f"{file.shape[2]}x{file.shape[1]}", []).append(file.path.name)
    if len(by_size) > 1:
        sizes = ", ".join(f"{size} ({len(names)}, such as {names[0]})" for size, names in by_size.items())
        raise Refused(
            f"{store.folder} holds frames of several sizes: {sizes}. A Minari dataset has one. Copy the episodes of one "
            "size into a folder of their own, or export --to npy"
        )


def write(episodes: Iterator[EpisodeFile], folder: Path) -> None:
    """Write the dataset that `folder` is named for, such as carracing-v0, with raw frames: T + 1 observations and T actions.

    It names the stock track as its environment, if that is what all episodes were driven on.
    """
    minari = _require()
    from minari.data_collector import EpisodeBuffer
    from minari.dataset.minari_storage import MinariStorage

    first = next(episodes)
    place = folder.resolve() / "data"  # Minari loses its way in a relative path
    place.mkdir(parents=True)
    observed, acted = spaces.Box(0, 255, first.shape[1:], np.uint8), spaces.Box(STOCK_LOW, STOCK_HIGH)
    storage = MinariStorage.new(place, observed, acted, jpeg_encoding=False)
    storage.update_metadata({"dataset_id": folder.name, "minari_version": minari.__version__})
    stock = True
    for file in chain([first], episodes):
        episode, stock = file.episode(), stock and _is_stock(file)
        ends = np.zeros((2, len(episode)), bool)
        ends[:, -1] = episode.terminated, episode.truncated
        buffer = EpisodeBuffer(
            seed=episode.about.get("track"),
            observations=episode.frames,  # pyright: ignore[reportArgumentType]  # arrays are what Minari writes fastest
            actions=episode.actions,  # pyright: ignore[reportArgumentType]
            rewards=episode.rewards,  # pyright: ignore[reportArgumentType]
            terminations=ends[0],  # pyright: ignore[reportArgumentType]
            truncations=ends[1],  # pyright: ignore[reportArgumentType]
        )
        storage.update_episodes([buffer])
    if stock:
        storage.update_metadata({"env_spec": gym.spec("CarRacing-v3").to_json()})


def _is_stock(episode: EpisodeFile) -> bool:
    """Whether it says that it was driven on the stock track, or on one that differs from it by the frames' size alone."""
    made = episode.about.get("made")
    return isinstance(made, dict) and not made.get("track", {}).keys() - {"size", "actions"}


def _require() -> ModuleType:
    """The package, or an error that says how to get it."""
    try:
        import minari
    except ImportError as error:
        raise Refused(f"Minari datasets need the package minari: {installing('exchange')}") from error
    return minari
