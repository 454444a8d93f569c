"""Tensors in files: safetensors with a checksum, written whole or not at all, checked before they are read, never unpickled."""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from dreamlap.errors import Refused
from dreamlap.files import replacing

FORMAT = 1
"""Of agent.json and the files of weights beside it."""
MOST_BYTES = 64 * 2**30
"""Of one file of tensors: what claims more is a mistake, or an attack on the memory."""


def checksum(arrays: Iterable[tuple[str, np.ndarray]], *more: str) -> str:
    """A fingerprint (32 hex digits of SHA-256) of arrays by name, with their shapes and types, and of texts."""
    found = hashlib.sha256("\0".join(more).encode())
    for name, array in sorted(arrays, key=lambda item: item[0]):
        found.update(f"\0{name} {array.dtype.str} {array.shape}\0".encode())
        found.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return found.hexdigest()[:32]


def checksum_of(tensors: Mapping[str, Tensor], *more: str) -> str:
    """The same of tensors."""
    return checksum(((name, tensor.detach().cpu().numpy()) for name, tensor in tensors.items()), *more)


def save_tensors(path: Path, tensors: Mapping[str, Tensor], unknown: Iterable[str] = ()) -> None:
    """Write tensors, with their checksum, so that a reader sees the old file or the new one.

    Raises:
        Refused: one is not finite; those named in `unknown` may be NaN where nothing is known.
    """
    kept = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    refuse_nan(path, {name: tensor for name, tensor in kept.items() if name not in set(unknown)})
    with replacing(path) as partial:
        save_file(kept, str(partial), {"checksum": checksum_of(kept)})


def load_tensors(path: Path, like: Mapping[str, Tensor], unknown: Iterable[str] = ()) -> dict[str, Tensor]:
    """Read tensors, once their names, shapes and types are known to be those of `like`, and verify their checksum.

    A size of 0 in `like` stands for any. Those named in `unknown` may be NaN where nothing is known. Files without a checksum,
    of older versions, are read as they are.

    Raises:
        Refused: the file is missing, broken, changed, too large or of other tensors, or a number in it is not finite.
    """
    try:
        with safe_open(str(path), framework="pt") as file:
            written = (file.metadata() or {}).get("checksum")
            names = list(file.keys())
            _refuse_other(path, {name: file.get_slice(name) for name in names}, like)
            if path.stat().st_size > MOST_BYTES:
                raise Refused(f"{path} has {path.stat().st_size / 1e9:,.0f} GB: that is no file of ours")
            tensors = {name: file.get_tensor(name) for name in names}
    except (SafetensorError, OSError) as error:
        raise Refused(f"{path} cannot be read ({error}): copy the agent again, or train it again") from error
    for name, tensor in tensors.items():
        if tensor.dtype != like[name].dtype:
            wrong = f"{name} is {tensor.dtype}, not {like[name].dtype}"
            raise Refused(f"{path} does not fit what agent.json describes: {wrong}. Copy the agent again")
    if written is not None and written != checksum_of(tensors):
        raise Refused(f"{path} has changed since it was written (its checksum differs): copy it again, or train it again")
    refuse_nan(path, {name: tensor for name, tensor in tensors.items() if name not in set(unknown)})
    return tensors


def written_checksum(path: Path) -> str:
    """The checksum that a file of tensors was written with, by its header alone; empty if it has none, or is broken."""
    try:
        with safe_open(str(path), framework="pt") as file:
            return (file.metadata() or {}).get("checksum", "")
    except (SafetensorError, OSError):
        return ""


def load_weights(part: nn.Module, path: Path) -> None:
    """Give `part` the weights in a file, or say that they are not its own. `part` may be on torch's `meta` device."""
    part.load_state_dict(load_tensors(path, part.state_dict()), assign=True)


def _refuse_other(path: Path, found: Mapping[str, object], like: Mapping[str, Tensor]) -> None:
    if missing := sorted(like.keys() - found.keys()) or sorted(found.keys() - like.keys()):
        word = "lacks" if missing[0] in like else "holds"
        raise Refused(f"{path} does not fit what agent.json describes: it {word} {missing[0]}. Copy the agent again")
    for name, wanted in like.items():
        shape = tuple(found[name].get_shape())  # pyright: ignore[reportAttributeAccessIssue]  # safetensors has no stubs
        if len(shape) != wanted.ndim or any(size not in (0, found) for size, found in zip(wanted.shape, shape, strict=True)):
            raise Refused(
                f"{path} does not fit what agent.json describes: {name} is of shape {shape}, not {tuple(wanted.shape)}. "
                "Copy the agent again"
            )


def refuse_nan(path: Path, tensors: Mapping[str, Tensor], remedy: str = "train again, or copy it again") -> None:
    """Refuse tensors, of the file `path`, in which a number is not finite."""
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise Refused(f"{path}: {name} holds NaN or infinity, so it is broken: {remedy}")
