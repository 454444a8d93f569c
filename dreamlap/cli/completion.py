"""Completion of commands, in the shell that they are typed in."""

from functools import reduce
from operator import or_
from types import FunctionType
from typing import Annotated, Any, Literal

import tyro
from tyro.conf import Positional

from dreamlap.cli.runs import ExpertCommand, PresetCommand
from dreamlap.cli.words import RULES
from dreamlap.presets import PRESETS


def completion(shell: Positional[Literal["bash", "zsh", "fish"]]) -> None:
    """Print a script that lets your shell complete commands.

    Examples:
        source <(dreamlap completion bash)        # for this session
        dreamlap completion bash > ~/.local/share/bash-completion/completions/dreamlap

    Args:
        shell: Your shell.
    """
    tyro.cli(_everything(), prog="dreamlap", args=["--tyro-print-completion", shell], registry=RULES)


def _everything() -> Any:
    """All verbs as one tree of commands, as tyro has it."""
    from dreamlap.cli import GROUPS, PRESET_VERBS, VERBS

    with_preset = _choice(dict.fromkeys(PRESETS, PresetCommand))
    every: dict[str, Any] = dict.fromkeys(PRESET_VERBS, with_preset) | {"train expert": ExpertCommand} | VERBS
    tree = {name: verb for name, verb in every.items() if " " not in name}
    for group in GROUPS:
        tree[group] = _choice({name.split()[1]: verb for name, verb in every.items() if name.startswith(f"{group} ")})
    return _choice(tree)


def _choice(verbs: dict[str, Any]) -> Any:
    """One of these verbs: functions, settings, or choices between others."""
    return reduce(or_, (_named(name, verb) for name, verb in verbs.items()))


def _named(name: str, verb: Any) -> Any:
    if isinstance(verb, FunctionType):
        return Annotated[Any, tyro.conf.subcommand(name, constructor=verb)]
    return Annotated[verb, tyro.conf.subcommand(name)]
