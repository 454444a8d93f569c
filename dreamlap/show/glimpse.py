"""A drive to look at what V and M make of it."""

from contextlib import closing

from dreamlap.agent import Agent
from dreamlap.drivers import AgentDriver
from dreamlap.episodes import Episode
from dreamlap.episodes.record import Tape
from dreamlap.mind.world import open_world
from dreamlap.parallel import one_thread
from dreamlap.seeds import training_track


def unseen_drive(agent: Agent, seed: int, steps: int = 400) -> Episode:
    """The agent on a training track that it has all but surely never seen."""
    return drive_on(agent, training_track("glimpse", seed=seed), steps)


def drive_on(agent: Agent, track_seed: int, steps: int) -> Episode:
    """The agent on the track of that seed (the fast one: for looks, not for scores)."""
    with closing(open_world(agent.config.track)) as track, one_thread():
        frame, _ = track.reset(seed=track_seed)
        tape, driver = Tape(track, frame, {"track": track_seed}), AgentDriver(agent, 1)
        for _ in range(steps):
            tape.step(driver.act(tape.frames[-1][None])[0])
    return tape.episode()
