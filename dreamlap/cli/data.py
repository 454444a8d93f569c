"""The verbs of episodes."""

from pathlib import Path
from typing import Annotated, Literal

from dreamlap.cli.words import EpisodesPath, FilePath, FolderPath, OutPath, SourcePath, StorePath
from dreamlap.files import check_writable
from dreamlap.progress import console, counted
from dreamlap.settings import least, shown
from dreamlap.show.formats import VIDEOS


def data_info(store: StorePath) -> None:
    """Print what is in a folder of episodes.

    Examples:
        dreamlap data info human
        dreamlap data info runs/demo/episodes

    Args:
        store: Folder of the episodes.
    """
    from dreamlap.episodes import EpisodeStore

    console.print(EpisodeStore(store).summary())


def data_preview(
    store: EpisodesPath,
    out: FilePath = Path("preview.mp4"),
    count: Annotated[int, least(1, 400)] = 9,
) -> None:
    """Make a video of random episodes of a folder.

    Examples:
        dreamlap data preview human
        dreamlap data preview runs/demo/episodes --count 16 --out drives.mp4

    Args:
        store: Folder of the episodes.
        out: File to write.
        count: Episodes in it.
    """
    check_writable(out, VIDEOS)
    from dreamlap.episodes import EpisodeStore
    from dreamlap.show.video import preview_video

    preview_video(EpisodeStore(store), out, count, seed=0)
    console.print(f"wrote {out}")


def data_import(
    source: SourcePath,
    store: FolderPath,
    resize: Annotated[int | None, least(16, 2048)] = None,
    episode_length: Annotated[int | None, least(1)] = None,
    align: Annotated[Literal["before", "after"] | None, shown()] = None,
) -> None:
    """Bring in episodes that others recorded.

    Then `dreamlap run demo --data FOLDER` learns from them.

    SOURCE holds, itself or in folders below it, any of these: folders of pictures with an actions.txt each (a line a step:
    steer, gas, brake; and a rewards.txt if there are rewards); arrays *frames.npy and *actions.npy, with *rewards.npy and
    *dones.npy or *terminations.npy and *truncations.npy if there are any; rollouts in .npz archives; a Minari dataset.
    What is in FOLDER already is not brought in again. Without rewards, V and M can learn, and C cannot.

    Examples:
        dreamlap data import MDN-RNN episodes --resize 64
        dreamlap data import rollouts episodes

    Args:
        source: Folder of the recordings.
        store: Folder for the episodes.
        resize: Scale the frames to this side in pixels; by default square frames stay as they are, others are refused.
        episode_length: Steps of an episode, where all lie end to end in one array and no *dones.npy says where they end.
        align: With as many frames as actions: was frame t seen `before` action t (the last action is dropped, for nobody saw
            what came of it), or `after` it (the first is dropped)? By default `after` in rollout_N.npz of `observations`,
            and else `before`. With one frame more, nothing is dropped.
    """
    from dreamlap.episodes import EpisodeStore
    from dreamlap.exchange import import_episodes

    import_episodes(source, EpisodeStore(store), resize, episode_length, align)
    data_info(store)


def data_export(store: EpisodesPath, out: OutPath, to: Literal["png", "npy", "minari"]) -> None:
    """Write all episodes of a folder for other programs.

    Nothing is lost but how episodes ended, in `png`, and the car's true speed.

    Examples:
        dreamlap data export human for-others --to png
        dreamlap data export runs/demo/episodes demo-v0 --to minari

    Args:
        store: Folder of the episodes.
        out: New folder to write; for Minari, one called NAME-vNUMBER.
        to: `png`: a folder an episode, with actions.txt and rewards.txt. `npy`: arrays of every episode. `minari`: a dataset.
    """
    from dreamlap.episodes import EpisodeStore
    from dreamlap.exchange import export_episodes

    console.print(f"wrote {counted(export_episodes(EpisodeStore(store), out, to), 'episode')} to {out}")
