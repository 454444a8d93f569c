"""Where tensors live, how exact their products are, and how many cores there are for them."""

import os
from collections.abc import Callable
from functools import partial

import joblib
import torch

from dreamlap.errors import Refused

Autocast = Callable[[], torch.autocast]
"""Makes a context in which matrix products have the chosen precision: a new one for every thread."""


def choose_device(name: str) -> torch.device:
    """The device of that name; `auto` takes a GPU where there is one.

    On a CPU, every thread computes alone: torch's own way of sharing one operation among threads waits for the slowest of them
    thousands of times a second, and next to another busy process nearly stops. See `dreamlap.parallel.side_by_side`.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    if name == "cpu":
        torch.set_num_threads(1)
    return known_device(name)


def known_device(name: str | torch.device) -> torch.device:
    """The device of that name, such as `cuda:1`.

    Raises:
        Refused: torch knows none of that name, or there is none here.
    """
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError):
        raise Refused(f"there is no device {name!r:.60}: use cpu, cuda or mps") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise Refused(f"--device {device}: torch sees no CUDA GPU here; use --device cpu")
    if device.type == "cuda" and device.index is not None and device.index >= torch.cuda.device_count():
        raise Refused(f"--device {device}: torch sees no such GPU here, only {torch.cuda.device_count()}")
    return device


def cores() -> int:
    """Cores that this process may use: those of its affinity and its cgroup's quota, and no more than OMP_NUM_THREADS."""
    asked = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    return min(joblib.cpu_count(), int(asked)) if asked.isdecimal() and int(asked) else joblib.cpu_count()


def choose_autocast(precision: str, device: torch.device) -> Autocast:
    """Matrix products in bfloat16, or a context that changes nothing; `auto` asks the hardware."""
    if precision == "auto":
        precision = "bfloat16" if _multiplies_bfloat16(device) else "float32"
    enabled = precision == "bfloat16"
    return partial(torch.autocast, device.type, torch.bfloat16, enabled=enabled, cache_enabled=False)  # threads share a cache


def _multiplies_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    return device.type == "cpu" and torch.cpu.get_capabilities().get("avx512_bf16", False)
