"""What a command or a setting names must be there: agents, runs, episodes.

An argument or a setting says so in its type, and the command line looks before it begins:

    start: Annotated[str, Named(agent_folder)] = ""

Nothing here loads torch: that something is missing is told at once.
"""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints

from dreamlap.errors import Refused
from dreamlap.files import existing, place, read_object

PRETRAINED = Path(__file__).parent / "pretrained"
"""Agents that come with the package, by name."""
UNFINISHED = "unfinished"
"""Folder in a run's, of the agent whose training ended before C."""
SUFFIX = ".episode"
"""Of the files of episodes."""
SCRIPTED = ("random", "correlated", "autopilot")
"""Drivers that are known by their names; any other is a person, or the folder of an agent or expert."""
PERSON = "person"
"""The driver who drives in a window."""
OF_A_RUN = ("config.json", "inputs.json", "history.jsonl")
"""Files that a run leaves: a folder with none of them is no run's."""
EXPERT = "expert"
"""What agent.json says of an expert."""
NO_WORLD_MODEL = "{path} is an expert: it has no V and no M. Name an agent that has them, such as 'unprivileged'"


class Named(NamedTuple):
    """Beside a type: the value names something that must be there. An empty one names nothing."""

    check: Callable[[Any], Any]
    """Raises a Refused or an OSError if it is not."""


def check_named(kind: Any, value: Any) -> None:
    """Find out whether all is there that a value of the type `kind` names; settings in settings included.

    Raises:
        OSError, Refused: it is not; the message says what to do.
    """
    if value is None or value == "":
        return
    for beside in getattr(kind, "__metadata__", ()):
        if isinstance(beside, Named):
            beside.check(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        for name, hint in get_type_hints(type(value), include_extras=True).items():
            check_named(hint, getattr(value, name))


def files_of(path: Path | str) -> list[Path]:
    """The files that are read of the agent that `path` means, and those of the run that it belongs to: none may be replaced.

    Raises:
        FileNotFoundError, Refused: as `agent_folder`.
    """
    folder = agent_folder(path)
    of_run = [folder.parent / name for name in ("config.json", "inputs.json", "versions.json", "history.jsonl")]
    return [*folder.glob("*.safetensors"), folder / "agent.json", *of_run]


def agent_folder(path: Path | str) -> Path:
    """The folder of the agent that `path` means: itself, a run's, or that of an agent included in the package.

    Raises:
        FileNotFoundError: there is none.
        Refused: that is no path.
    """
    if not isinstance(path, str | Path) or not str(path).strip():
        raise Refused(f"agent is {path!r:.60}: give its folder, or the name of an included one, such as 'champion'")
    folder = place(path)
    named = [PRETRAINED / folder] if len(folder.parts) == 1 else []
    for candidate in (folder, folder / "agent", folder / UNFINISHED, *named):
        if (candidate / "agent.json").exists():
            return candidate
    included = ", ".join(sorted(one.name for one in PRETRAINED.iterdir()))
    raise FileNotFoundError(
        f"no agent in {path}: an agent is a folder with an agent.json, such as runs/demo/agent, or one of {included}"
    )


def world_model_folder(path: Path | str) -> Path:
    """The folder of an agent that has V and M, which an expert has not.

    Raises:
        FileNotFoundError: there is none.
        Refused: it is an expert's.
    """
    folder = agent_folder(path)
    if read_object(folder / "agent.json").get("kind") == EXPERT:
        raise Refused(NO_WORLD_MODEL.format(path=path))
    return folder


def agent_or_score(path: Path | str) -> Path:
    """The file of a score, or the folder of an agent.

    Raises:
        OSError: there is neither.
    """
    file = place(path)
    return existing(file) if file.is_file() or (file.suffix == ".json" and not file.is_dir()) else agent_folder(path)


def driver_called(kind: str) -> str:
    """Who drives: one of the scripted drivers, a person, or an agent in its folder.

    Raises:
        FileNotFoundError: there is no such agent.
    """
    return kind if kind in (*SCRIPTED, PERSON) else str(agent_folder(kind))


def run_folder(path: Path | str) -> Path:
    """The folder of a run.

    Raises:
        FileNotFoundError: there is none.
    """
    folder = place(path)
    if not folder.is_dir() or (any(folder.iterdir()) and not any((folder / name).exists() for name in OF_A_RUN)):
        raise FileNotFoundError(f"no run in {path}: a run is a folder such as runs/demo, with a {' or '.join(OF_A_RUN)}")
    return folder


def episode_folder(path: Path | str) -> Path:
    """A folder of episodes, which may be empty.

    Raises:
        Refused: there is none.
    """
    if not (folder := place(path)).is_dir():
        raise Refused(f"there is no folder {path}: `dreamlap collect {path}` makes one")
    return folder


def folder_with_episodes(path: Path | str) -> Path:
    """A folder that holds episodes.

    Raises:
        Refused: there is none.
    """
    if not any(one for one in place(path).glob(f"*{SUFFIX}") if not one.name.startswith(".")):
        raise Refused(f"no episodes in {path}: `dreamlap collect` drives some, `dreamlap data import` brings some in")
    return place(path)


def recordings_folder(path: Path | str) -> Path:
    """A folder with what others recorded.

    Raises:
        Refused: there is none.
    """
    source = place(path)
    if not source.exists():
        raise Refused(f"there is no {source}: name the folder that holds the episodes")
    if not source.is_dir():
        raise Refused(f"{source} is a file: name the folder that holds the episodes, here {source.parent}")
    return source
