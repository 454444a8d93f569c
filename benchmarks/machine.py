"""What a machine itself reaches: the ceilings that stages are measured by."""

import time
from collections.abc import Callable

import torch

from dreamlap.device import cores
from dreamlap.parallel import side_by_side

SECONDS = 2.0
SIZE, BYTES = {"cpu": 2048, "cuda": 4096}, {"cpu": 2**28, "cuda": 2**28}
"""Of the matrices that are multiplied, and of what is copied."""


def wait(device: torch.device) -> None:
    """Until the device has done what it was asked."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def rate(call: Callable[[], object], device: torch.device, seconds: float) -> float:
    """Calls a second, after three that do not count."""
    for _ in range(3):
        call()
    wait(device)
    calls, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        call()
        calls += 1
        wait(device)
    return calls / (time.perf_counter() - began)


def ceilings(device: torch.device) -> dict[str, float]:
    """FLOP/s of a product in both precisions, and bytes/s of a copy, read and written: of all cores together, or of the GPU."""
    size, block = SIZE[device.type], BYTES[device.type]

    def product(dtype: torch.dtype) -> Callable[[], object]:
        a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
        return lambda: a @ b

    def copied() -> Callable[[], object]:
        source, target = (torch.ones(block, dtype=torch.uint8, device=device) for _ in range(2))
        return lambda: target.copy_(source)

    def together(make: Callable[[], Callable[[], object]]) -> float:
        calls = [make() for _ in range(cores() if device.type == "cpu" else 1)]
        return sum(side_by_side(lambda call: rate(call, device, SECONDS), calls, device))

    return {
        "float32": 2 * size**3 * together(lambda: product(torch.float32)),
        "bfloat16": 2 * size**3 * together(lambda: product(torch.bfloat16)),
        "copy": 2 * block * together(copied),
    }
