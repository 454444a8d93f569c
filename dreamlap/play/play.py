"""`dreamlap play`: who drives, where, and what is kept of it."""

import re
import tempfile
from contextlib import closing, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from dreamlap.agent import Agent, load_agent
from dreamlap.drivers import AgentDriver, Driver, DriverConfig, Person, PerTrack, build_driver, seat
from dreamlap.episodes import Episode, EpisodeStore
from dreamlap.episodes.record import check_driver
from dreamlap.errors import explain
from dreamlap.files import Owned, check_folder
from dreamlap.mind.world import open_world
from dreamlap.named import PERSON
from dreamlap.parallel import own_settings
from dreamlap.play.game import Game
from dreamlap.play.observer import understands
from dreamlap.play.place import Place, told
from dreamlap.play.tally import Outcome, summary
from dreamlap.play.window import Window, check_seen
from dreamlap.progress import console, counted, notes
from dreamlap.seeds import training_track
from dreamlap.settings import SEED, SHARE, checked, least
from dreamlap.track import TrackConfig

STEADY = DriverConfig(noise=(0.0, 0.0), speed=(1.0, 1.0), offset=(0.0, 0.0))
"""How a driver drives that one watches: without noise."""
INCLUDED = "unprivileged"
"""The agent of a session that names none."""


@checked
def play(
    kind: str,
    dream: Path | None,
    record: Path | None,
    track: TrackConfig,
    episodes: Annotated[int, least(1)],
    steps: Annotated[int, least(1)],
    seed: Annotated[int, SEED],
    random_start: Annotated[float, SHARE],
    fps: Annotated[float, least(0)],
) -> list[float]:
    """Open a window and play -> the returns of the episodes that were driven to their end. See `dreamlap play --help`."""
    config = replace(STEADY, kind=kind)
    place = make_place(config, dream, track, random_start)
    prefix, store = f"{config.name}-s{seed}", EpisodeStore(record or "")
    outcomes: list[Outcome] = []

    def keep(number: int) -> bool:
        outcomes.append(outcome(place))
        tell(len(outcomes), outcomes[-1])
        if record and place.at_home:
            keep_somewhere(store, f"{prefix}-{number:05d}", place.tape.episode())
        return place.at_home or not record

    if record:
        check_folder(record)  # before anybody drives
    with Owned(record) if record else nullcontext():
        first, steps = next_number(store, prefix) if record else 0, place.config.decisions(steps)
        game = Game(place, lambda number: training_track(prefix, number, seed=seed), keep, episodes, steps, first)
        with closing(Window(f"recording to {record}" if record else "play")) as window, own_settings():
            if config.kind == PERSON:
                check_seen()
            window.run(game, place, fps, recording=record is not None)
    if game.unfinished:
        tell(len(outcomes) + 1, outcome(place)._replace(ending="not finished"))
    console.print(summary(outcomes) if outcomes else "No episode was driven to its end.")
    if record:
        console.print(f"kept {counted(game.kept, 'episode')} in {record}, which holds {len(store.names())} now")
    return [one.total for one in outcomes]


def make_place(config: DriverConfig, dream: Path | None, track: TrackConfig, random_start: float = 0.0) -> Place:
    """A place for a driver and a person, or for a person and an agent: that of the dream, or the included one.

    Raises:
        Refused, OSError: there is no such driver or dream, or it cannot drive there.
    """
    seen = replace(load_agent(dream).config.track, dream=str(dream)) if dream else track
    driver = None if config.kind == PERSON else build_driver(config, 1)
    if isinstance(driver, AgentDriver):  # it acts, and sees, as it has learned to
        seen = replace(driver.agent.config.track, dream=seen.dream)
    if driver:
        check_driver(config, seen)
    agent, name = _observer_agent(driver, seen)
    person = Person()
    drivers: dict[str, Driver] = {config.kind: driver} if driver else {}
    drivers[PERSON] = PerTrack(lambda: person, 1)
    if agent and not driver:
        drivers[name] = seat(agent, 1)
    return Place(drivers, seen, agent, random_start)


def _observer_agent(driver: Driver | None, seen: TrackConfig) -> tuple[Agent | None, str]:
    """Whose V and M observe, and its name: that of the dream, or who drives, or the included one if these are its frames."""
    if seen.dream:
        open_world(seen).close()  # refuses frames that are not the dream's
        return load_agent(seen.dream), seen.dream
    if isinstance(driver, AgentDriver):
        return driver.agent, ""
    agent = load_agent(INCLUDED)
    return (agent if understands(agent, seen) else None), INCLUDED


def outcome(place: Place) -> Outcome:
    """What came of the present episode."""
    who = " + ".join(dict.fromkeys(told(name) for name in place.drove))
    where = "dream" if place.dreaming else "track"
    return Outcome(who, where, sum(place.rewards), len(place.rewards) * place.config.repeat, place.ending)


def tell(number: int, one: Outcome) -> None:
    """A line about an episode."""
    console.print(f"episode {number}: return {one.total:.1f} in {counted(one.steps, 'step')}, {one.ending}")


def keep_somewhere(store: EpisodeStore, name: str, episode: Episode) -> None:
    """Keep what a person drove: in its folder, or if that can no longer be written, in another one, and say which."""
    try:
        store.write(name, episode)
    except OSError as error:
        other = EpisodeStore(tempfile.mkdtemp(prefix="dreamlap-"))
        other.write(name, episode)
        message = f"{explain(error)}. This episode is kept in {other.folder} instead: move it into {store.folder}"
        notes.print(message, style="red")


def next_number(store: EpisodeStore, prefix: str) -> int:
    """The number after the last episode of this name that the store holds."""
    numbers = [re.fullmatch(rf"{re.escape(prefix)}-(\d+)", name) for name in store.names()]
    return max((int(number[1]) for number in numbers if number), default=-1) + 1
