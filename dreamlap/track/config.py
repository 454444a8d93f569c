"""How the track is seen and acted on."""

from typing import Annotated, Literal

from dreamlap.settings import least, settings

MOST_SIDE = 512
"""Pixels a side of the frames that V, or an expert, can be asked to see: stock's have 96."""
EXAM = ("colours", "bars", "blob")
"""How the robustness exam disturbs frames: see `dreamlap.track.exam`."""
LIMIT = 1000
"""Steps until the clock ends an episode, as on the registered stock track."""


@settings
class TrackConfig:
    """How the track is seen and acted on."""

    size: Annotated[int, least(32)] = 64
    """Side of the frames that V sees, in pixels: the stock 96x96 scaled by area."""
    bar: bool = True
    """Whether V sees the instrument bar (speed, wheels, steering); without it the frame is the 84 rows above, stretched."""
    actions: Literal["pedal", "stock", "discrete"] = "pedal"
    """`stock`: steer, gas, brake. `pedal`: steer and one pedal, gas above 0 and brake below: C cannot press both.
    `discrete`: the five of gymnasium's `continuous=False`; the greatest of five numbers is done."""
    repeat: Annotated[int, least(1, 1000)] = 1
    """Steps of the track that an action lasts; the frames between are neither drawn nor kept (frame skip, save interval)."""
    randomize: bool = False
    """Whether training tracks have colours of their own (gymnasium's `domain_randomize`). Scores never do."""
    dream: str = ""
    """Folder of an agent whose dream is the track that is driven on, drawn by its V; empty for the real one."""

    def decisions(self, steps: int) -> int:
        """How many actions last `steps` steps of the track."""
        return -(-steps // self.repeat)
