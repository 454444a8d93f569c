"""An episode in memory, and what makes one: the same is asked of what is written and of what is read."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

from dreamlap.errors import Refused
from dreamlap.track.actions import outside
from dreamlap.weights import checksum

MOST_SIDE = 2048
"""Pixels on a side of a frame: what claims more is a mistake, or an attack on the memory."""
MOST_BYTES = 4 * 2**30
"""Of the frames of one episode, which are in memory together when they are encoded."""
TOLD = {"terminated": bool, "truncated": bool, "track": int, "driver": str, "source": str, "file": str, "made": dict}
"""What is read again of what an episode says about itself, and its type. All but the first two may be missing."""


@dataclass(frozen=True)
class Episode:
    """T steps on one track: `frames[t]` is seen, `actions[t]` done, `rewards[t]` earned, `frames[t + 1]` seen next.

    What nobody recorded, in episodes that were made elsewhere, is NaN throughout: it cannot be mistaken for a number.
    """

    frames: np.ndarray  # (T + 1, S, S, 3) uint8
    actions: np.ndarray  # (T, 3) float32, the stock track's steer, gas, brake
    rewards: np.ndarray  # (T,) float32, or NaN throughout
    speeds: np.ndarray  # (T + 1,) float32, the car's true speed, or NaN: for measuring V, never shown to V, M or C
    terminated: bool  # the track ended it: the lap is finished, or the car has left the playfield
    truncated: bool  # the clock ended it
    about: dict[str, Any] = field(default_factory=dict)  # track seed, driver, whatever is worth knowing later

    def __len__(self) -> int:
        return len(self.actions)

    @property
    def identity(self) -> str:
        """A fingerprint of what happened: frames, actions, rewards and how it ended, whatever the episode is called."""
        arrays = {"frames": self.frames, "actions": self.actions, "rewards": self.rewards}
        return checksum(arrays.items(), f"{self.terminated} {self.truncated}")

    def check(self, where: str) -> None:
        """Refuse what is no episode, before it is kept or learned from.

        Raises:
            Refused: there is no step, sizes or types differ, a number is none, an action is outside the track's range, or
                `about` holds what nothing can read; `where` names it in the message.
        """
        numbers = {"actions": self.actions, "rewards": self.rewards, "speeds": self.speeds}
        try:
            if self.frames.dtype != np.uint8:
                raise ValueError(f"its frames are {self.frames.dtype}, not uint8")
            check_episode(self.frames.shape, numbers, self.told())
        except ValueError as error:
            raise Refused(f"{where}: {error}") from None

    def told(self) -> dict[str, Any]:
        """What its file says about it."""
        return {**self.about, "terminated": self.terminated, "truncated": self.truncated}


def check_episode(shape: tuple[int, ...], numbers: Mapping[str, np.ndarray], told: Mapping[str, Any]) -> None:
    """Whether frames of this shape, the arrays beside them and what is told of them are an episode, written or read.

    `numbers`: `actions` (T, 3), `rewards` (T,) and `speeds` (T + 1,), all float32. `told`: see `TOLD`.

    Raises:
        ValueError: they are not; the message says why.
    """
    if len(shape) != 4 or shape[3] != 3 or not all(1 <= side <= MOST_SIDE for side in shape[1:3]):
        raise ValueError(f"its frames are of shape {shape}, not (T + 1, side, side, 3) with at most {MOST_SIDE} a side")
    if shape[0] < 2:
        raise ValueError("an episode is one step or more, between two frames")
    if prod(shape) > MOST_BYTES:
        raise ValueError(f"it claims {shape[0]:,} frames of {shape[2]}x{shape[1]}: more than {MOST_BYTES:,} bytes")
    check_shapes(numbers, np.float32, actions=(shape[0] - 1, 3), rewards=(shape[0] - 1,), speeds=(shape[0],))
    if (wrong := outside(numbers["actions"])).any():
        i = int(np.argmax(wrong))
        read = ", ".join(f"{value:g}" for value in numbers["actions"][i])
        raise ValueError(
            f"the action of step {i} is no number or outside the track's range, steer -1 to 1, gas and brake 0 to 1: {read}"
        )
    for name in ("rewards", "speeds"):
        if not (known := np.isfinite(numbers[name])).all() and not np.isnan(numbers[name]).all():
            raise ValueError(f"the {name[:-1]} of step {np.argmin(known)} is no number: all are needed, or NaN throughout")
    for name, kind in TOLD.items():
        if type(value := told.get(name, kind())) is not kind:
            raise ValueError(f"it says {name} = {value!r:.60}, which is no {kind.__name__}")
    if not isinstance(track := told.get("made", {}).get("track", {}), dict):
        raise ValueError(f"it was made on the track {track!r:.60}, which is no dict of settings")


def check_shapes(arrays: Mapping[str, np.ndarray], kind: type, **shapes: tuple[int, ...]) -> None:
    """Whether arrays, by their names, are of these shapes and all of this type.

    Raises:
        ValueError: one is not.
    """
    for name, wanted in shapes.items():
        if (found := arrays[name]).shape != wanted or found.dtype != kind:
            raise ValueError(f"its {name} are of shape {found.shape} {found.dtype}, not {wanted} {kind.__name__}")
