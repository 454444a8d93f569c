"""Who drives while data is collected: random drivers, a privileged autopilot, a person, the agent itself.

A `Driver` drives many tracks at once from their frames; `PerTrack` makes one from drivers of a single track.
"""

from dreamlap.agent import Agent, load
from dreamlap.config.parts import DriverConfig
from dreamlap.drivers.agent import AgentDriver
from dreamlap.drivers.autopilot import Autopilot
from dreamlap.drivers.driver import Driver, PerTrack, Solo
from dreamlap.drivers.expert import ExpertDriver
from dreamlap.drivers.person import Person
from dreamlap.drivers.scripted import CorrelatedDriver, RandomDriver
from dreamlap.errors import Refused
from dreamlap.expert import Expert
from dreamlap.named import PERSON

__all__ = [
    "AgentDriver",
    "Autopilot",
    "CorrelatedDriver",
    "Driver",
    "DriverConfig",
    "ExpertDriver",
    "PerTrack",
    "Person",
    "RandomDriver",
    "Solo",
    "build_driver",
    "seat",
]


def build_driver(config: DriverConfig, n: int) -> Driver:
    """A driver for `n` tracks."""
    if config.kind == "random":
        return PerTrack(RandomDriver, n)
    if config.kind == "correlated":
        return PerTrack(CorrelatedDriver, n)
    if config.kind == "autopilot":
        return PerTrack(lambda: Autopilot(config.noise, config.speed, config.offset), n)
    if config.kind == PERSON:
        raise Refused("a person drives in a window: dreamlap play --record FOLDER")
    return seat(load(config.kind), n, config.noise)


def seat(agent: Agent | Expert, n: int, noise: tuple[float, float] = (0.0, 0.0)) -> AgentDriver | ExpertDriver:
    """Put an agent or an expert at the wheel of `n` tracks, with noise of a standard deviation between two bounds."""
    return ExpertDriver(agent, n, noise) if isinstance(agent, Expert) else AgentDriver(agent, n, noise)
