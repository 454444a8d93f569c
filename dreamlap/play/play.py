"""`dreamlap play`: who drives, where, and what is kept of it."""

import re
import tempfile
from contextlib import closing, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from dreamlap.agent import load_agent
from dreamlap.drivers import Driver, DriverConfig, Person, PerTrack, build_driver
from dreamlap.episodes import Episode, EpisodeStore
from dreamlap.errors import explain
from dreamlap.files import Owned, check_folder
from dreamlap.parallel import one_thread
from dreamlap.play.game import Game
from dreamlap.play.place import Place
from dreamlap.play.window import Window
from dreamlap.progress import console
from dreamlap.seeds import training_track
from dreamlap.settings import SEED, SHARE, checked, least
from dreamlap.track import TrackConfig

STEADY = {"noise": (0.0, 0.0), "speed": (1.0, 1.0), "offset": (0.0, 0.0)}


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
    config, person = DriverConfig(kind, **STEADY), Person() if kind == "person" else None
    driver: Driver = PerTrack(lambda: person, 1) if person else build_driver(config, 1)
    place = Place(driver, kind, _in_dream(dream) if dream else track, random_start)
    prefix, store = f"{config.name}-s{seed}", EpisodeStore(record or "")
    returns: list[float] = []

    def keep(number: int) -> None:
        returns.append(sum(place.rewards))
        console.print(f"episode {len(returns)}: return {returns[-1]:.1f} in {len(place.rewards)} steps")
        if record:
            keep_somewhere(store, f"{prefix}-{number:05d}", place.tape.episode())

    if record:
        check_folder(record)  # before anybody drives
    with Owned(record) if record else nullcontext():
        first, steps = next_number(store, prefix) if record else 0, place.config.decisions(steps)
        game = Game(place, lambda number: training_track(prefix, number, seed=seed), keep, episodes, steps, person, first)
        with closing(Window(_title(kind, dream, record))) as window, one_thread():
            window.run(game, place, fps, _help_line(person, record))
    if record:
        console.print(f"kept {len(returns)} episodes in {record}, which holds {len(store.names())} now")
    return returns


def keep_somewhere(store: EpisodeStore, name: str, episode: Episode) -> None:
    """Keep what a person drove: in its folder, or if that can no longer be written, in another one, and say which."""
    try:
        store.write(name, episode)
    except OSError as error:
        other = EpisodeStore(tempfile.mkdtemp(prefix="dreamlap-"))
        other.write(name, episode)
        told = f"{explain(error)}. This episode is kept in {other.folder} instead: move it into {store.folder}"
        console.print(told, style="red")


def _in_dream(dream: Path) -> TrackConfig:
    """The dream of the agent in this folder, in the form that its V gives it."""
    return replace(load_agent(dream).config.track, dream=str(dream))


def next_number(store: EpisodeStore, prefix: str) -> int:
    """The number after the last episode of this name that the store holds."""
    numbers = [re.fullmatch(rf"{re.escape(prefix)}-(\d+)", name) for name in store.names()]
    return max((int(number[1]) for number in numbers if number), default=-1) + 1


def _title(kind: str, dream: Path | None, record: Path | None) -> str:
    return f"{kind} drives" + (f" in the dream of {dream}" if dream else "") + (f", kept in {record}" if record else "")


def _help_line(person: Person | None, record: Path | None) -> str:
    drive, other = "arrow keys drive    " if person else "", "discard" if record else "next"
    return f"{drive}P pause    R restart    D {other}    Esc end"
