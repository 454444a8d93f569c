"""What V, M, C and the minds are given from outside, as tensors that they compute with; or a message that names the shapes."""

from collections.abc import Mapping, Sequence
from types import EllipsisType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dreamlap.errors import Refused

Numbers = Tensor | np.ndarray | Sequence[Any]
"""What may be given: a tensor, an array, or a list."""
Shape = tuple[int | str | EllipsisType, ...]
"""A letter is any size, the same throughout a call; `...`, which may come first, is any number of axes."""


def read(like: Tensor, **given: tuple[Any, Shape]) -> list[Tensor]:
    """Numbers by name, each with the shape that it must have -> tensors of the type of `like`, on its device.

    Raises:
        Refused: a shape is another, or what is given is no tensor, no array and no list of numbers, or an array or a list holds
            what is no finite number of that type.
    """
    found: list[Tensor] = []
    known: dict[str, int] = {}
    for name, (numbers, shape) in given.items():
        tensor = as_tensor(numbers)
        if tensor is None or not torch.can_cast(tensor.dtype, like.dtype) or not _fits(tensor.shape, shape, known):
            raise Refused(_misfit(like, given))
        found.append(tensor.to(like))
        if tensor is not numbers and like.is_floating_point() and not found[-1].isfinite().all():  # tensors are our own
            raise Refused(f"{name} must be finite numbers of {_type(like)}")
    return found


def _misfit(like: Tensor, given: Mapping[str, tuple[Any, Shape]]) -> str:
    """What is wrong with what is given."""
    wanted = ", ".join(f"{name} {_written(shape)}" for name, (_, shape) in given.items())
    told = ", ".join(f"{name} {described(numbers)}" for name, (numbers, _) in given.items())
    batch = f". B is how many there are: one alone is `{next(iter(given))}[None]`" * ("B" in wanted)
    return f"expected {wanted}, of {_type(like)}; given: {told}{batch}"


def beginning(observation: Numbers, size: int, like: Tensor) -> Tensor:
    """What C sees of [z, h] (..., Z + H): the first `size` numbers, as z and h or z alone, and as `read` reads them."""
    seen = as_tensor(observation)
    (seen,) = read(like, observation=(observation if seen is None or not seen.ndim else seen[..., :size], (..., size)))
    return seen


def read_mask(rows: Numbers, count: int, device: torch.device) -> Tensor:
    """Which of `count` minds are meant, a mask (N,) bool, as `read` reads it."""
    (rows,) = read(torch.empty(0, dtype=torch.bool, device=device), rows=(rows, (count,)))
    return rows


def as_tensor(given: Any) -> Tensor | None:
    """A tensor as it is; an array, or a list of arrays, tensors or numbers, as a new one. Anything else is None."""
    if isinstance(given, Tensor):
        return given
    listed = type(given) in (list, tuple)
    try:
        if listed and any(isinstance(one, Tensor) for one in given):
            return torch.stack(list(given))
        if listed or isinstance(given, np.ndarray):
            return torch.from_numpy(np.array(given))  # a copy: torch writes where it reads
    except (TypeError, ValueError, RuntimeError):  # no numbers, or of different shapes
        pass
    return None


def described(given: Any) -> str:
    """The shape and the type of what is given, if it has any."""
    found = given if isinstance(given, np.ndarray) else as_tensor(given)
    return f"a {type(given).__name__}" if found is None else f"{_written(tuple(found.shape))} {_type(found)}"


def _fits(sizes: tuple[int, ...], shape: Shape, known: dict[str, int]) -> bool:
    if shape[0] is ...:
        shape = shape[1:]
        sizes = sizes[-len(shape) :]
    if len(sizes) != len(shape):
        return False
    for size, axis in zip(sizes, shape, strict=True):  # a loop: this is asked several times a step
        if size != axis and (not isinstance(axis, str) or known.setdefault(axis, size) != size):
            return False
    return True


def _written(shape: Shape) -> str:
    axes = ["..." if axis is ... else str(axis) for axis in shape]
    return f"({', '.join(axes)}{',' * (len(axes) == 1)})"


def _type(numbers: Tensor | np.ndarray) -> str:
    return str(numbers.dtype).removeprefix("torch.")
