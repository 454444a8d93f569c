"""dreamlap teaches a car to drive CarRacing from pixels with a world model.

V sees, M remembers and predicts, C acts; and M alone is a dream in which C can be trained. After Ha & Schmidhuber, *World
Models* (2018). Importing this package registers `dreamlap/CarRacing-v3`, `dreamlap/Dream-v0` and `dreamlap/Awake-v0` with
Gymnasium.
"""

import os
from typing import TYPE_CHECKING, Any

from dreamlap.registration import register

if TYPE_CHECKING:
    from dreamlap.agent import Agent, load, load_agent

    __version__: str

__all__ = ["Agent", "__version__", "load", "load_agent"]

os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")
"""One seed, one agent: only if sums are added up in one order. MKL, which multiplies torch's matrices on most CPUs, promises it
only when told so before its first product (its developer guide: conditional numerical reproducibility).
"""

register()


def __getattr__(name: str) -> Any:
    """Load what drives, and the version, when they are first asked for: both take long, and help needs neither."""
    if name in ("Agent", "load", "load_agent"):
        from dreamlap import agent

        return getattr(agent, name)
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("dreamlap")
        except PackageNotFoundError:  # a source tree that was not installed
            return "0+source"
    raise AttributeError(f"module 'dreamlap' has no attribute {name!r}")
