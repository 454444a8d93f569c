"""How a verb looks to whoever types it: what its arguments are called, and its help.

The help of a verb is its docstring: a line of what it does, more about it, two examples.
"""

import functools
import inspect
import re
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import tyro
from tyro.conf import Positional

from dreamlap.errors import Refused
from dreamlap.named import (
    Named,
    agent_folder,
    agent_or_score,
    check_named,
    episode_folder,
    folder_with_episodes,
    recordings_folder,
    run_folder,
)
from dreamlap.progress import console
from dreamlap.settings import checked, current_name, default_told, deferred

T = TypeVar("T")


def optional(metavar: str | None = None) -> Any:
    """What the value of an argument that may be left out is called in the help."""
    return tyro.conf.arg(metavar=metavar, help_behavior_hint=default_told)


AgentPath = Annotated[Positional[Path], tyro.conf.arg(metavar="AGENT"), Named(agent_folder)]
"""The folder of an agent or of its run, or the name of an included agent."""
ScorePath = Annotated[Positional[Path], tyro.conf.arg(metavar="AGENT|FILE"), Named(agent_or_score)]
FilePath = Annotated[Path, tyro.conf.arg(metavar="FILE")]
OutPath = Annotated[Positional[Path], tyro.conf.arg(metavar="OUT")]
SourcePath = Annotated[Positional[Path], tyro.conf.arg(metavar="SOURCE"), Named(recordings_folder)]
RunPath = Annotated[Positional[Path], tyro.conf.arg(metavar="RUN"), Named(run_folder)]
FolderPath = Annotated[Positional[Path], tyro.conf.arg(metavar="FOLDER")]
StorePath = Annotated[Positional[Path], tyro.conf.arg(metavar="FOLDER"), Named(episode_folder)]
EpisodesPath = Annotated[Positional[Path], tyro.conf.arg(metavar="FOLDER"), Named(folder_with_episodes)]
File = Annotated[Path | None, optional("FILE")]
Folder = Annotated[Path | None, optional("FOLDER")]
Name = Annotated[str | None, optional("NAME")]

Flag = Annotated[bool, tyro.conf.FlagCreatePairsOff, optional()]
Tracks = Annotated[str, optional("A:B")]
Address = Annotated[str, optional("ray|auto|ADDRESS")]
Step = Annotated[int | None, optional("STEP")]

COLUMNS = 80


def call(verb: Callable[..., None], name: str, args: Sequence[str]) -> None:
    """Call a verb with what was typed after its name; or print its help, or what is wrong with it, and exit."""
    with deferred():  # the verbs check their arguments themselves, whole
        parsed(checked(_once_all_is_there(verb)), name, args, about(verb))


def _once_all_is_there(verb: Callable[..., T]) -> Callable[..., T]:
    """The verb; but that something is missing which its arguments name is told before anything heavy is loaded."""
    signature, hints = inspect.signature(verb), verb.__annotations__

    @functools.wraps(verb)
    def call(*args: Any, **kwargs: Any) -> T:
        for name, value in signature.bind(*args, **kwargs).arguments.items():
            check_named(hints[name], value)
        return verb(*args, **kwargs)

    return call


def parsed(kind: Callable[..., T], name: str, args: Sequence[str], told: str, **how: Any) -> T:
    """What tyro makes of the words after a verb. Its help begins with what is told of the verb, in paragraphs."""
    if "-h" in args or "--help" in args:
        console.print(f"{told}\n")
    return tyro.cli(kind, prog=f"dreamlap {name}", args=list(args), description="", **how)


def refuse_old_flags(kind: type, args: Sequence[str]) -> None:
    """Refuse the flag of a setting of `kind` that has another name now.

    Raises:
        Refused: the message tells the new flag.
    """
    for flag in (word.partition("=")[0] for word in args if word.startswith("--")):
        name = flag.removeprefix("--").replace("-", "_")
        if (now := current_name(kind, name)) != name:
            raise Refused(f"{flag} has another name: it is now --{now.replace('_', '-')}")


def headline(thing: Any) -> str:
    """The first line of a docstring."""
    return (inspect.getdoc(thing) or "").partition("\n")[0]


def about(thing: Any) -> str:
    """What a docstring says, but for its arguments, in lines of 80 columns; examples stay as they are."""
    text = re.split(r"\n(?:Args|Raises):\n", inspect.getdoc(thing) or "")[0]
    told, _, shown = text.partition("\nExamples:\n")
    parts = [textwrap.fill(" ".join(part.split()), COLUMNS) for part in told.strip().split("\n\n")]
    if shown:
        parts.append("Examples:\n" + textwrap.indent(textwrap.dedent(shown).strip(), "  "))
    return "\n\n".join(parts)
