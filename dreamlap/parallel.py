"""The same function on many items: on threads, in many processes of this machine (joblib's), or on a cluster."""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from functools import cache, partial
from typing import Any, TypeVar, cast

import torch
from joblib import Parallel, delayed
from joblib.externals.loky import process_executor
from joblib.externals.loky.process_executor import TerminatedWorkerError

from dreamlap import cluster
from dreamlap.device import cores
from dreamlap.errors import Failed

CPU = torch.device("cpu")
GROWTH = 2 << 30
"""Bytes by which a process may grow before joblib takes that for a leak and starts another, where psutil is there to tell.
Its own limit is 0.3 GB. V, M and a process's tracks are about as much, and a start takes as long as many drives."""
Item = TypeVar("Item")
Result = TypeVar("Result")


def in_parallel(function: Callable[[Item], Result], items: Iterable[Item], workers: int) -> Iterator[Result]:
    """`function` of every item, in order, as they become ready. What a process raises is raised here, with its traceback.

    Within `dreamlap.cluster.on_cluster` the cluster's cores do it, however many there are.
    """
    if cluster.in_use():
        yield from cluster.spread(partial(_with_own_settings, function), items)
        return
    jobs = (delayed(_with_own_settings)(function, item) for item in items)
    try:
        yield from cast(Iterator[Result], Parallel(n_jobs=workers, return_as="generator")(jobs))
    except TerminatedWorkerError as error:
        raise Failed(
            "a working process died: out of memory, or killed. What was written is kept; run the same command again to go on, "
            f"with fewer --workers if memory was short. ({error})"
        ) from error


def _with_own_settings(function: Callable[[Any], Result], item: Any) -> Result:
    """One process a core: more threads would get in each other's way, and change the order of sums."""
    process_executor._MAX_MEMORY_LEAK_SIZE = GROWTH
    with own_settings():
        return function(item)


@contextmanager
def own_settings() -> Iterator[None]:
    """Torch as it is needed here, whatever the caller has set: new tensors are float32 and on the CPU, and there is one thread.

    Several threads that share an operation wait for each other, and next to a busy process nearly stop.
    """
    threads, dtype, device = torch.get_num_threads(), torch.get_default_dtype(), torch.get_default_device()
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float32)
    try:
        with nullcontext() if device == CPU else CPU:
            yield
    finally:
        torch.set_num_threads(threads)
        torch.set_default_dtype(dtype)


def side_by_side(function: Callable[[Item], Result], items: Iterable[Item], device: torch.device = CPU) -> Iterator[Result]:
    """`function` of every item, in order: on a CPU on as many threads as there are cores, for torch lets go of the interpreter
    while it computes. Another device shares its work itself, and is asked from one thread.

    How a batch is cut into items must not depend on the cores: then they change the time, and nothing else.
    """
    return _threads(cores()).map(function, items) if device.type == "cpu" else map(function, items)


@cache
def _threads(count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count, "dreamlap", initializer=torch.set_num_threads, initargs=(1,))


def _after_fork() -> None:
    """A forked process has none of its parent's threads, neither ours nor torch's: it would wait for them forever."""
    _threads.cache_clear()
    torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
