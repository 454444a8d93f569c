"""Videos that a browser plays: a drive as the track, V and M see it; a dream; what lies in an episode store."""

from collections.abc import Iterable
from itertools import chain, islice
from pathlib import Path
from typing import Annotated

import av
import cv2
import numpy as np
from av.container import OutputContainer
from av.video.stream import VideoStream
from PIL import Image

from dreamlap.agent import PARTS, Agent
from dreamlap.episodes import Episode, EpisodeFile, EpisodeStore
from dreamlap.episodes.record import driven_otherwise
from dreamlap.errors import Refused
from dreamlap.expert import Expert
from dreamlap.files import check_writable, existing, replacing
from dreamlap.named import SUFFIX, folder_with_episodes
from dreamlap.protocol import SELECTION_SEEDS
from dreamlap.seeds import numpy_generator
from dreamlap.settings import SEED, checked, least
from dreamlap.show.films import DreamFilm, DriveFilm, PredictionFilm, ReconstructionFilm, film_episodes, titles_of
from dreamlap.show.formats import CONTAINERS, VIDEOS
from dreamlap.show.glimpse import drive_on, zoomed
from dreamlap.show.panels import Board
from dreamlap.show.picture import read_picture
from dreamlap.track import TrackConfig, to_frame
from dreamlap.track.frames import STOCK

FPS = 50
"""Frames a second of the track: videos play in its own time."""
EVERY = 2
"""Of how many frames a picture that loops shows one: browsers slow down what is faster than that."""
SIDES = ("the track", "V's reconstruction", "M's dream")
CODECS = {
    "libx264": {"crf": "23", "preset": "veryfast"},
    "libvpx-vp9": {"crf": "32", "b": "0", "deadline": "realtime", "cpu-used": "6"},
    "mpeg4": {"qscale": "4"},
}
"""Encoders in order of preference, with their settings. Browsers play the first two; the last is always there."""
WEBM = "libvpx-vp9"


def write_video(path: Path, frames: Iterable[np.ndarray], fps: int = FPS, label: str = "") -> None:
    """Write frames, all of one shape (H, W, 3) uint8; an odd last row or column is cut off.

    The suffix decides the format: an MP4 or WebM, or a looping picture (GIF or WebP) of every second frame, at half the size.
    `label`: kept in the file, to tell what it was made of (`label_of`).

    Raises:
        Refused: there are no frames, or the suffix is unknown.
        OSError: it cannot be written. That is found out before the first frame is made.
    """
    check_writable(path, VIDEOS)
    frames = iter(frames)
    first = next(frames, None)
    if first is None:
        raise Refused(f"no frames for {path}: a video needs at least one")
    write = _write_stream if path.suffix.lower() in CONTAINERS else _write_loop
    write(path, chain([first], frames), first.shape, fps, label)


def _write_stream(path: Path, frames: Iterable[np.ndarray], shape: tuple[int, ...], fps: int, label: str) -> None:
    kind, how = CONTAINERS[path.suffix.lower()]
    with replacing(path) as partial, av.open(str(partial), "w", kind, how) as container:
        container.metadata["comment"] = label
        stream = _add_stream(container, shape, fps, [WEBM] if kind == "webm" else list(CODECS))
        for frame in frames:
            even = np.ascontiguousarray(frame[: stream.height, : stream.width])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(even, "rgb24")))
        container.mux(stream.encode())


def _write_loop(path: Path, frames: Iterable[np.ndarray], shape: tuple[int, ...], fps: int, label: str) -> None:
    half = shape[1] // 2, shape[0] // 2
    shown = islice(frames, None, None, EVERY)
    pictures = [Image.fromarray(cv2.resize(frame, half, interpolation=cv2.INTER_AREA)) for frame in shown]
    kind, how = ("GIF", {"comment": label}) if path.suffix.lower() == ".gif" else ("WEBP", {"quality": 60, "method": 4})
    with replacing(path) as partial:
        pictures[0].save(partial, kind, save_all=True, append_images=pictures[1:], duration=1000 * EVERY // fps, loop=0, **how)


def _add_stream(container: OutputContainer, shape: tuple[int, ...], fps: int, codecs: list[str]) -> VideoStream:
    codec = next((name for name in codecs if name in av.codecs_available), None)
    if codec is None:
        raise Refused(f"FFmpeg lacks the encoder {codecs[0]} here: write an .mp4")
    stream = container.add_stream(codec, fps, CODECS[codec])
    assert isinstance(stream, VideoStream)
    stream.height, stream.width = (side // 2 * 2 for side in shape[:2])  # what yuv420p can halve
    stream.pix_fmt = "yuv420p"
    return stream


def label_of(path: Path) -> str | None:
    """What a video was made of; empty if it does not say, None if there is no such video."""
    if not path.exists():
        return None
    try:
        with av.open(str(path)) as container:
            return {name.lower(): text for name, text in container.metadata.items()}.get("comment", "")
    except (OSError, ValueError):  # PyAV's errors are both
        return None


def drive_video(agent: Agent | Expert, seed: int, path: Path, steps: int = 1000, scale: int = 4, label: str = "") -> float:
    """Record the agent on the stock track `seed` for up to `steps` steps after the zoom -> the return.

    Three panels: the frame, V's reconstruction, and what M predicted one step before; two for an expert, the frame and what it
    sees of it. `scale`: screen pixels for each of the stock frame's 96.
    """
    film = DriveFilm(agent, seed, steps, Board(titles_of(agent), STOCK * scale))
    write_video(path, film, label=label)
    return film.reward


def dream_video(agent: Agent, path: Path, steps: int = 1000, seed: int = 0, scale: int = 6, label: str = "") -> float:
    """Record the agent in its dream, decoded by V -> the reward that M predicted. When M ends a dream, another begins."""
    check_writable(path, VIDEOS)
    film = DreamFilm(agent, seed, steps, Board(("a dream: predicted by M, decoded by V",), STOCK * scale))
    write_video(path, film, label=label)
    return film.reward


def prediction_video(
    agent: Agent, path: Path, steps: int = 1000, seed: int = SELECTION_SEEDS, scale: int = 4, every: int = 50, label: str = ""
) -> None:
    """Record a drive, V's reconstruction, and M's dream: M is told the actions, and sees a real frame every `every` steps."""
    check_writable(path, VIDEOS)
    first = _first_shown(agent)
    drive = drive_on(agent, seed, first + steps)
    film = PredictionFilm(agent, drive, min(first, len(drive)), steps, every, Board(SIDES, STOCK * scale))
    write_video(path, film, label=label)


def beside_video(
    agent: Agent, path: Path, steps: int = 1000, seed: int = SELECTION_SEEDS, first: Path | None = None, at: int | None = None,
    scale: int = 4,
) -> None:  # fmt: skip
    """Record a dream beside what it began with.

    `first`: an episode file, from frame `at` on (by default after M's burn-in and the zoom), whose actions M is told; or a
    picture, from which M dreams on with C. Without it, the episode is a drive on the track `seed`.

    Raises:
        Refused: the episode has no such frame, V sees frames of another size, or `first` cannot be read.
        OSError: `path` cannot be written, or `first` is not there.
    """
    check_writable(path, VIDEOS)
    if first and first.suffix.lower() != SUFFIX:
        if at is not None:
            raise Refused(f"--at {at} names a step of an episode, and {first} is taken for a picture: leave --at out")
        board = Board(("the original", "M's dream"), STOCK * scale)
        return write_video(path, DreamFilm(agent, seed, steps, board, first_frame(first, agent.config.track)))
    file = _episode_for(first, agent.config.track) if first else None
    if at is None:
        at = _first_shown(agent) if file is None or len(file) > _first_shown(agent) else agent.config.memory.burn_in
    drive = file or drive_on(agent, seed, at + steps)
    if not 0 <= at < len(drive):
        raise Refused(f"there is no step {at} in an episode of {len(drive)} steps: use --at 0 to --at {len(drive) - 1}")
    return write_video(path, PredictionFilm(agent, drive, at, steps, steps + 1, Board(SIDES, STOCK * scale)))


def _first_shown(agent: Agent) -> int:
    """The first frame of a drive from which a dream is shown: M has seen enough, and the zoom is over."""
    return max(agent.config.memory.burn_in, zoomed(agent.config.track))


def _episode_for(path: Path, seen: TrackConfig) -> Episode:
    """The episode in a file, which must be of a track as the agent sees it."""
    file, side = EpisodeFile(existing(path)), seen.size
    if file.shape[1:3] != (side, side):
        height, width = file.shape[1:3]
        raise Refused(f"the frames of {path} have {width}x{height} pixels, and this agent's V sees {side}x{side}")
    if other := driven_otherwise(file.about, seen):
        raise Refused(f"{path} was driven with {other[0]}, and this agent drives with {other[1]}: give another episode")
    return file.episode()


def first_frame(path: Path, seen: TrackConfig) -> np.ndarray:
    """A picture as V would be shown it, (S, S, 3) uint8: V's own frame as it is, any other as if it filled the stock window.

    Raises:
        Refused: it is no picture, or not one of 8 bits a channel and of a size that can be meant.
    """
    picture = read_picture(path)
    if picture.shape[:2] == (seen.size, seen.size) != (STOCK, STOCK):
        return picture
    return to_frame(cv2.resize(picture, (STOCK, STOCK), interpolation=cv2.INTER_AREA), seen.size, seen.bar)


def reconstruction_video(
    agent: Agent, path: Path, steps: int = 1000, seed: int = SELECTION_SEEDS, scale: int = 4, label: str = ""
) -> None:
    """Record a drive beside V's reconstruction of every frame. Where V has more than z, also from z alone, as in a dream."""
    check_writable(path, VIDEOS)
    alone = ("from z alone",) if agent.vision.more_than_z else ()
    board = Board(("the track", "V's reconstruction", *alone), STOCK * scale)
    write_video(path, ReconstructionFilm(agent, drive_on(agent, seed, zoomed(agent.config.track) + steps), board), label=label)


FILMS = {"drive": drive_video, "dream": dream_video, "prediction": prediction_video, "reconstruction": reconstruction_video}
"""The videos that can be made of every agent, by name."""
NEEDED = {"drive": PARTS, "dream": PARTS, "prediction": ("vision", "memory"), "reconstruction": ("vision",)}
"""Which parts of the agent must be trained for each of them."""


@checked
def preview_video(
    store: EpisodeStore,
    path: Path,
    count: Annotated[int, least(1)] = 16,
    seed: Annotated[int, SEED] = 0,
    side: Annotated[int, least(16)] = 128,
) -> None:
    """Show `count` random episodes of a store, all playing at once; one that has ended stands still, dimmed.

    Raises:
        Refused: the store is empty.
        OSError: `path` cannot be written.
    """
    check_writable(path, VIDEOS)
    folder_with_episodes(store.folder)
    names = store.names()
    chosen = numpy_generator(seed, "preview").choice(names, min(count, len(names)), replace=False)
    write_video(path, film_episodes([store.open(name) for name in sorted(chosen)], side))


def still(path: Path, at: float = 0.4) -> np.ndarray:
    """The picture (H, W, 3) uint8 of a video at a share `at` of its length: its cover."""
    with av.open(str(path)) as container:
        if not container.streams.video:
            raise Refused(f"{path} has no picture: delete it and make it again")
        wanted = int(container.streams.video[0].frames * at)
        picture = next(islice(container.decode(video=0), wanted, None), None)
    if picture is None:
        raise Refused(f"{path} has no picture: delete it and make it again")
    return picture.to_ndarray(format="rgb24")
