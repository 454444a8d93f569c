"""What an agent's V and M make of an episode, whoever drives it."""

from typing import NamedTuple

import numpy as np
import torch

from dreamlap.agent import Agent, Starts
from dreamlap.memory import mixture
from dreamlap.track import TrackConfig, off_road

ON_ROAD = 0.5
"""`off_road` below which the car counts as being on the road."""


class View(NamedTuple):
    """What V and M make of one frame."""

    reconstruction: np.ndarray  # (S, S, 3) uint8, z decoded by V
    prediction: np.ndarray  # (S, S, 3) uint8, the mean of what M predicted one step before, decoded by V
    words: str  # what else M predicted


class Observer:
    """Follows an episode with an agent's V and M."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent

    def begin(self, frame: np.ndarray) -> None:
        """An episode begins with this frame (S, S, 3)."""
        self.now = self._see(frame, self.agent.memory.initial(1))

    @torch.no_grad()
    def follow(self, action: np.ndarray, frame: np.ndarray) -> None:
        """The stock action (3,) was done, and this frame (S, S, 3) followed."""
        own = torch.from_numpy(self.agent.actions.from_stock(action)).to(self.now.z)
        self.now = self._see(frame, self.agent.memory.step(self.now.z, own[None], self.now.state))

    def _see(self, frame: np.ndarray, state: torch.Tensor) -> Starts:
        return Starts(self.agent.perceive(frame[None], state)[0], state)

    @torch.no_grad()
    def view(self) -> View:
        """What V and M make of the present frame."""
        predicted = self.agent.memory.foresee(self.now.state)
        seen, expected = self.agent.vision.decode(torch.cat([self.now.z, mixture.mean(predicted.z)])).cpu().numpy()
        words = f"reward {float(predicted.reward):+.1f}   off road {float(predicted.off_road.sigmoid()):.0%}"
        return View(seen, expected, f"{words}   end {float(predicted.end.sigmoid()):.0%}")


def understands(agent: Agent, track: TrackConfig) -> bool:
    """Whether the frames of this track are those that the agent's V and M know."""
    known = agent.config.track
    return (known.size, known.bar, known.repeat) == (track.size, track.bar, track.repeat)


@torch.no_grad()
def starts_on_road(agent: Agent) -> Starts | None:
    """The agent's moments with the car on the road and a past that M remembers; all of them if there are none such."""
    starts = agent.starts
    if starts is None:
        return None
    frames = agent.vision.decode(starts.z).cpu().numpy()
    away = torch.from_numpy(off_road(frames, agent.config.track.bar)).to(starts.z)
    good = (away < ON_ROAD) & (starts.state != 0).any(-1)
    return Starts(starts.z[good], starts.state[good]) if good.any() else starts
