"""A drive to look at what V and M make of it, and moments of it to dream from."""

from contextlib import closing

import numpy as np
import torch

from dreamlap.agent import PARTS, Agent, Starts
from dreamlap.config.parts import DriverConfig, TrackConfig
from dreamlap.drivers import Driver, build_driver, seat
from dreamlap.episodes import Episode
from dreamlap.episodes.record import begin, decide
from dreamlap.measure.memory import lived
from dreamlap.mind.world import open_world
from dreamlap.parallel import own_settings
from dreamlap.seeds import training_track
from dreamlap.track import off_road

ZOOM = 50
"""Steps at the start of an episode in which CarRacing zooms in from far above: videos and pictures leave them out."""
ON_ROAD = 0.05
"""The most that a car on the road is off it (`dreamlap.track.off_road`)."""


def unseen_drive(agent: Agent, seed: int, steps: int = 400) -> Episode:
    """The agent on a training track that it has all but surely never seen."""
    return drive_on(agent, training_track("glimpse", seed=seed), steps)


def drive_on(agent: Agent, track_seed: int, steps: int) -> Episode:
    """The agent on the track of that seed (the fast one: for looks, not for scores). Before it has a C, the autopilot."""
    with closing(open_world(agent.config.track)) as track, own_settings():
        driver = _driver_of(agent)
        tape = begin(driver, 0, track, track_seed, {})
        for _ in range(steps):
            tape.step(decide(driver, [tape], agent.actions)[0])
    return tape.episode()


def _driver_of(agent: Agent) -> Driver:
    """The autopilot knows the track's geometry, which a dream does not have: there a random walk drives."""
    if "controller" in agent.about.get("trained", PARTS):
        return seat(agent, 1)
    return build_driver(DriverConfig("correlated" if agent.config.track.dream else "autopilot", (0.0, 0.0)), 1)


def zoomed(track: TrackConfig) -> int:
    """Decisions of an agent until the zoom is over."""
    return -(-ZOOM // track.repeat)


def shown_frames(agent: Agent, drive: Episode) -> np.ndarray:
    """The frames (N, S, S, 3) of a drive after the zoom; of one that ended before, all."""
    return drive.frames[zoomed(agent.config.track) :] if len(drive) > zoomed(agent.config.track) else drive.frames


def moments(agent: Agent, seed: int) -> Starts:
    """Where a dream that is shown may begin: after the zoom, with the car on the road if it ever was."""
    drive = unseen_drive(agent, seed)
    z, state, _ = lived(agent, drive)
    last = len(shown_frames(agent, drive))
    away = off_road(drive.frames[-last:], agent.config.track.bar)
    on_road = torch.from_numpy(np.flatnonzero(away <= max(away.min(), ON_ROAD)))
    return Starts(z[-last:][on_road], state[-last:][on_road])
