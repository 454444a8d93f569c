"""One array out of a .npy file or an .npz archive: its size is known before it is read, and nothing is ever unpickled."""

import zipfile
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy_format

from dreamlap.errors import Refused
from dreamlap.exchange.recording import MAX_BYTES, readable


def members(path: Path) -> list[str]:
    """The names of the arrays in an archive; empty if it cannot be read."""
    try:
        with zipfile.ZipFile(path) as archive:
            return [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
    except Exception:  # as `readable`: it is no archive
        return []


def shape_of(path: Path, member: str | None = None) -> tuple[int, ...]:
    """The shape that a file, or a member of an archive, has by its header.

    Raises:
        Refused: it is no array that can be read.
    """
    return load(path).shape if member is None else _read(path, member, whole=False)[0]


def load(path: Path, member: str | None = None) -> np.ndarray:
    """An array: of a file mapped, so that a header that claims more than is there is refused; of an archive in memory.

    Raises:
        Refused: it is no array that can be read.
    """
    if member is not None:
        shape, array = _read(path, member, whole=True)
        return array.reshape(shape)
    with readable(f"{path} cannot be read as an array", "write it with numpy.save"):
        with path.open("rb") as file:
            if file.read(6) == npy_format.MAGIC_PREFIX:
                file.seek(0)
                _header(file, path, None)
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    if not isinstance(array, np.memmap):
        raise Refused(f"{path} is an archive of arrays: write each array with numpy.save into a file of its own")
    return array


def _read(path: Path, member: str, whole: bool) -> tuple[tuple[int, ...], np.ndarray]:
    """The shape of a member and its numbers, which are left out unless `whole`."""
    with (
        readable(f"{path} cannot be read", "copy it again, or write it with numpy.savez"),
        zipfile.ZipFile(path) as archive,
        archive.open(f"{member}.npy") as file,
    ):
        shape, fortran, dtype = _header(file, path, member)
        size, there = prod(shape) * dtype.itemsize, archive.getinfo(f"{member}.npy").file_size - file.tell()
        if size != there:
            raise ValueError(f"{member} claims {size:,} bytes and holds {there:,}")
        if size > MAX_BYTES:
            raise ValueError(f"{member} has {size / 1e9:.1f} GB, too much for one episode")
        if not whole:
            return shape, np.empty(0)
        array = np.frombuffer(file.read(size), dtype)
        return shape, array.reshape(shape, order="F" if fortran else "C")


def _header(file: IO[bytes], path: Path, member: str | None) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, order and type of the array that begins here.

    Raises:
        Refused: it holds Python objects.
    """
    version = npy_format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"it is of version {version[0]}.{version[1]}")
    read = npy_format.read_array_header_1_0 if version == (1, 0) else npy_format.read_array_header_2_0
    shape, fortran, dtype = read(file)
    if dtype.hasobject:
        raise Refused(_objects(path, member))
    return shape, fortran, dtype


def _objects(path: Path, member: str | None) -> str:
    """How to get the arrays out of an array of Python objects."""
    if member is None:
        lines = (
            f'import numpy as np; x = np.load("{path.name}", allow_pickle=True)',
            f'for i, episode in enumerate(x): np.save(f"{_numbered(path.stem)}.npy", np.stack(episode))',
        )
    else:
        lines = (
            f'import numpy as np; x = np.load("{path.name}", allow_pickle=True)',
            f'np.savez("whole_{path.name}", **{{name: np.array(x[name].tolist()) for name in x}})',
        )
    what = f"{path}" + (f", {member}," if member else "")
    return (
        f"{what} holds Python objects, such as episodes of unequal length. They can only be unpickled, which may run a program "
        "that somebody hid in them, so dreamlap does not. If you trust the file, write each episode into a file of its own "
        "with these two lines of Python, and import those:\n    " + "\n    ".join(lines)
    )


def _numbered(stem: str) -> str:
    """'car_frames' as a template of names, 'car_{i}_frames': the last word says what the array is."""
    head, border, word = stem.rpartition("_")
    return f"{head}{border}{{i}}_{word}"
