"""Who drives while data is collected: random drivers, a privileged autopilot, a person, the agent itself.

A `Driver` drives many tracks at once from their frames; `PerTrack` makes one from drivers of a single track.
"""

from pathlib import Path
from typing import Annotated

from dreamlap.agent import Agent, load
from dreamlap.drivers.agent import AgentDriver
from dreamlap.drivers.autopilot import Autopilot
from dreamlap.drivers.driver import Driver, PerTrack, Solo
from dreamlap.drivers.expert import ExpertDriver
from dreamlap.drivers.person import Person
from dreamlap.drivers.scripted import CorrelatedDriver, RandomDriver
from dreamlap.errors import Refused
from dreamlap.expert import Expert
from dreamlap.files import place
from dreamlap.settings import settings, span

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


SCRIPTED = ("random", "correlated", "autopilot")
"""Drivers that are known by their names; any other is the folder of an agent or expert."""


@settings
class DriverConfig:
    """Who drives, and how steadily."""

    kind: str = "autopilot"
    """`random`, `correlated`, `autopilot` (privileged: it sees the track's geometry), or the folder of an agent or expert."""
    noise: Annotated[tuple[float, float], span(0, 100)] = (0.0, 0.8)
    """Strength of the noise on the actions of autopilot, agent and expert, drawn for every episode between the two."""
    speed: Annotated[tuple[float, float], span(0.01, 10)] = (0.6, 1.15)
    """The autopilot's share of the speed that its line allows, drawn for every episode between the two."""
    offset: Annotated[tuple[float, float], span(-100, 100)] = (-6.0, 6.0)
    """How far right of its line the autopilot drives, in track units (the road is 13 wide), drawn likewise: far
    enough to meet cars that have cut a corner."""

    @property
    def name(self) -> str:
        """What its episodes are named after: the last part of its folder's path, which need not be unique."""
        return (Path(self.kind).name or place(self.kind).resolve().name)[:100]


def build_driver(config: DriverConfig, n: int) -> Driver:
    """A driver for `n` tracks."""
    if config.kind == "random":
        return PerTrack(RandomDriver, n)
    if config.kind == "correlated":
        return PerTrack(CorrelatedDriver, n)
    if config.kind == "autopilot":
        return PerTrack(lambda: Autopilot(config.noise, config.speed, config.offset), n)
    if config.kind == "person":
        raise Refused("a person drives in a window: dreamlap play --record FOLDER")
    return seat(load(config.kind), n, config.noise)


def seat(agent: Agent | Expert, n: int, noise: tuple[float, float] = (0.0, 0.0)) -> AgentDriver | ExpertDriver:
    """Put an agent or an expert at the wheel of `n` tracks, with noise of a standard deviation between two bounds."""
    return ExpertDriver(agent, n, noise) if isinstance(agent, Expert) else AgentDriver(agent, n, noise)
