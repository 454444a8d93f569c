"""How the track is seen and acted on."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class TrackConfig:
    """How the track is seen and acted on."""

    size: int = 64
    """Side of the frames that V sees, in pixels: the stock 96x96 scaled by area."""
    bar: bool = True
    """Whether V sees the instrument bar (speed, wheels, steering); without it the frame is the 84 rows above, stretched."""
    actions: Literal["pedal", "stock"] = "pedal"
    """`stock`: steer, gas, brake. `pedal`: steer and one pedal, gas above 0 and brake below: C cannot press both."""
