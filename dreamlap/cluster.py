"""Many machines: a function of many items, computed wherever a core is free in a cluster that Ray manages (https://www.ray.io).

Ray sends the function and an item to a core, and what it gives back to us, as bytes: the machines need this package, and no
disk in common. What a lost process or machine had begun, Ray gives to another. So that costs time and changes no result.
"""

import logging
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any, TypeVar

from dreamlap.errors import Failed, Refused, installing

Item = TypeVar("Item")
Result = TypeVar("Result")

RETRIES = 10
"""How often a task is given to another process when its own is lost, before the task is taken for the cause."""
AHEAD = 2
"""Tasks for each core, those that run included: whoever is ready finds the next one there."""
LOCAL, JOINED = "ray", "auto"
"""The addresses that mean: a new cluster of this machine alone; the one that it is part of, or that RAY_ADDRESS names."""
REACHABLE = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""Ray's own switch, read when it is imported: at 0 it listens on the loopback interface alone, on every system. Otherwise it
listens on all, and whoever reaches it can have it compute anything."""

_within = threading.local()


def in_use() -> bool:
    """Whether a cluster does this thread's work."""
    return getattr(_within, "cluster", False)


@contextmanager
def on_cluster(address: str) -> Iterator[None]:
    """Let a cluster do all driving within the block: collecting, evaluating, choosing, CMA-ES in the real environment.

    Args:
        address: "ray" starts a cluster of this machine alone, that no other one reaches. "auto" is the cluster that this
            machine is part of, or that RAY_ADDRESS names. "HOST:6379" is the cluster whose head that is, "ray://HOST:10001"
            the same through Ray's client; "" is none. A program that has called `ray.init` keeps its cluster.

    Raises:
        Refused: that is no address, or Ray is not installed, or was imported in a way in which others would reach it.
        Failed: no cluster answers there.
    """
    if not address or in_use():
        yield
        return
    check_address(address)
    if address == LOCAL and "ray" not in sys.modules:
        os.environ[REACHABLE] = "0"
    ray = _ray()
    connects = not ray.is_initialized()
    if connects:
        _connect(ray, address)
    _within.cluster = True
    try:
        yield
    finally:
        _within.cluster = False
        if connects:
            ray.shutdown()


def check_address(address: str) -> None:
    """Refuse what is neither an address nor one of the words, nor empty."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if address not in ("", LOCAL, JOINED) and not (host and port.isdecimal()):
        raise Refused(f"--cluster is `ray`, `auto` or the address of Ray's head, such as 10.0.0.1:6379, not {address!r:.60}")


def _ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to anyone unless somebody asks for it
    try:
        import ray
    except ModuleNotFoundError as error:
        raise Refused(f"--cluster needs Ray ({error}): {installing('cluster')}") from error
    return ray


def _connect(ray: Any, address: str) -> None:
    """Ray's own handler of SIGTERM would end us without a word, so ours stays."""
    ours = signal.getsignal(signal.SIGTERM)
    alone = {"address": "local", "include_dashboard": False}
    if address == LOCAL and os.environ.get(REACHABLE) != "0":
        raise Refused(f"Ray was imported before, and would listen to other machines: set {REACHABLE}=0, or call ray.init first")
    try:
        ray.init(**(alone if address == LOCAL else {"address": address}), logging_level=logging.ERROR, log_to_driver=False)
    except (ConnectionError, TimeoutError, RuntimeError, ValueError) as error:
        raise Failed(f"--cluster {address}: no cluster answers there ({error}). `ray status` on its head tells more") from error
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, ours)


def spread(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """`function` of every item, in order, on the cluster in use. What it raises there is raised here.

    Raises:
        Failed: a task was lost again and again, or a machine cannot read it.
    """
    ray = _ray()
    task = ray.remote(num_cpus=1, max_retries=RETRIES)(_call)
    shared, waiting, items = ray.put(function), deque[Any](), iter(items)
    try:
        while True:
            cores = int(ray.cluster_resources().get("CPU", 1))
            waiting.extend(task.remote(shared, item) for item in islice(items, max(0, AHEAD * cores - len(waiting))))
            if not waiting:
                return
            yield ray.get(waiting[0])
            waiting.popleft()
    except ray.exceptions.RayError as error:
        cause = getattr(error, "cause", error)
        if not isinstance(cause, ray.exceptions.RayError):  # what the function raised; where it did stands in the error of Ray
            raise cause from error
        why = (str(cause).strip().splitlines() or [""])[-1]
        raise Failed(
            f"the cluster failed at a task, which it tries up to {RETRIES + 1} times: {type(cause).__name__}: {why}. What was "
            "written is kept; the same command goes on. Every machine needs the Python, the dreamlap and the memory of this one"
        ) from error
    finally:
        for left in waiting:
            ray.cancel(left, force=True)


def _call(function: Callable[[Any], Any], item: Any) -> Any:
    return function(item)
