"""What awake and dreaming have in common."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from gymnasium.error import ResetNeeded
from torch import Tensor

from dreamlap.agent import Agent
from dreamlap.errors import Refused


class Step(NamedTuple):
    """One step of N minds. A mind whose episode ended has already begun the next one, if it is told to `restart`."""

    observation: Tensor  # (N, Z + H), what C sees next
    reward: Tensor  # (N,), the track's, or what M predicts
    terminated: Tensor  # (N,) bool: the track, or M, ended the episode
    truncated: Tensor  # (N,) bool: the clock ended it
    off_road: Tensor  # (N,), how far the car has left the road, 0 to 1: see `dreamlap.track.marks.off_road`
    final_observation: Tensor  # (N, Z + H), before the auto-reset: differs from `observation` where an episode ended


class _Unbegun:
    def __get__(self, mind: object, kind: type | None = None) -> Any:
        if mind is None:
            return self
        raise ResetNeeded("call reset() first: no episode has begun")


def set_by_reset() -> Any:
    """The value of an attribute until `reset` sets it: whoever reads it before is told to call `reset`."""
    return _Unbegun()


class Mind(Protocol):
    """N minds side by side, each with an episode of its own."""

    agent: Agent  # whose V and M these are
    num_envs: int
    observation_size: int  # Z + H
    action_size: int
    device: torch.device

    def reset(self, seeds: Sequence[int]) -> Tensor:
        """Begin N episodes, mind i from seed i -> observation (N, Z + H)."""
        ...

    def step(self, action: Tensor) -> Step:
        """Act: (N, A) in the agent's own form; what is out of bounds is clipped."""
        ...

    def keep(self, rows: Tensor) -> None:
        """Go on with some of the minds, in their order: a mask (N,) bool. A reset begins as many as there are seeds."""
        ...

    def render(self) -> np.ndarray:
        """What each mind looks at, (N, S, S, 3) uint8: the frame when awake, drawn by V when dreaming."""
        ...


def sound(step: Step) -> Step:
    """The same step, for whoever is not ours.

    Raises:
        Refused: M or V gave what is no number.
    """
    if not (torch.isfinite(step.final_observation).all() and torch.isfinite(step.reward).all()):
        raise Refused("this agent's V or M gave what is no number: its weights are broken. Train it again, or copy it again")
    return step
