"""A drive to look at what V and M make of it."""

from contextlib import closing

from dreamlap.agent import PARTS, Agent
from dreamlap.config.parts import DriverConfig
from dreamlap.drivers import Driver, build_driver, seat
from dreamlap.episodes import Episode
from dreamlap.episodes.record import begin, decide
from dreamlap.mind.world import open_world
from dreamlap.parallel import one_thread
from dreamlap.seeds import training_track


def unseen_drive(agent: Agent, seed: int, steps: int = 400) -> Episode:
    """The agent on a training track that it has all but surely never seen."""
    return drive_on(agent, training_track("glimpse", seed=seed), steps)


def drive_on(agent: Agent, track_seed: int, steps: int) -> Episode:
    """The agent on the track of that seed (the fast one: for looks, not for scores). Before it has a C, the autopilot."""
    with closing(open_world(agent.config.track)) as track, one_thread():
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
