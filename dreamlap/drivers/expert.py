"""The expert as a driver: it collects the data of someone who can drive, from its frames alone."""

from typing import Any

import numpy as np

from dreamlap.drivers.agent import Wander, check_sight
from dreamlap.expert import Expert


class ExpertDriver:
    """An expert on N tracks at once, with correlated noise on what it does, though not on what it goes on holding."""

    def __init__(self, expert: Expert, n: int, noise: tuple[float, float] = (0.0, 0.0)) -> None:
        """`noise`: bounds between which the noise's standard deviation is drawn for every episode."""
        self.expert, self.state = expert, expert.initial(n)
        self.wander = Wander(n, expert.actions.size, noise)
        self.steps = 1

    def reset(self, i: int, track: Any, rng: np.random.Generator) -> None:
        """See `Driver.reset`. A step of the track may last several of the stock's: the expert counts those."""
        check_sight(self.expert.config.track, track)
        self.state[i] = 0
        self.wander.reset(i, rng)
        self.steps = getattr(track, "repeat", 1)

    def act(self, frames: np.ndarray) -> np.ndarray:
        """See `Driver.act`."""
        action, self.state = self.expert.drive(frames, self.state, self.steps)
        return self.expert.actions.to_stock(action.cpu().numpy() + self.wander.step())
