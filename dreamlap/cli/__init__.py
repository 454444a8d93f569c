"""The verbs. They parse, call, and print; the work is done elsewhere. Here exceptions become messages.

Nothing that is imported here loads torch or a track: help and refusals take a fraction of a second. The verbs import what
they need when they are called.
"""

import os
import shlex
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Sequence

import dreamlap
from dreamlap.cli.agents import compare, evaluate, picture, report, video
from dreamlap.cli.completion import completion
from dreamlap.cli.data import data_export, data_import, data_info, data_preview
from dreamlap.cli.drive import collect, play
from dreamlap.cli.listing import presets
from dreamlap.cli.runs import run, train_controller, train_expert, train_memory, train_vision
from dreamlap.cli.words import about, call, headline
from dreamlap.errors import Failed, Refused, explain, meant
from dreamlap.progress import console, end_if_nobody_reads, notes, open_streams

PRESET_VERBS: dict[str, Callable[[Sequence[str]], None]] = {
    "run": run, "train vision": train_vision, "train memory": train_memory, "train controller": train_controller,
    "train expert": train_expert,
}  # fmt: skip
"""Verbs whose flags are the settings of a preset: they parse their words themselves."""
VERBS: dict[str, Callable[..., None]] = {
    "presets": presets, "evaluate": evaluate, "compare": compare, "video": video, "picture": picture, "play": play,
    "report": report, "collect": collect, "data info": data_info, "data preview": data_preview, "data import": data_import,
    "data export": data_export, "completion": completion,
}  # fmt: skip
GROUPS = {
    "train": "Train a part alone: vision, memory, controller or expert.",
    "data": "Episodes: info, preview, import, export.",
}
"""First words of verbs that have two."""
RESUMABLE = ("run", "train", "collect")
"""Verbs that continue where they were interrupted."""
BUG = (
    "\nThis is a bug in dreamlap. What was finished before, and the last checkpoint, is kept.\n"
    "Please report it in the issue tracker of the repository that dreamlap came from, with the lines above and this command:"
)


def main(argv: Sequence[str] | None = None) -> None:
    """`dreamlap VERB ...`

    Exit status: 0; 1 if something was refused or failed, with a line that says what to do; 2 for words that cannot be parsed;
    70 for a bug, with a traceback; 130 if it was interrupted; 141 if whoever reads help or JSON goes away, as `head` does.
    """
    args = list(sys.argv[1:] if argv is None else argv)
    os.environ["MPLBACKEND"] = "agg"  # figures go to files alone: a backend for windows need not be there, nor exist
    open_streams()
    if args[:1] == ["help"]:
        args = [*args[1:], "--help"]
    if not args or args[0] in ("-h", "--help"):
        return _help()
    if args in (["--version"], ["-V"]):
        return console.print(f"dreamlap {dreamlap.__version__}")
    if argv is None and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # to be told to stop is to be interrupted, workers and all
    command = shlex.join(["dreamlap", *args])
    try:
        return _call(args)
    except KeyboardInterrupt as interrupt:
        _say_what_is_kept(args[0], command, str(interrupt))
        sys.exit(130)
    except (Refused, Failed, FloatingPointError) as error:
        _refuse(args[0], str(error))
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            end_if_nobody_reads()
        _refuse(args[0], explain(error))
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and "allocate memory" not in str(error) and "out of memory" not in str(error):
            _report_bug(command)
        _refuse(args[0], f"there is not enough memory ({error}). Use smaller batches, fewer --workers, or a smaller size")
    except Exception:
        _report_bug(command)


def _refuse(verb: str, message: str) -> None:
    notes.print(f"dreamlap {verb}:", style="bold red", end=" ")
    notes.print(message)
    sys.exit(1)


def _report_bug(command: str) -> None:
    traceback.print_exc()
    notes.print(BUG)
    notes.print(f"  {command}", style="bold")
    sys.exit(70)


def _say_what_is_kept(verb: str, command: str, told: str) -> None:
    """`told`: what the interrupted work itself has to say, if anything."""
    if told:
        notes.print(f"\nInterrupted. {told}")
    elif verb not in RESUMABLE:
        notes.print("\nInterrupted. Nothing was written; the same command begins again.")
    else:
        notes.print("\nInterrupted. What was finished and the last checkpoint are kept; the same command goes on from there:")
        notes.print(f"  {command}", style="bold")


def _call(args: Sequence[str]) -> None:
    words = 2 if args[0] in GROUPS else 1
    verb, rest = " ".join(args[:words]), args[words:]
    if verb in PRESET_VERBS:
        PRESET_VERBS[verb](rest)
    elif verb in VERBS:
        call(VERBS[verb], verb, rest)
    elif words == 1:
        known = list(dict.fromkeys(name.split()[0] for name in (*PRESET_VERBS, *VERBS)))
        raise Refused(f"there is no verb {verb!r}; {meant(verb, known, '`dreamlap --help` lists them')}")
    elif args[1:2] in ([], ["-h"], ["--help"]):
        _help_of(args[0])
    else:
        raise Refused(f"{args[0]} what? Not {args[1]!r}, but one of: {', '.join(_verbs(args[0]))}")


def _verbs(group: str) -> dict[str, Callable[..., None]]:
    """The verbs whose first word is `group`."""
    return {name: verb for name, verb in (PRESET_VERBS | VERBS).items() if name.startswith(f"{group} ")}


def _help() -> None:
    console.print("dreamlap", style="bold", end="")
    console.print(": teach a car to drive inside its own dream\n\nusage: dreamlap VERB ...     dreamlap help VERB\n")
    told = set()
    for name, verb in (PRESET_VERBS | VERBS).items():
        if (first := name.split()[0]) not in told:
            _line(first, GROUPS.get(first) or headline(verb))
            told.add(first)
    console.print("\nExamples:\n  dreamlap video unprivileged     # an included agent drives: look at drive.mp4")
    console.print("  dreamlap run demo               # train one of your own")


def _help_of(group: str) -> None:
    console.print(f"usage: dreamlap {group} VERB ...     dreamlap help {group} VERB\n\n{GROUPS[group]}\n")
    for name, verb in _verbs(group).items():
        _line(name, headline(verb))
    shown = "\n".join(about(verb).rpartition("Examples:\n")[2].splitlines()[0] for verb in _verbs(group).values())
    console.print(f"\nExamples:\n{shown}")


def _line(name: str, what: str) -> None:
    console.print(f"  {name:16} ", style="bold", end="")
    console.print(what)
