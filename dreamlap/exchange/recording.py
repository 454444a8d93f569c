"""An episode that somebody else recorded, and how it becomes one of ours: counted, checked and aligned, or refused."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import cv2
import numpy as np

from dreamlap.config.parts import LIMIT
from dreamlap.episodes.episode import Episode
from dreamlap.errors import Refused
from dreamlap.track.actions import outside
from dreamlap.track.frames import STOCK, to_frame

Align = Literal["before", "after"]
"""With as many frames as actions: frame t was seen before action t was done, or is what came of it."""

MAX_SIDE = 2048
"""Pixels on a side of a frame: what claims more is a mistake, or an attack on the memory."""
MAX_BYTES = 2 * 2**30
"""Of the frames of one episode, which are in memory together."""


@dataclass(frozen=True)
class Recording:
    """What somebody's files hold of one episode, as it is."""

    where: str  # the file or folder, for messages and for the episode's `about`
    place: Callable[[int], str]  # where action i is written: for messages
    count: int  # frames
    frames: Iterable[np.ndarray]  # (H, W, 3) uint8 each
    actions: np.ndarray  # (T, 3)
    rewards: np.ndarray | None = None  # (T,)
    ends: np.ndarray | None = None  # (T,), true where the track ended the episode
    cuts: np.ndarray | None = None  # (T,), true where the clock did
    dones: np.ndarray | None = None  # (T,), true where the one or the other did
    align: Align = "before"  # what N frames and N actions mean in this format, unless the user says it
    notes: tuple[str, ...] = ()  # what a reader decided, for the user to know

    def lacks_a_frame(self) -> bool:
        """Whether one step has no frame before it or none after it, and is dropped."""
        return self.count == len(self.actions)


class Found(NamedTuple):
    """An episode that was found, and is not read yet."""

    kind: str
    read: Callable[[], Recording]
    files: Iterable[Path]


def refusal(message: str) -> Callable[[], Recording]:
    """What stands for an episode that cannot be read: it raises when its turn comes, and the others are brought in."""

    def refuse() -> Recording:
        raise Refused(message)

    return refuse


@contextmanager
def readable(what: str, fix: str) -> Iterator[None]:
    """Refuse a file by name, whatever the libraries that read it raise: no list of that is ever complete.

    Args:
        what: the file, and what it cannot be read as.
        fix: what to do.

    Raises:
        Refused: it cannot be read. One that is raised inside passes as it is.
    """
    try:
        yield
    except Refused:
        raise
    except Exception as error:
        told = str(error) if isinstance(error, OSError | ValueError) else ""
        raise Refused(f"{what} ({told or repr(error)}): {fix}") from error


class Ending(NamedTuple):
    """How an episode ended, by its last step."""

    terminated: bool
    truncated: bool
    by_count: bool = False
    """Whether only the number of steps says that it was the clock."""


def ending(recording: Recording) -> Ending:
    """How the recorded steps ended.

    `dones` that do not say why they are true count as the track's, but in the step in which the stock clock runs out.
    """
    ends, cuts, dones = (_flags(recording, name)[-1:].any() for name in ("ends", "cuts", "dones"))
    if recording.ends is not None or recording.cuts is not None:
        terminated = ends or (recording.ends is None and dones and not cuts)
        return Ending(bool(terminated), bool(cuts or (dones and not terminated)))
    clock = bool(dones) and len(recording.actions) == LIMIT
    return Ending(bool(dones) and not clock, clock, clock)


def episode_of(recording: Recording, resize: int | None = None, align: Align | None = None, **about: Any) -> Episode:
    """Make an episode of T steps and T + 1 frames out of a recording.

    T + 1 frames and T actions are taken as they are. Of N frames and N actions, the step that lacks a frame is dropped:
    aligned "before", the last one, since nobody saw what came of it; aligned "after", the first.

    Args:
        recording: what was read.
        resize: side in pixels to scale the frames to, by area; None takes square ones as they are.
        align: how N frames stand to N actions; None: as is usual in the recording's format.
        about: what to keep beside the file's name.

    Raises:
        Refused: it is not an episode of CarRacing; the message names the file, the place and what to do.
    """
    where, count = recording.where, recording.count
    actions = _actions(recording)
    rewards, how = _rewards(recording), ending(recording)
    if count - len(actions) not in (0, 1):
        raise Refused(
            f"{where}: {count} frames for {len(actions)} actions; there must be a frame for every action, or one more. "
            "Frames of every step are needed, not of every second or tenth"
        )
    steps, unseen_end = slice(None), False
    if recording.lacks_a_frame():
        unseen_end = (align or recording.align) == "before"
        steps = slice(0, -1) if unseen_end else slice(1, None)
    if not len(actions[steps]):
        raise Refused(f"{where}: {count} frames and {len(actions)} actions make no step: an episode has two frames or more")
    frames = np.stack(list(_frames(recording, resize)))
    if len(frames) != count:
        raise Refused(f"{where}: {len(frames)} frames where {count} were announced: copy the file again")
    terminated = how.terminated and not unseen_end
    truncated = how.truncated or not terminated  # where the recording ends, somebody has ended it
    speeds = np.full(count, np.nan, np.float32)
    episode = Episode(frames, actions[steps], rewards[steps], speeds, terminated, truncated, {"file": where, **about})
    episode.check(where)
    return episode


def notes(recording: Recording, align: Align | None = None) -> list[str]:
    """What was decided about a recording, for the user to know: a line each, the same for all that it holds of."""
    found, how = list(recording.notes), ending(recording)
    if how.by_count:
        found.append(
            f"had {LIMIT:,} steps, the stock clock: what their dones say counts as truncated, not as terminated "
            "(terminations or truncations beside them would tell)"
        )
    if recording.lacks_a_frame() and (align or recording.align) == "before":
        lost = "" if recording.rewards is None else " and its reward"
        ended = f", and with it a real end{lost}: --align after keeps it, if frame t shows what action t led to"
        found.append(f"had no frame after their last step: it was dropped{ended if how.terminated else ''}")
    elif recording.lacks_a_frame():
        usual = "" if align else ", as is usual in this format; --align before if frame t was seen before action t"
        found.append(f"had no frame before their first step: it was dropped (frame t is what action t led to{usual})")
    return found


def _actions(recording: Recording) -> np.ndarray:
    actions = np.asarray(recording.actions)
    if actions.ndim != 2 or actions.shape[1] != 3 or actions.dtype.kind not in "fiu":
        raise Refused(
            f"{recording.where}: actions of shape {actions.shape} and type {actions.dtype}; needed are three numbers a step "
            "(steer, gas, brake) of the continuous CarRacing"
        )
    if (wrong := outside(actions)).any():
        i = int(np.argmax(wrong))
        numbers = ", ".join(f"{value:g}" for value in actions[i])
        raise Refused(
            f"{recording.place(i)}: the action {numbers} is outside the track's range, steer -1 to 1, gas and brake 0 to 1. "
            "Clip or scale the actions to what the track was given"
        )
    return actions.astype(np.float32)


def _rewards(recording: Recording) -> np.ndarray:
    """(T,) float32, NaN throughout if there are none."""
    steps = len(recording.actions)
    given = np.full(steps, np.nan, np.float32) if recording.rewards is None else np.asarray(recording.rewards)
    if given.shape != (steps,) or given.dtype.kind not in "fiu":
        raise Refused(
            f"{recording.where}: rewards of shape {given.shape} and type {given.dtype} for {steps} actions; "
            "needed is one number a step"
        )
    with np.errstate(over="ignore"):  # too large for float32: infinite, and refused
        rewards = given.astype(np.float32)
    if not np.isfinite(rewards).all() and not np.isnan(rewards).all():
        i = int(np.argmin(np.isfinite(rewards)))
        raise Refused(
            f"{recording.place(i)}: this step has the reward {given[i]}; give every step one that float32 holds, or none"
        )
    return rewards


def _flags(recording: Recording, name: Literal["ends", "cuts", "dones"]) -> np.ndarray:
    """(T,) bool, true at most in the last place."""
    steps = len(recording.actions)
    given = getattr(recording, name)
    flags = np.zeros(steps, bool) if given is None else np.asarray(given)
    if flags.shape != (steps,) or flags.dtype.kind not in "biuf":
        raise Refused(
            f"{recording.where}: {name} of shape {flags.shape} and type {flags.dtype} for {steps} actions, not a bool a step"
        )
    if not np.isin(flags, (0, 1)).all():
        raise Refused(f"{recording.where}: {name} are 0 or 1, true or false, not {flags[~np.isin(flags, (0, 1))][0]}")
    if flags[:-1].any():
        raise Refused(
            f"{recording.place(int(np.argmax(flags)))}: the episode ends here and goes on: cut it into one for each end"
        )
    return flags.astype(bool)


def _frames(recording: Recording, resize: int | None) -> Iterator[np.ndarray]:
    """The frames, all of one size, (S, S, 3) uint8."""
    where, first = recording.where, None
    for t, frame in enumerate(recording.frames):
        first = first or _size(frame, f"{where}, frame {t}", resize, recording.count)
        if frame.shape != first or frame.dtype != np.uint8:
            raise Refused(f"{where}, frame {t} is {frame.shape} {frame.dtype}, and the first is {first} uint8: one size a file")
        yield np.asarray(frame) if resize in (None, first[0]) and first[0] == first[1] else _resized(frame, resize)


def _size(frame: np.ndarray, where: str, resize: int | None, count: int) -> tuple[int, ...]:
    """The shape of the first frame, if it can be a frame at all."""
    shape = frame.shape
    if len(shape) != 3 or shape[2] != 3 or not all(shape):
        hint = "; move the channels to the end: frames.transpose(0, 2, 3, 1)" if len(shape) == 3 and shape[0] == 3 else ""
        raise Refused(f"{where} has the shape {shape}, and (height, width, 3) is needed{hint}")
    if frame.dtype != np.uint8:
        raise Refused(
            f"{where} is {frame.dtype}, and uint8 from 0 to 255 is needed; "
            "(frames * 255).round().astype('uint8') makes it of numbers from 0 to 1"
        )
    if shape[0] != shape[1] and not resize:
        raise Refused(f"{where} is {shape[1]}x{shape[0]} pixels and not square: --resize 64 scales it")
    side = resize or shape[0]
    if max(*shape, side) > MAX_SIDE or count * side * side * 3 > MAX_BYTES:
        raise Refused(
            f"{where}: {count} frames of {shape[1]}x{shape[0]} are too much for one episode: "
            "--resize 64 makes them smaller, --episode-length cuts a long recording"
        )
    return shape


def _resized(frame: np.ndarray, side: int | None) -> np.ndarray:
    assert side, "a frame that is not square was refused before"
    if frame.shape[0] == frame.shape[1] == STOCK:  # to the pixel what an agent is shown when it drives
        return to_frame(np.ascontiguousarray(frame), side, bar=True)
    return cv2.resize(np.ascontiguousarray(frame), (side, side), interpolation=cv2.INTER_AREA)
