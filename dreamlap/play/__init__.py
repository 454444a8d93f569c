"""A window to drive in, or to watch a driver: on the track or in a dream, kept as episodes on request."""

from dreamlap.play.display import Display
from dreamlap.play.play import play

__all__ = ["Display", "play"]
