"""What was done with a run folder, when, and how long it took: `history.jsonl`, a line for each.

    {"date": "2026-01-31T12:00:00+01:00", "command": "dreamlap run demo"}        a process began or went on with the run
    {"date": "2026-01-31T12:20:00+01:00", "phase": "score", "seconds": 90.1}     it worked for so long, to the end or not

Lines are only added. So interrupted and repeated work is counted, too.
"""

import json
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

NAME = "history.jsonl"


def note(folder: Path, **what: Any) -> None:
    """Add a line."""
    date = datetime.now().astimezone().isoformat(timespec="seconds")
    with (folder / NAME).open("a", encoding="utf-8") as file:
        file.write(json.dumps({"date": date, **what}) + "\n")


@contextmanager
def timed(folder: Path, phase: str) -> Iterator[None]:
    """Note the wall-clock of a block, also if it is interrupted."""
    began = time.time()
    try:
        yield
    finally:
        note(folder, phase=phase, seconds=time.time() - began)


def command() -> str:
    """How this process was started, as a person would type it."""
    program = Path(sys.argv[0])
    name = program.parent.name if program.name == "__main__.py" else program.name.removesuffix(".exe")
    return shlex.join([name, *sys.argv[1:]])


def history(folder: Path) -> list[dict[str, Any]]:
    """All lines, in order; one that a killed process left half written, or that is none, is passed over."""
    path = folder / NAME
    lines = path.read_text("utf-8", errors="replace").splitlines() if path.exists() else []
    return [line for line in map(_read, lines) if isinstance(line, dict)]


def _read(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None
