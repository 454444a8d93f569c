"""Where a car is driven: the real track, or the dream of an agent as a track of its own."""

from typing import Any

import numpy as np
import torch

from dreamlap.agent import Agent, Starts, load_agent
from dreamlap.errors import Refused
from dreamlap.mind.dream import Dream, DreamConfig
from dreamlap.mind.interface import sound
from dreamlap.parallel import own_settings
from dreamlap.track import STOCK, FastCarRacing, TrackConfig, read_options

ENDLESS = 2**62
"""A horizon that no dream reaches: whoever drives has a clock of his own."""


class DreamTrack:
    """The dream of one agent, driven like the real track: stock actions in, frames drawn by its V out.

    What is learned here is learned from a world that nobody has programmed.
    """

    car = None  # M knows of no car, so there is no true speed

    def __init__(self, agent: Agent, starts: Starts | None = None):
        """`starts`: the moments that dreams go on from, by default those that the agent carries along."""
        self.agent, self.mind = agent, Dream(agent, 1, DreamConfig(horizon=ENDLESS), starts)

    def reset(self, *, seed: int, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin at a real moment that the agent remembers -> (S, S, 3) uint8. There is no tile to choose in `options`: they
        are read as a track's, and change nothing."""
        read_options(options)
        self.mind.reset([seed])
        return self.mind.render()[0], {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """A stock action (3,) -> the frame that follows (S, S, 3) uint8, the reward that M predicts, whether M ends it."""
        own = torch.from_numpy(self.agent.actions.from_stock(STOCK.read(action))).to(self.mind.device)
        with own_settings(), torch.no_grad():
            step = sound(self.mind.step(own[None]))
            frame = self.agent.vision.decode(step.final_observation[:, : self.agent.vision.latent])
        return frame[0].cpu().numpy(), float(step.reward[0]), bool(step.terminated[0]), False, {}

    def close(self) -> None:
        """Nothing is held."""


Track = FastCarRacing | DreamTrack
"""What is driven."""


def open_world(config: TrackConfig) -> Track:
    """The track that `config` describes.

    Raises:
        ValueError: the dream's frames are not what `config` asks for.
    """
    if not config.dream:
        return FastCarRacing(size=config.size, bar=config.bar, repeat=config.repeat, domain_randomize=config.randomize)
    try:
        agent = load_agent(config.dream)
    except FileNotFoundError:
        raise Refused(
            f"this track is the dream of the agent in {config.dream} (track.dream), which is not there. If the path is "
            "relative, work in the folder that it is relative to; or put that agent there"
        ) from None
    dreamed = agent.config.track
    for name in ("size", "bar", "repeat"):
        if (there := getattr(dreamed, name)) != (wanted := getattr(config, name)):
            raise Refused(f"in the dream of {config.dream} {name} is {there}, not {wanted}: use --track.{name} {there}")
    return DreamTrack(agent)


def ways_to_begin(chance: np.random.Generator, random_start: float, reverse: float) -> dict[str, object]:
    """Options for the reset of a world: begin on a random tile with probability `random_start`, drive the lap the other way
    round with probability `reverse`."""
    options: dict[str, object] = {"start_tile": "random"} if chance.random() < random_start else {}
    return options | {"reverse": chance.random() < reverse} if reverse else options
