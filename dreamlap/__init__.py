"""dreamlap teaches a car to drive CarRacing from pixels with a world model.

V sees, M remembers and predicts, C acts; and M alone is a dream in which C can be trained. After Ha & Schmidhuber, *World
Models* (2018). Importing this package registers five environments with Gymnasium: the track `dreamlap/CarRacing-v3`, the
robustness exam `dreamlap/StockExam-v3` and `dreamlap/FastExam-v3`, and the minds `dreamlap/Dream-v0` and `dreamlap/Awake-v0`.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from dreamlap.registration import register

if TYPE_CHECKING:
    from dreamlap.agent import Agent, load, load_agent
    from dreamlap.evaluation import evaluate
    from dreamlap.training import train

    __version__: str

__all__ = ["Agent", "__version__", "evaluate", "load", "load_agent", "train"]

_HOMES = {"Agent": "agent", "load": "agent", "load_agent": "agent", "evaluate": "evaluation", "train": "training"}
"""Where public names live: the module of each."""

os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")
"""One seed, one agent: only if sums are added up in one order. MKL, which multiplies torch's matrices on most CPUs, promises it
only when told so before its first product (its developer guide: conditional numerical reproducibility).
"""

os.environ.setdefault("SDL_FRAMEBUFFER_ACCELERATION", "0")
"""Windows are drawn by the CPU, as what they show is. With OpenGL, Mesa loads a compiler (LLVM) into the process; triton, which
torch loads with its first optimizer where it is installed, brings another one, and the interpreter crashes.
"""

register()


def __getattr__(name: str) -> Any:
    """Load a public name when it is first asked for: torch takes seconds, and help and Gymnasium need none of it."""
    if name == "__version__":
        return _version()
    if name not in _HOMES:
        raise AttributeError(f"module 'dreamlap' has no attribute {name!r}")
    return getattr(import_module(f"dreamlap.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    """The public names, those that are not loaded yet among them."""
    return __all__


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("dreamlap")
    except PackageNotFoundError:  # a source tree that was not installed
        return "0+source"
