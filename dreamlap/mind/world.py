"""Where a car is driven: the real track, or the dream of an agent as a track of its own."""

from collections.abc import Sequence
from typing import Any, NamedTuple

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
        frames, rewards, ended = _dream_all([self], STOCK.read(action)[None])
        return frames[0], float(rewards[0]), bool(ended[0]), False, {}

    def close(self) -> None:
        """Nothing is held."""


Track = FastCarRacing | DreamTrack
"""What is driven."""


class Steps(NamedTuple):
    """One step on each of N tracks."""

    frames: np.ndarray  # (N, S, S, 3) uint8
    rewards: np.ndarray  # (N,) float32
    ended: np.ndarray  # (N,) bool


def step_all(tracks: Sequence[Track], actions: np.ndarray) -> Steps:
    """Drive every track one step by a stock action of its own, (N, 3). Dreams of one agent take it in one batch."""
    first = tracks[0]
    if isinstance(first, DreamTrack):
        dreams = [track for track in tracks if isinstance(track, DreamTrack) and track.mind.starts is first.mind.starts]
        if len(dreams) == len(tracks):
            return _dream_all(dreams, actions)
    frames, rewards, ended, _, _ = zip(*(track.step(a) for track, a in zip(tracks, actions, strict=True)), strict=True)
    return Steps(np.stack(frames), np.array(rewards, np.float32), np.array(ended))


def _dream_all(tracks: Sequence[DreamTrack], actions: np.ndarray) -> Steps:
    """One step of dreams that go on from the same moments: the first one's mind dreams them all."""
    agent, minds = tracks[0].agent, [track.mind for track in tracks]
    own = torch.from_numpy(agent.actions.from_stock(actions)).to(minds[0].device)
    with own_settings(), torch.no_grad():
        minds[0].present = tuple(map(torch.cat, zip(*(mind.present for mind in minds), strict=True)))
        step = sound(minds[0].step(own))
        frames = agent.vision.decode(step.final_observation[:, : agent.vision.latent])
        for mind, *present in zip(minds, *(part.split(1) for part in minds[0].present), strict=True):
            mind.present = tuple(present)
    return Steps(frames.cpu().numpy(), step.reward.cpu().numpy(), step.terminated.cpu().numpy())


def open_worlds(config: TrackConfig, count: int) -> list[Track]:
    """`count` tracks that `config` describes; if they are dreams, of one agent.

    Raises:
        ValueError: as of `open_world`.
    """
    if not config.dream or not count:
        return [open_world(config) for _ in range(count)]
    first = open_world(config)
    return [first, *(DreamTrack(first.agent) for _ in range(count - 1) if isinstance(first, DreamTrack))]


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
