"""The real world: gymnasium's CarRacing-v3 drawn fast, the geometry of its frames, and the forms of its actions."""

from dreamlap.config.parts import TrackConfig
from dreamlap.track.actions import DISCRETE, PEDAL, STOCK, ActionForm, action_form
from dreamlap.track.drift import warn_of_drift
from dreamlap.track.fast import FastCarRacing, read_options
from dreamlap.track.frames import seen_by, to_frame
from dreamlap.track.marks import around_car, bar_rows, off_road

warn_of_drift()

__all__ = [
    "DISCRETE",
    "PEDAL",
    "STOCK",
    "ActionForm",
    "FastCarRacing",
    "TrackConfig",
    "action_form",
    "around_car",
    "bar_rows",
    "off_road",
    "read_options",
    "seen_by",
    "to_frame",
]
