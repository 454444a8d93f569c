"""The verbs. They parse, call, and print; the work is done elsewhere. Here exceptions become messages."""

import difflib
import shlex
import signal
import sys
import traceback
from collections.abc import Callable, Sequence

import tyro

from dreamlap.cli.agents import compare, evaluate, picture, report, video
from dreamlap.cli.data import data
from dreamlap.cli.drive import collect, play
from dreamlap.cli.runs import presets, run, train
from dreamlap.errors import Failed, Refused, explain
from dreamlap.progress import console, open_streams
from dreamlap.settings import checked, deferred

RAW_VERBS: dict[str, Callable[[Sequence[str]], None]] = {"run": run, "train": train, "data": data}
"""Verbs that parse their words themselves."""
VERBS: dict[str, Callable[..., None]] = {
    "collect": collect, "play": play, "evaluate": evaluate, "compare": compare, "video": video, "picture": picture,
    "report": report, "presets": presets,
}  # fmt: skip
RESUMABLE = ("run", "train", "collect")
"""Verbs that continue where they were interrupted."""
BUG = (
    "\nThis is a bug in dreamlap. What was finished before, and the last checkpoint, is kept.\n"
    "Please report it in the issue tracker of the repository that dreamlap came from, with the lines above and this command:"
)


def main(argv: Sequence[str] | None = None) -> None:
    """`dreamlap VERB ...`

    Exit status: 0; 1 if something was refused or failed, with a line that says what to do; 2 for words that cannot be parsed;
    70 for a bug, with a traceback; 130 if it was interrupted.
    """
    args = list(sys.argv[1:] if argv is None else argv)
    open_streams()
    if not args or args[0] in ("-h", "--help"):
        return _help()
    if argv is None:
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # to be told to stop is to be interrupted, workers and all
    command = shlex.join(["dreamlap", *args])
    try:
        return _call(args[0], args[1:])
    except KeyboardInterrupt as interrupt:
        _say_what_is_kept(args[0], command, str(interrupt))
        sys.exit(130)
    except (Refused, Failed, FloatingPointError) as error:
        _refuse(args[0], str(error))
    except OSError as error:
        _refuse(args[0], explain(error))
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and "allocate memory" not in str(error) and "out of memory" not in str(error):
            _report_bug(command)
        _refuse(args[0], f"there is not enough memory ({error}). Use smaller batches, fewer --workers, or a smaller size")
    except Exception:
        _report_bug(command)


def _refuse(verb: str, message: str) -> None:
    console.print(f"dreamlap {verb}:", style="bold red", end=" ")
    console.print(message)
    sys.exit(1)


def _report_bug(command: str) -> None:
    traceback.print_exc()
    console.print(BUG)
    console.print(f"  {command}", style="bold")
    sys.exit(70)


def _say_what_is_kept(verb: str, command: str, told: str) -> None:
    """`told`: what the interrupted work itself has to say, if anything."""
    if told:
        console.print(f"\nInterrupted. {told}")
    elif verb not in RESUMABLE:
        console.print("\nInterrupted. Nothing was written; the same command begins again.")
    else:
        console.print("\nInterrupted. What was finished and the last checkpoint are kept; the same command goes on from there:")
        console.print(f"  {command}", style="bold")


def _call(verb: str, args: Sequence[str]) -> None:
    if verb in RAW_VERBS:
        RAW_VERBS[verb](args)
    elif verb in VERBS:
        with deferred():  # the verbs check their arguments themselves, whole
            tyro.cli(checked(VERBS[verb]), prog=f"dreamlap {verb}", args=list(args))
    else:
        known = [*RAW_VERBS, *VERBS]
        near = difflib.get_close_matches(verb, known, 1) or known
        raise Refused(f"there is no verb {verb!r}; did you mean {' or '.join(near)}?")


def _help() -> None:
    console.print("dreamlap", style="bold", end="")
    console.print(": teach a car to drive inside its own dream\n\n  dreamlap VERB ...     dreamlap VERB --help\n")
    for name, verb in (RAW_VERBS | VERBS).items():
        console.print(f"  {name:10}", style="bold", end="")
        console.print((verb.__doc__ or "").splitlines()[0])
    console.print("\nTo begin with: dreamlap run demo")
