"""The run folder: stages that are finished or not, checkpoints that are whole or absent, and where everything came from.

    runs/NAME/
        config.json  versions.json            what was asked for, and what made it
        history.jsonl                         the commands, their dates, and how long what took (`dreamlap.history`)
        round-0/collect  vision  memory  controller  select
        round-1/...                           a folder a stage: checkpoint, metrics.jsonl, TensorBoard events,
                                              `inputs.json` (fingerprints of what it builds on), `done.json`
        agent/  scores/  report.html          what is left behind

A stage counts only once its `done.json` is there, and only while what it builds on is what it was. One process owns the folder.
"""

import json
import os
import platform
import shutil
import subprocess
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any, Protocol, TypedDict

import torch
from torch import Tensor
from torch.utils.tensorboard.writer import SummaryWriter

from dreamlap import __version__
from dreamlap.errors import Refused
from dreamlap.files import read_object, replacing, write_json
from dreamlap.history import command, note
from dreamlap.settings import differences, from_dict, least, typed
from dreamlap.weights import refuse_nan

AGAIN = "delete it to start this stage again"
"""What to do about a checkpoint that is broken."""
LARGEST = 1e100
"""No metric is larger: what is cannot be drawn, nor told."""


def versions() -> dict[str, str]:
    """What a result depends on beside the config: packages, Python, machine, commit of this project."""
    packages = ("torch", "gymnasium", "numpy", "Box2D", "opencv-python-headless", "cma")
    return {
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}",
        "commit": commit(),
        "dreamlap": __version__,
        **{name: _version(name) for name in packages},
    }


def _version(package: str) -> str:
    """A record of where a result came from must not cost the result: OpenCV has four names, conda and Guix write none."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"


def commit() -> str:
    """The git commit of the source, with `+changes` if files differ from it, or `unknown` outside a clone."""
    here = Path(__file__).parent
    elsewhere = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}  # a hook names its own clone

    def git(*words: str) -> str:
        run = subprocess.run(["git", "-C", str(here), *words], capture_output=True, text=True, check=True, env=elsewhere)
        return run.stdout.strip()

    try:
        git("ls-files", "--error-unmatch", "--", __file__)  # an environment within another project's clone is not part of it
        return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain", "--", str(here)) else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def claim(
    folder: Path,
    kind: type,
    asked: dict[str, Any],
    places: Mapping[str, str],
    binding: Callable[[str], str | None],
    retrain: Callable[[str], None] | None = None,
    remedy: str = "Choose another --name",
) -> None:
    """Write down what a run is asked for, unless a setting changed that a stage which has begun builds on.

    Args:
        folder: of the run.
        kind: of the settings, to read those that are there. A setting that is new since then takes its default.
        asked: the settings, and `data`, nested as JSON has them.
        places: by the setting that names a file or folder, the fingerprint of what is there. That counts, not the path.
        binding: the stage that has begun and builds on a setting, if there is one.
        retrain: makes the stages begin again that build on such a setting; None: it may not change.
        remedy: what to do where it may not.

    Raises:
        Refused: such a setting changed and may not, or the settings that are there are broken or of a newer version.
    """
    path, known = folder / "config.json", folder / "inputs.json"
    if path.exists():
        told = read_object(path)
        if ("practice" in told) != ("practice" in asked):
            raise Refused(f"{folder} holds another kind of run (an expert's, or not an expert's): choose another --name")
        old = {"data": told.pop("data", None), **asdict(from_dict(kind, told, str(path)))}
        before = read_object(known) if known.exists() else {}
        changed = {change.split()[0].removeprefix("--"): change for change in differences(old, asked)}
        for name, fingerprint in places.items():
            if before.get(name) == fingerprint or (name not in before and _same_path(old, asked, name)):
                changed.pop(name, None)
            elif name in before:
                changed.setdefault(name, f"--{name}: what it names has changed")
        changed = {name: f"{change} ({stage} builds on it)" for name, change in changed.items() if (stage := binding(name))}
        if changed and retrain is None:
            raise Refused(f"{folder} was begun with other settings: {'; '.join(changed.values())}. {remedy}")
        if retrain:  # before the new settings are written: they must never stand beside what others made
            for name in changed:
                retrain(name)
    write_json(path, asked)
    write_json(known, dict(places))
    if not (folder / "versions.json").exists():
        write_json(folder / "versions.json", versions())
    note(folder, command=command())


def _same_path(old: dict[str, Any], new: dict[str, Any], name: str) -> bool:
    """Whether a setting names the same place in both, however it is spelled."""
    for part in name.split("."):
        old, new = old.get(part, {}), new.get(part, {})
    return bool(old and new) and Path(str(old)).resolve() == Path(str(new)).resolve()


class Result(TypedDict, total=False):
    """What others read of a stage's `done.json`. Whatever else is there was measured, and is shown."""

    seconds: float
    steps: int
    product: str
    """The fingerprint of what the stage leaves for others to build on."""
    episodes: dict[str, str]
    """By the name of an episode that was collected, its fingerprint."""
    files: list[str]
    updates: int
    """How long C was trained in round 0, in the `unit` that names it: a setting."""
    unit: str
    best: int
    returns_of: dict[str, list[float]]


class Checkpoint(TypedDict):
    """What every checkpoint holds, beside the state of what is trained."""

    update: Annotated[int, least(0)]


class Stateful(Protocol):
    """A module or an optimizer: what a checkpoint keeps."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: dict[str, Any]) -> Any: ...


class Stage:
    """One stage's folder: what it builds on, what it logs, its last whole checkpoint, and whether it is done."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._before, self._began = 0.0, time.time()

    @property
    def done(self) -> bool:
        """Whether the stage was finished."""
        return (self.folder / "done.json").exists()

    @property
    def begun(self) -> bool:
        """Whether there is something that was trained or made."""
        return self.done or self.checkpoint.exists() or any(self.folder.glob("*.safetensors"))

    @property
    def checkpoint(self) -> Path:
        """The file of the last checkpoint."""
        return self.folder / "checkpoint.pt"

    @property
    def result(self) -> Result:
        """What came out of it; empty if it is not done.

        Raises:
            Refused: what others read of it is not what it must be.
        """
        path, remedy = self.folder / "done.json", "delete it, and the same command finishes the stage again"
        return typed(Result, read_object(path), str(path), remedy) if self.done else {}

    @property
    def seconds(self) -> float:
        """Wall-clock that was spent on the stage up to now, in this process (see `timed`) and in those that were broken off."""
        return self._before + time.time() - self._began

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Count a block as work on the stage, also if it is interrupted. A killed process counts up to its last checkpoint."""
        before = read_object(self._clock).get("seconds") if self._clock.exists() else 0.0
        self._before = before if isinstance(before, int | float) and 0 <= before < LARGEST else 0.0
        self._began = time.time()
        try:
            yield
        except BaseException:
            with suppress(OSError):  # on a full disk, say: what went wrong first is what is told
                if not self.done and self.folder.exists():
                    write_json(self._clock, {"seconds": self.seconds})
            raise

    @property
    def _clock(self) -> Path:
        return self.folder / "seconds.json"

    def finish(self, **result: Any) -> None:
        """Mark the stage as done, with what came out of it and how long it took."""
        write_json(self.folder / "done.json", {"seconds": self.seconds, **result})
        self._clock.unlink(missing_ok=True)

    def reopen(self) -> None:
        """Let it go on from its checkpoint: it is to be longer than it was."""
        if "seconds" in self.result:
            write_json(self._clock, {"seconds": self.result["seconds"]})
        (self.folder / "done.json").unlink(missing_ok=True)

    def reset(self) -> None:
        """Forget all of it: it begins again. What says that it is done goes first."""
        (self.folder / "done.json").unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def build_on(self, inputs: Mapping[str, Any]) -> list[str]:
        """Write down the fingerprints of what the stage builds on -> the names of those that changed since it began.

        A stage that has not begun, or that an older version began, builds on whatever is there.
        """
        path = self.folder / "inputs.json"
        if self.begun and path.exists():
            before = read_object(path)
            return [name for name, value in inputs.items() if before.get(name) != value]
        write_json(path, dict(inputs))
        return []

    def save(self, update: int, state: Mapping[str, Any]) -> None:
        """Keep a checkpoint: `state` after `update` updates, in place of the last one."""
        with replacing(self.checkpoint) as partial:
            torch.save({"update": update, **state}, partial)
        write_json(self._clock, {"seconds": self.seconds})

    def load(self) -> dict[str, Any] | None:
        """The last checkpoint, or None at the start. Only tensors and plain values are ever unpickled.

        Raises:
            Refused: it cannot be read, one of its checksums (the zip format's) is wrong, it is no checkpoint, or one of its
                numbers is not finite.
        """
        if not self.checkpoint.exists():
            return None
        try:
            with zipfile.ZipFile(self.checkpoint) as file:
                if (bad := file.testzip()) is not None:
                    raise ValueError(f"the checksum of {bad} differs")
            saved = torch.load(self.checkpoint, map_location="cpu", weights_only=True)
        except Exception as error:
            raise Refused(f"{self.checkpoint} cannot be read ({error}): {AGAIN}") from error
        typed(Checkpoint, saved, str(self.checkpoint), AGAIN)
        refuse_nan(self.checkpoint, dict(_tensors(saved)), AGAIN)
        return saved

    def restore(self, parts: Mapping[str, Stateful]) -> int | None:
        """Give the parts what the last checkpoint holds of them -> the updates before it, or None at the start.

        Raises:
            Refused: as `load`; or it lacks a part, or holds another in its place.
        """
        saved = self.load()
        if saved is None:
            return None
        with self.restoring():
            for name, part in parts.items():
                part.load_state_dict(saved[name])
        return saved["update"]

    @contextmanager
    def restoring(self) -> Iterator[None]:
        """A block that takes apart what the checkpoint holds.

        Raises:
            Refused: that is not what it must be.
        """
        try:
            yield
        except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
            wrong = "not what the finished stage left" if self.done else "of another shape than the settings ask for"
            what = f"it lacks {error}" if isinstance(error, KeyError) else error
            raise Refused(f"{self.checkpoint} is {wrong} ({what}): {AGAIN}") from error

    @contextmanager
    def logger(self, start: int = 0) -> Iterator[Callable[[int, Mapping[str, float]], None]]:
        """Yield `log(update, metrics)`, which adds a line to `metrics.jsonl` and points to TensorBoard's curves."""
        self.folder.mkdir(parents=True, exist_ok=True)
        board = SummaryWriter(str(self.folder), purge_step=start + 1)
        with (self.folder / "metrics.jsonl").open("a", buffering=1) as file, closing(board):

            def log(update: int, metrics: Mapping[str, float]) -> None:
                file.write(json.dumps({"update": update, **metrics}) + "\n")
                for name, value in metrics.items():
                    board.add_scalar(name, value, update)

            yield log

    def forget_after(self, update: int) -> None:
        """Drop what was logged after `update`: a resumed stage logs it again."""
        path = self.folder / "metrics.jsonl"
        if path.exists():
            kept = [line for line in self._logged() if _update_of(line) <= update]
            with replacing(path) as partial:
                partial.write_text("".join(line + "\n" for line in kept), "utf-8")

    def metrics(self) -> list[dict[str, float]]:
        """All that was logged, in order; a line that a killed run left half written, or without numbers, is passed over."""
        return [_numbers(json.loads(line)) for line in self._logged() if _update_of(line) < float("inf")]

    def _logged(self) -> list[str]:
        path = self.folder / "metrics.jsonl"
        return path.read_text("utf-8", errors="replace").splitlines() if path.exists() else []


def _tensors(value: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    """All tensors and fractions in nested objects and lists, by their dotted names."""
    if isinstance(value, Tensor | float):
        yield name, torch.as_tensor(value)
    elif isinstance(value, dict | list | tuple):
        for key, part in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _tensors(part, f"{name}.{key}" if name else str(key))


def _update_of(line: str) -> float:
    try:
        return float(json.loads(line)["update"])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return float("inf")


def _numbers(line: dict[str, Any]) -> dict[str, float]:
    return {name: value for name, value in line.items() if isinstance(value, int | float) and abs(value) < LARGEST}
