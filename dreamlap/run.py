"""The run folder: stages that are finished or not, checkpoints that are whole or absent, and where everything came from.

    runs/NAME/
        config.json  versions.json            what was asked for, and what made it
        round-0/collect  vision  memory  controller  select
        round-1/...                           a folder a stage: checkpoint, metrics.jsonl, TensorBoard events, `done.json`
        agent/  scores/  report.html          what is left behind

A stage counts only once its `done.json` is there. Every file is written under another name and renamed, so a reader meets it
whole or not at all, whatever was killed when.
"""

import json
import os
import platform
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch.utils.tensorboard.writer import SummaryWriter

from dreamlap import __version__


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a name to write to; it becomes `path` if the block succeeds, and vanishes if it does not."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        os.replace(partial, path)
    except OSError as error:
        raise OSError(f"could not write {path}: {error}. Is the disk full? Nothing written before is lost.") from error
    finally:
        if partial.exists():
            partial.unlink()


def write_json(path: Path, value: Any) -> None:
    """Write `value` so that a reader sees the old file or the new one."""
    with replacing(path) as partial:
        partial.write_text(json.dumps(value, indent=2) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file, or say which one is missing or broken."""
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} is missing: is {path.parent} the folder you mean?") from None
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON ({error}): delete it and run again") from None


def versions() -> dict[str, str]:
    """What a result depends on beside the config: packages, Python, machine, commit of this project."""
    packages = ("torch", "gymnasium", "numpy", "Box2D", "opencv-python-headless", "cma")
    return {
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}",
        "commit": commit(),
        "dreamlap": __version__,
        **{name: version(name) for name in packages},
    }


def commit() -> str:
    """The git commit of the source, with `+changes` if files differ from it, or `unknown` outside a clone."""
    here = Path(__file__).parent
    git = ["git", "-C", str(here)]
    try:
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changed = subprocess.run([*git, "status", "--porcelain", "--", str(here)], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head + ("+changes" if changed.stdout.strip() else "")


def claim(folder: Path, asked: dict[str, Any]) -> None:
    """Write down what a run was asked for, or refuse to go on with something else (`workers` change only the time)."""
    path = folder / "config.json"
    if path.exists() and (other := differences(read_json(path) | {"workers": asked["workers"]}, asked)):
        raise ValueError(
            f"{folder} was begun with other settings: {'; '.join(other)}. "
            "Choose another --name, or delete the folder to start again."
        )
    if not path.exists():
        write_json(path, asked)
        write_json(folder / "versions.json", versions())


def differences(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> list[str]:
    """The settings in which two configurations differ, as `--name old -> new`."""
    found = []
    for name in sorted(old.keys() | new.keys()):
        before, after = (list(value) if isinstance(value, tuple) else value for value in (old.get(name), new.get(name)))
        if isinstance(before, dict) and isinstance(after, dict):
            found += differences(before, after, f"{prefix}{name}.")
        elif before != after:
            found.append(f"--{prefix}{name} {before} -> {after}")
    return found


class Stage:
    """One stage's folder: what it logs, its last whole checkpoint, and whether it is done."""

    def __init__(self, folder: Path):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def done(self) -> bool:
        """Whether the stage was finished."""
        return (self.folder / "done.json").exists()

    def finish(self, **result: Any) -> None:
        """Mark the stage as done, with what came out of it."""
        write_json(self.folder / "done.json", result)

    def save(self, update: int, state: Mapping[str, Any]) -> None:
        """Keep a checkpoint: `state` after `update` updates, in place of the last one."""
        with replacing(self.folder / "checkpoint.pt") as partial:
            torch.save({"update": update, **state}, partial)

    def load(self) -> dict[str, Any] | None:
        """The last checkpoint, or None at the start. Only tensors and plain values are ever unpickled."""
        path = self.folder / "checkpoint.pt"
        if not path.exists():
            return None
        try:
            return torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:
            raise ValueError(f"{path} cannot be read ({error}): delete it to start this stage again") from error

    @contextmanager
    def logger(self, start: int = 0) -> Iterator[Callable[[int, Mapping[str, float]], None]]:
        """Yield `log(update, metrics)`, which adds a line to `metrics.jsonl` and points to TensorBoard's curves."""
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
            kept = [line for line in path.read_text().splitlines() if _update_of(line) <= update]
            with replacing(path) as partial:
                partial.write_text("".join(line + "\n" for line in kept))

    def metrics(self) -> list[dict[str, float]]:
        """All that was logged, in order; a line that a killed run left half written is passed over."""
        path = self.folder / "metrics.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return [json.loads(line) for line in lines if _update_of(line) < float("inf")]


def _update_of(line: str) -> float:
    try:
        return json.loads(line)["update"]
    except (ValueError, KeyError):  # a line that a killed run left half written
        return float("inf")
