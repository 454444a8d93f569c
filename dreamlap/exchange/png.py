"""Episodes as folders of pictures with their actions as text, as many a small project keeps them.

    MDN-RNN/episode_0/frame_0.png  frame_1.png  ...  actions.txt  [rewards.txt]

A line of `actions.txt` is one action, one of `rewards.txt`, which may be missing, one number: see `dreamlap.exchange.text`. The
pictures (PNG, JPEG, BMP) lie beside the text or in one folder below it. The numbers in their names are their order, and must
leave no gap: a frame that is missing would put all later ones beside the actions of others. How an episode ended is not kept.
"""

import re
from collections import Counter
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from dreamlap.episodes import EpisodeFile
from dreamlap.errors import Refused
from dreamlap.exchange.folder import Folder, told
from dreamlap.exchange.recording import MAX_SIDE, Found, Recording, readable, refusal
from dreamlap.exchange.text import ACTION, REWARD, numbers

ACTIONS, REWARDS = "actions.txt", "rewards.txt"
PICTURES = {".png", ".jpg", ".jpeg", ".bmp"}


def find(top: Folder) -> list[Found]:
    """The episodes in a folder and below it, to be read one by one; none if there are neither pictures nor actions."""
    places: list[tuple[Folder, list[Folder]]] = []
    taken: set[Path] = set()
    for folder in top.all():
        if folder.path in taken or not (folder.named(ACTIONS) or _pictures(folder)):
            continue
        below = [inner for inner in folder.folders if _pictures(inner) and not inner.named(ACTIONS)]
        if folder.named(ACTIONS):
            taken |= {inner.path for inner in below}
        places.append((folder, below))
    from_zero = any(_first_number(_shots(folder, below)) == 0 for folder, below in places)
    return [_episode(folder, below, from_zero) for folder, below in places]


def _shots(folder: Folder, below: list[Folder]) -> list[Path]:
    """The frames of an episode: beside its actions, or in the one folder below that has pictures."""
    return _pictures(folder) or (_pictures(below[0]) if len(below) == 1 else [])


def _episode(folder: Folder, below: list[Folder], from_zero: bool) -> Found:
    """The episode in a folder, or why there is none."""
    actions, shots = folder.named(ACTIONS), _shots(folder, below)
    texts = [file for file in (actions, folder.named(REWARDS)) if file]
    if actions and shots:
        return Found("png", partial(read, folder.path, texts, shots, from_zero), [*texts, *shots])
    beside = f" Beside it is {told(file for file in folder.files if file not in [*texts, *shots])}."
    if not actions:
        needed = "V and M need the action of every step, a line each (steer, gas, brake)"
        why = f"has {told(shots)} but no {ACTIONS}: {needed}.{beside}"
    elif below:
        why = f"has frames in {' and '.join(inner.path.name for inner in below)}: leave one folder of them there"
    else:
        why = f"has {actions.name} but no frames: needed is a picture of every step, frame_0.png ... (or .jpg, .bmp).{beside}"
    return Found("png", refusal(f"{folder.path} {why}"), [*texts, *shots])


def _pictures(folder: Folder) -> list[Path]:
    return [file for file in folder.files if file.suffix.casefold() in PICTURES]


def read(folder: Path, texts: list[Path], shots: list[Path], from_zero: bool) -> Recording:
    """The episode in a folder: of its actions, its rewards if there is a second text, and its pictures.

    `from_zero`: whether other episodes of the same source begin with frame 0, so that one that begins with 1 lacks a frame.

    Raises:
        Refused: a line is not what it should be, or a frame is missing; broken frames raise when they are reached.
    """
    actions, lines = numbers(texts[0], ACTION)
    rewards = numbers(texts[1], REWARD)[0][:, 0] if texts[1:] else None
    shots = in_order(shots)
    if from_zero and _first_number(shots) == 1:
        raise Refused(
            f"{folder}: frame 0 is missing before {shots[0].name}; other episodes here begin with 0. Copy it again, or leave "
            "the episode out"
        )
    usual, *others = Counter(shot.suffix for shot in shots).most_common()
    odd = next((shot.name for shot in shots if shot.suffix != usual[0]), "")
    return Recording(
        str(folder),
        lambda i: f"{texts[0]}, line {lines[i]}",
        len(shots),
        map(_frame, shots),
        actions,
        rewards,
        notes=(f"had frames of several suffixes, most {usual[0]}, some not, such as {odd}: all were read",) if others else (),
    )


def write(episodes: Iterator[EpisodeFile], folder: Path) -> None:
    """Write every episode, T + 1 frames and T actions, into a folder of its own: episode_0, episode_1 ..."""
    for i, file in enumerate(episodes):
        episode, place = file.episode(), folder / f"episode_{i}"
        place.mkdir(parents=True)
        for t, frame in enumerate(episode.frames):
            Image.fromarray(frame).save(place / f"frame_{t:05d}.png")
        (place / ACTIONS).write_text(_text(episode.actions), "utf-8")
        if file.knows("rewards"):
            (place / REWARDS).write_text(_text(episode.rewards[:, None]), "utf-8")


def _text(values: np.ndarray) -> str:
    """A line a row; nine digits give back the same float32."""
    return "".join(", ".join(f"{value:.9g}" for value in row) + "\n" for row in values)


def in_order(shots: list[Path]) -> list[Path]:
    """The pictures of one episode in the order of their numbers.

    Raises:
        Refused: a number is missing or there twice, or one picture is named otherwise than the rest.
    """
    shapes = [re.sub(r"[0-9]+", "#", shot.stem) for shot in shots]
    usual = Counter(shapes).most_common(1)[0][0]
    for shot, shape in zip(shots, shapes, strict=True):
        if shape != usual or "#" not in shape:
            raise Refused(
                f"{shot} is not named as the others are, {usual}{shot.suffix} with # for the number: is it a second copy? "
                "Delete it, or number all frames of the episode in one row"
            )
    columns = list(zip(*(map(int, re.findall(r"[0-9]+", shot.stem)) for shot in shots), strict=True))
    counted = [column for column in columns if len(set(column)) > 1] or columns[-1:]
    broken = None
    for column in reversed(counted):
        row = sorted(zip(column, shots, strict=True))
        broken = _gap([number for number, _ in row], [shot for _, shot in row])
        if not broken:
            return [shot for _, shot in row]
    raise Refused(broken or f"{shots[0].parent}: there are no frames")


def _gap(found: list[int], shots: list[Path]) -> str:
    """What is wrong with the numbers of frames, which rise; empty if they rise evenly."""
    steps = [after - before for before, after in pairwise(found)]
    usual = min(filter(None, steps), default=1) if len(steps) > 1 else 1
    for (one, two), step in zip(pairwise(shots), steps, strict=True):
        if step == 0:
            return f"{two} has the number of {one.name}: delete the one that is not the frame of its step"
        if step != usual:
            return (
                f"{one.parent}: a frame is missing between {one.name} and {two.name}: copy it again, or make two episodes of "
                "what lies before and behind the gap"
            )
    return ""


def _first_number(shots: list[Path]) -> int:
    return min((int(found[-1]) for shot in shots if (found := re.findall(r"[0-9]+", shot.stem))), default=-1)


def _frame(path: Path) -> np.ndarray:
    """(H, W, 3) uint8, turned as its EXIF says. Only what its header says is small enough is decoded."""
    with (
        readable(f"{path} cannot be read as a frame", "save it again, or leave its episode out"),
        Image.open(path, formats=["PNG", "JPEG", "BMP"]) as image,
    ):
        if max(image.size) > MAX_SIDE:
            raise ValueError(f"{image.size[0]}x{image.size[1]} pixels are no frame of CarRacing")
        if image.mode not in ("RGB", "RGBA", "P"):
            raise ValueError(f"it is of mode {image.mode}, and colour is needed")
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
