"""Who drives while data is collected: random drivers, and a privileged autopilot.

A `Driver` drives many tracks at once from their frames; `PerTrack` makes one from drivers of a single track.
"""

from dreamlap.drivers.autopilot import Autopilot
from dreamlap.drivers.driver import Driver, PerTrack, Solo
from dreamlap.drivers.scripted import CorrelatedDriver, RandomDriver

__all__ = ["Autopilot", "CorrelatedDriver", "Driver", "PerTrack", "RandomDriver", "Solo"]
