"""Weights in files: safetensors, written whole or not at all, and never unpickled."""

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from dreamlap.run import replacing

FORMAT = 1
"""Of agent.json and the files of weights beside it."""


def save_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors so that a reader sees the old file or the new one."""
    with replacing(path) as partial:
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, str(partial))


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Read tensors, or say which file is missing or broken."""
    try:
        return load_file(str(path))
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} cannot be read ({error}): copy the agent again, or train it again") from error


def load_weights(part: nn.Module, path: Path) -> None:
    """Give `part` the weights in a file, or say that they are not its own."""
    try:
        part.load_state_dict(load_tensors(path))
    except RuntimeError as error:
        raise ValueError(f"{path} does not fit what agent.json describes: {error}") from error
