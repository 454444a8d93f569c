"""How a verb looks to whoever types it: what its arguments are called, and its help.

The help of a verb is its docstring: a line of what it does, more about it, two examples.
"""

import dataclasses
import functools
import inspect
import re
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import tyro
from tyro.conf import Positional
from tyro.constructors import (
    ConstructorRegistry,
    PrimitiveConstructorSpec,
    PrimitiveTypeInfo,
    StructConstructorSpec,
    StructFieldSpec,
    StructTypeInfo,
)

from dreamlap.errors import Refused
from dreamlap.files import check_folder
from dreamlap.named import (
    Named,
    agent_folder,
    agent_or_score,
    check_named,
    episode_folder,
    folder_with_episodes,
    recordings_folder,
    run_folder,
    world_model_folder,
)
from dreamlap.progress import console
from dreamlap.settings import checked, current_name, deferred, shown

T = TypeVar("T")


AgentPath = Annotated[Positional[Path], shown("AGENT"), Named(agent_folder)]
"""The folder of an agent or of its run, or the name of an included agent."""
WorldModelPath = Annotated[Positional[Path], shown("AGENT"), Named(world_model_folder)]
"""The same, of an agent that has V and M."""
ScorePath = Annotated[Positional[Path], shown("AGENT|FILE"), Named(agent_or_score)]
FilePath = Annotated[Path, shown("FILE")]
OutPath = Annotated[Positional[Path], shown("OUT")]
SourcePath = Annotated[Positional[Path], shown("SOURCE"), Named(recordings_folder)]
RunPath = Annotated[Positional[Path], shown("RUN"), Named(run_folder)]
FolderPath = Annotated[Positional[Path], shown("FOLDER"), Named(check_folder)]
"""A folder to write into; it need not exist."""
StorePath = Annotated[Positional[Path], shown("FOLDER"), Named(episode_folder)]
EpisodesPath = Annotated[Positional[Path], shown("FOLDER"), Named(folder_with_episodes)]
File = Annotated[Path | None, shown("FILE")]
Folder = Annotated[Path | None, shown("FOLDER"), Named(check_folder)]
Name = Annotated[str | None, shown("NAME")]

Flag = Annotated[bool, tyro.conf.FlagCreatePairsOff, shown()]
Tracks = Annotated[str, shown("A:B")]
Step = Annotated[int | None, shown("STEP")]

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
    return tyro.cli(kind, prog=f"dreamlap {name}", args=list(args), description="", registry=RULES, **how)


RULES = ConstructorRegistry()
"""How tyro reads verbs and settings, where that is not its own way."""


@RULES.struct_rule
def _with_filled_help(info: StructTypeInfo) -> StructConstructorSpec | None:
    """The arguments of a verb, or settings. Lines of their docstrings do not end lines of the help."""
    ours = getattr(info.type, "__module__", "").startswith("dreamlap.")
    if not ours or not (inspect.isfunction(info.type) or dataclasses.is_dataclass(info.type)):
        return None
    hints, fields = get_type_hints(info.type, include_extras=True), []
    for name, parameter in inspect.signature(info.type).parameters.items():
        default = tyro.MISSING_NONPROP if parameter.default is parameter.empty else parameter.default
        if dataclasses.is_dataclass(info.default):
            default = getattr(info.default, name)
        fields.append(StructFieldSpec(name, hints[name], default, functools.partial(_help_of, info.type, name, hints[name])))
    return StructConstructorSpec(info.type, tuple(fields))


@RULES.primitive_rule
def _choice_that_may_be_left_out(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec | None:
    """`Literal[...] | None` as its literals: whoever wants None types nothing."""
    members = get_args(info.type)
    if members[1:] != (type(None),) or get_origin(members[0]) is not Literal:
        return None
    choice = ConstructorRegistry.get_primitive_spec(PrimitiveTypeInfo.make(members[0], info.markers))
    assert isinstance(choice, PrimitiveConstructorSpec)
    return dataclasses.replace(choice, is_instance=lambda value: value is None or choice.is_instance(value))


def _help_of(owner: Any, name: str, hint: Any) -> str:
    """What is told of an argument or a setting; of settings in settings, what their own docstring says."""
    about_settings = inspect.getdoc(hint) if dataclasses.is_dataclass(hint) else ""
    return "\n\n".join(paragraphs(_texts(owner).get(name) or about_settings or ""))


@functools.cache
def _texts(owner: Any) -> dict[str, str | None]:
    """What a docstring, or the docstrings within a class, say of each argument or setting."""
    from docstring_parser import parse_from_object

    return {found.arg_name: found.description for found in parse_from_object(owner).params}


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
    parts = [textwrap.fill(part, COLUMNS) for part in paragraphs(told)]
    if shown:
        parts.append("Examples:\n" + textwrap.indent(textwrap.dedent(shown).strip(), "  "))
    return "\n\n".join(parts)


def paragraphs(text: str) -> list[str]:
    """The paragraphs of a docstring, each without line breaks: whoever prints them fills them to the width."""
    return [" ".join(part.split()) for part in text.strip().split("\n\n")]
