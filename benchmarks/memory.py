"""The most memory that each stage of a run holds, and docs/memory.md: `python -m benchmarks.memory [PRESET]`.

The command `dreamlap run PRESET` is run from an empty folder in a process of its own, and ten times a second all of its
processes are asked what they hold. Pages that processes share count once; those of files, which the system takes back at will,
do not count. Linux only. As long as the run takes; raw figures go to `scores/memory/`.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.scores import table
from dreamlap.device import cores
from dreamlap.files import read_object, replacing, write_json
from dreamlap.history import history
from dreamlap.presets import PRESETS
from dreamlap.progress import console
from dreamlap.run import versions

RAW, PAGE = Path("scores/memory"), Path("docs/memory.md")
PHASES = {
    "collect": "drivers collect", "vision": "V learns", "encode": "V encodes", "trust": "M's rewards are checked",
    "memory": "M learns", "controller": "C learns", "select": "candidates race", "score": "the agent is scored",
    "check": "the dream is checked", "videos": "videos are recorded",
}  # fmt: skip
"""What a run does, and what that is called on the page."""
EVERY = 0.1
"""Seconds between two looks."""


def main() -> None:
    """Run a preset, and write the page."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("preset", nargs="?", default="demo", choices=list(PRESETS), metavar="PRESET")
    preset = options.parse_args().preset
    if not held(os.getpid()):
        options.error("this system does not tell what a process holds: /proc/PID/smaps_rollup of Linux does")
    run = Path("runs") / f"memory-{preset}"
    shutil.rmtree(run, ignore_errors=True)  # what is there already would not be measured
    seen = watch([sys.executable, "-m", "dreamlap", "run", preset, "--name", run.name])
    write_json(RAW / f"{preset}.json", {"GiB": most_by_phase(run, seen), "cores": cores(), "versions": versions()})
    write_page()


def watch(command: list[str]) -> list[tuple[float, float]]:
    """Run a command -> when it was looked at, in seconds since 1970, and what all its processes held, in GiB.

    Raises:
        CalledProcessError: the command failed.
    """
    process, seen = subprocess.Popen(command), list[tuple[float, float]]()
    while process.poll() is None:
        seen.append((time.time(), sum(map(held, family(process.pid))) / 2**30))
        time.sleep(EVERY)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return seen


def family(pid: int) -> Iterator[int]:
    """A process and all that it, and these, have begun."""
    yield pid
    with suppress(OSError):  # it has just ended
        for thread in Path(f"/proc/{pid}/task").iterdir():
            for child in (thread / "children").read_text("ascii").split():
                yield from family(int(child))


def held(pid: int) -> int:
    """Bytes that a process holds; of those that it shares with others, its share."""
    with suppress(OSError):
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text("ascii").splitlines()
        return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith(("Pss_Anon:", "Pss_Shmem:")))
    return 0


def most_by_phase(run: Path, seen: list[tuple[float, float]]) -> dict[str, float]:
    """The most that was held in each phase, over all rounds: a moment belongs to the next phase that ends."""
    ends = sorted(
        [(done.stat().st_mtime, done.parent.name.partition("-")[0]) for done in run.glob("**/done.json")]
        + [(datetime.fromisoformat(line["date"]).timestamp() + 1, line["phase"]) for line in history(run) if "phase" in line]
    )
    most: dict[str, float] = {}
    for when, gib in seen:
        phase = next((phase for end, phase in ends if when <= end), ends[-1][1])
        if phase in PHASES:
            most[phase] = max(most.get(phase, 0.0), round(gib, 2))
    return most


def write_page() -> None:
    """The table of what was measured."""
    found: dict[str, dict[str, Any]] = {path.stem: read_object(path) for path in sorted(RAW.glob("*.json"))}
    rows = [(what, *(told(each["GiB"], phase) for each in found.values())) for phase, what in PHASES.items()]
    with replacing(PAGE) as partial:
        partial.write_text(INTRODUCTION + table(("GiB while", *(f"`{name}`" for name in found)), rows), "utf-8")
    console.print(f"wrote {PAGE}")


def told(most: dict[str, float], phase: str) -> str:
    """A cell: what is most of all is bold."""
    if phase not in most:
        return "–"
    return f"**{most[phase]:.1f}**" if most[phase] == max(most.values()) else f"{most[phase]:.1f}"


INTRODUCTION = """# Memory

The most that all processes of `dreamlap run` held together in each stage, with two processes that drive. Made by
`python -m benchmarks.memory PRESET`; raw figures in `scores/memory/`. Pages that processes share count once. Pages of files,
which the system takes back at will, do not count. V encodes: it turns the frames of new drives into z for M.

"""

if __name__ == "__main__":
    main()
