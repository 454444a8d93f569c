"""Episodes as folders of PNG frames with their actions as text, as many a small project keeps them.

    MDN-RNN/episode_0/frame_0.png  frame_1.png  ...  actions.txt  [rewards.txt]

A line of `actions.txt` is one action: steer, gas, brake, parted by commas or blanks, in brackets or not, after a label and a
colon or not. A line of `rewards.txt`, which may be missing, is one number. The first line may be a heading. Frames are in the
order of the numbers in their names. How an episode ended is not kept.
"""

import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from dreamlap.episodes import EpisodeFile
from dreamlap.errors import Refused
from dreamlap.exchange.recording import MAX_SIDE, Recording

ACTIONS, REWARDS = "actions.txt", "rewards.txt"
MAX_TEXT = 2**26
"""Bytes of a text file: a million actions."""


def find(source: Path) -> list[Callable[[], Recording]]:
    """The episodes in `source` and in the folders right below it, to be read one by one; none if it holds no such files."""
    folders = [source, *(folder for folder in sorted(source.iterdir(), key=_natural) if folder.is_dir())]
    return [partial(read, folder) for folder in folders if (folder / ACTIONS).is_file() or any(folder.glob("*.png"))]


def read(folder: Path) -> Recording:
    """One episode.

    Raises:
        ValueError: the folder has no actions, or a line is not what it should be; frames raise when they are reached.
    """
    if not (folder / ACTIONS).is_file():
        raise Refused(f"{folder} has PNG files but no {ACTIONS}: V and M need the action of every step, a line each")
    actions, lines = _numbers(folder / ACTIONS, 3)
    rewards = _numbers(folder / REWARDS, 1)[0][:, 0] if (folder / REWARDS).is_file() else None
    images = sorted(folder.glob("*.png"), key=_natural)
    frames = map(_frame, images)
    return Recording(str(folder), lambda i: f"{folder / ACTIONS}, line {lines[i]}", len(images), frames, actions, rewards)


def write(episodes: Iterator[EpisodeFile], folder: Path) -> None:
    """Write every episode, T + 1 frames and T actions, into a folder of its own: episode_0, episode_1 ..."""
    for i, file in enumerate(episodes):
        episode, place = file.episode(), folder / f"episode_{i}"
        place.mkdir(parents=True)
        for t, frame in enumerate(episode.frames):
            Image.fromarray(frame).save(place / f"frame_{t:05d}.png")
        (place / ACTIONS).write_text(_text(episode.actions))
        if file.knows("rewards"):
            (place / REWARDS).write_text(_text(episode.rewards[:, None]))


def _natural(path: Path) -> list[tuple[int, str]]:
    """Sorts frame_10 behind frame_9."""
    return [(int(part), "") if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", path.name)]


def _numbers(path: Path, width: int) -> tuple[np.ndarray, list[int]]:
    """The lines of a text file as (N, width) float64, and the number of each line in the file, from 1."""
    if path.stat().st_size > MAX_TEXT:
        raise Refused(f"{path} has {path.stat().st_size:,} bytes: that is no list of one episode's numbers")
    rows, numbers = [], []
    for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
        words = re.sub(r"^[^:]*:|\barray\b|\bdtype=\w+|[][(),;]", " ", line).split()
        try:
            row = [float(word) for word in words]
        except ValueError:
            if not rows and not any(character.isdecimal() for character in line):
                continue  # a heading
            row = []
        if not words and not line.strip():
            continue
        if len(row) != width:
            wanted = "three numbers (steer, gas, brake)" if width == 3 else "one number"
            raise Refused(f"{path}, line {number}: {line[:60]!r} is not {wanted}")
        rows.append(row)
        numbers.append(number)
    return np.array(rows, float).reshape(-1, width), numbers


def _text(values: np.ndarray) -> str:
    """A line a row; nine digits give back the same float32."""
    return "".join(", ".join(f"{value:.9g}" for value in row) + "\n" for row in values)


def _frame(path: Path) -> np.ndarray:
    """(H, W, 3) uint8. Only PNG is decoded, and only what its header says is small enough."""
    try:
        with Image.open(path, formats=["PNG"]) as image:
            if max(image.size) > MAX_SIDE:
                raise Refused(f"{image.size[0]}x{image.size[1]} pixels are no frame of CarRacing")
            if image.mode not in ("RGB", "RGBA", "P"):
                raise Refused(f"it is of mode {image.mode}, and colour is needed")
            return np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:  # SyntaxError: Pillow's broken PNG
        raise Refused(f"{path} cannot be read as a frame ({error}): save it again, or leave its episode out") from error
