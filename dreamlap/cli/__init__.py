"""The verbs. They parse, call, and print; the work is done elsewhere."""

import difflib
import signal
import sys
from collections.abc import Callable, Sequence

import tyro
from rich.markup import escape

from dreamlap.cli.agents import compare, evaluate, picture, report, video
from dreamlap.cli.data import data
from dreamlap.cli.drive import collect, play
from dreamlap.cli.runs import presets, run, train
from dreamlap.progress import console

RAW_VERBS: dict[str, Callable[[Sequence[str]], None]] = {"run": run, "train": train, "data": data}
"""Verbs that parse their words themselves."""
VERBS: dict[str, Callable[..., None]] = {
    "collect": collect, "play": play, "evaluate": evaluate, "compare": compare, "video": video, "picture": picture,
    "report": report, "presets": presets,
}  # fmt: skip


def main(argv: Sequence[str] | None = None) -> None:
    """`dreamlap VERB ...`"""
    args = list(sys.argv[1:] if argv is None else argv)
    if not args or args[0] in ("-h", "--help"):
        return _help()
    if argv is None:
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # to be told to stop is to be interrupted, workers and all
    try:
        return _call(args[0], args[1:])
    except KeyboardInterrupt:
        console.print(
            "\nInterrupted. What was finished, and the last checkpoint, is kept; the same command goes on from there:"
        )
        console.print(f"  dreamlap {' '.join(args)}", style="bold")
        sys.exit(130)
    except (ValueError, OSError, RuntimeError, FloatingPointError) as error:
        console.print(f"[bold red]dreamlap {args[0]}:[/] {escape(str(error))}", markup=True)
        sys.exit(1)


def _call(verb: str, args: Sequence[str]) -> None:
    if verb in RAW_VERBS:
        RAW_VERBS[verb](args)
    elif verb in VERBS:
        tyro.cli(VERBS[verb], prog=f"dreamlap {verb}", args=list(args))
    else:
        known = [*RAW_VERBS, *VERBS]
        near = difflib.get_close_matches(verb, known, 1) or known
        raise ValueError(f"there is no verb {verb!r}; did you mean {' or '.join(near)}?")


def _help() -> None:
    console.print(
        "[bold]dreamlap[/]: teach a car to drive inside its own dream\n\n  dreamlap VERB ...     dreamlap VERB --help\n"
    )
    for name, verb in (RAW_VERBS | VERBS).items():
        console.print(f"  [bold]{name:10}[/]{(verb.__doc__ or '').splitlines()[0]}")
    console.print("\nTo begin with: [bold]dreamlap run demo[/]")
