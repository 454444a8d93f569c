"""The verbs of driving: by a driver, for episodes to learn from, or by a person, in a window."""

from pathlib import Path
from typing import Annotated

from dreamlap.cli.data import data_info
from dreamlap.cli.words import Folder, FolderPath
from dreamlap.cluster import on_cluster
from dreamlap.config.parts import DriverConfig, DriverName, TrackConfig
from dreamlap.config.run import Address
from dreamlap.named import Named, world_model_folder
from dreamlap.settings import SEED, SHARE, WORKERS, least, shown


def collect(
    store: FolderPath,
    episodes: Annotated[int, least(1)] = 10,
    steps: Annotated[int, least(1)] = 1000,
    driver: DriverConfig = DriverConfig(),
    track: TrackConfig = TrackConfig(),
    random_start: Annotated[float, SHARE] = 0.0,
    reverse: Annotated[float, SHARE] = 0.0,
    seed: Annotated[int, SEED] = 0,
    workers: Annotated[int, WORKERS] = 2,
    cluster: Address = "",
) -> None:
    """Drive episodes and keep them in a folder.

    Examples:
        dreamlap collect episodes
        dreamlap collect episodes --driver.kind runs/demo --episodes 50

    Args:
        store: Folder for the episodes; the ones that are there already are not driven again.
        episodes: How many.
        steps: The most steps of an episode.
        driver: Who drives.
        track: How the track is seen.
        random_start: Share of the episodes that begin on a random tile.
        reverse: Share of the episodes that drive the lap the other way round, where the turns are right ones.
        seed: All chance comes from it.
        workers: Processes that drive.
        cluster: A Ray cluster drives instead: `ray`, `auto`, or the address of its head (see `run`).
    """
    from dreamlap.episodes import EpisodeStore
    from dreamlap.episodes.record import collect as record

    name = driver.name
    with on_cluster(cluster):
        record(EpisodeStore(store), f"{name}-s{seed}", episodes, driver, track, seed, steps, random_start, reverse, workers)
    data_info(store)


def play(
    driver: DriverName = "person",
    dream: Annotated[Path | None, shown("AGENT"), Named(world_model_folder)] = None,
    record: Folder = None,
    episodes: Annotated[int, least(1)] = 10,
    steps: Annotated[int, least(1)] = 1000,
    track: TrackConfig = TrackConfig(),
    random_start: Annotated[float, SHARE] = 0.0,
    seed: Annotated[int, SEED] = 0,
    fps: Annotated[float, least(0, 10_000)] = 50.0,
) -> None:
    """Drive yourself, on the track or in a dream; or watch.

    Try `dreamlap play --dream unprivileged` first. `--record` keeps what you drive. Beside the picture the window shows V's
    reconstruction of the frame, M's prediction of it, and a map of the lap.

    Keys: the arrow keys, WASD or the keypad steer, give gas (up) and brake (down); so do the stick and the triggers of a
    gamepad. T switches to the dream, which goes on from here, and back to the track. C gives the controls to the agent, or back
    to you. M is slow motion. P pauses, R restarts the episode, N or Backspace discards it for the next, Esc ends.

    An episode is recorded if it was driven to its end by the driver, and in the world, that the command names. One that you
    restarted, discarded, left by T or shared by C is not. An episode that is over can still be discarded for two seconds.

    Examples:
        dreamlap play --dream unprivileged
        dreamlap play --record human --episodes 20

    Args:
        driver: `person`, `autopilot`, `correlated`, `random`, or the folder of an agent (`unprivileged`, `champion`,
            `champion-tuned` and `expert` are included).
        dream: Drive in the dream of this agent, instead of on the track. C lets that agent drive. Its C need not be trained.
        record: Folder to keep whole episodes in, beside those that it holds; `dreamlap run demo --data FOLDER` learns from it.
        episodes: How many.
        steps: The most steps of an episode.
        track: How the frames are recorded (an agent that drives sees them as it learned to).
        random_start: Share of the episodes that begin on a random tile.
        seed: All chance comes from it.
        fps: Steps a second; the track's own time is 50, and 0 is as fast as it goes.
    """
    from dreamlap.play import play as open_window

    open_window(driver, dream, record, track, episodes, steps, seed, random_start, fps)
