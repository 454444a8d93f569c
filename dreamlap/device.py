"""Where tensors live and how exact their products are."""

import os

import torch

from dreamlap.errors import Refused


def choose_device(name: str) -> torch.device:
    """The device of that name; `auto` takes a GPU where there is one. On a CPU, all cores are used."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise Refused("--device cuda: torch sees no CUDA GPU here; use --device cpu")
    if name == "cpu":
        torch.set_num_threads(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    return torch.device(name)


def choose_autocast(precision: str, device: torch.device) -> torch.autocast:
    """Matrix products in bfloat16, or a context that changes nothing; `auto` asks the hardware."""
    if precision == "auto":
        precision = "bfloat16" if _multiplies_bfloat16(device) else "float32"
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


def _multiplies_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    return device.type == "cpu" and torch.cpu.get_capabilities().get("avx512_bf16", False)
