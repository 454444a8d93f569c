"""The board of times to 900, `docs/speedrun.md`, and a new row of it: `make speedrun`.

    python -m benchmarks.speedrun [PRESET] [--seeds 6 7 8]

The time is that of a process of its own, from an empty folder to the agent that the run chooses: start, collection, V, M, C and
choosing. That agent then drives the tracks of `make steadiness`. A row counts if every seed makes 900. Let nothing else run
meanwhile. What is finished is not done again; the raw returns go to `scores/speedrun/COMMIT/`.
"""

import argparse
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.ablations import whole_scores
from benchmarks.scores import lost_of, table
from benchmarks.steadiness import TRACKS
from dreamlap.cli.runs import parse
from dreamlap.device import cores
from dreamlap.evaluation import evaluate
from dreamlap.files import replacing, write_json
from dreamlap.outcome import learn_and_choose
from dreamlap.plan import Run
from dreamlap.progress import console
from dreamlap.run import commit
from dreamlap.scores import read_score

RAW, PAGE = Path("scores/speedrun"), Path("docs/speedrun.md")
GOAL = 900.0
HEAD = ("seconds (each seed)", "cores", "seeds", "mean of each", "lost (95 % interval)", "commit", "command")


def main() -> None:
    """Train and drive what is not there yet, and write the board."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("preset", nargs="?", default="sprint", help="of `dreamlap presets`")
    options.add_argument("--seeds", type=int, nargs="+", default=[6, 7, 8], help="training seeds")
    options.add_argument("--folder", type=Path, help=argparse.SUPPRESS)  # the process whose time is taken
    chosen = options.parse_args()
    if chosen.folder:
        run = Run(chosen.folder, parse("run", [chosen.preset, "--seed", str(chosen.seeds[0])]).config)
        learn_and_choose(run)
        return
    for seed in chosen.seeds:
        one(chosen.preset, seed)
        write_page()


def one(preset: str, seed: int) -> None:
    """One training, its time and its drives."""
    raw = RAW / commit()[:7] / f"{preset}-{seed}.json"
    if raw.exists() and read_score(raw)["complete"]:
        return
    console.rule(f"{preset}, seed {seed}")
    folder = Path("runs", f"speedrun-{raw.parent.name}-{raw.stem}")
    shutil.rmtree(folder, ignore_errors=True)  # a time that was interrupted is none
    began = time.perf_counter()
    command = [sys.executable, "-m", "benchmarks.speedrun", preset, "--seeds", str(seed), "--folder", str(folder)]
    subprocess.run(command, check=True)
    seconds = time.perf_counter() - began
    score = evaluate(folder / "agent", TRACKS, cores(), "fast")
    score["trained"] |= {"wall_clock": round(seconds, 1), "cores": cores()}
    write_json(raw, score)


def write_page() -> None:
    """The board of what is there."""
    rows = sorted((row for folder in RAW.iterdir() for row in rows_of(folder.name, whole_scores(folder))), reverse=True)
    with replacing(PAGE) as partial:
        partial.write_text(INTRODUCTION + table(HEAD, [cells for _, cells in rows]), "utf-8")
    console.print(f"wrote {PAGE}")


def rows_of(made_by: str, found: dict[str, dict[str, Any]]) -> list[tuple[float, tuple[str, ...]]]:
    """The rows of one commit, slowest first: seconds, and what the row tells."""
    rows = []
    for preset in sorted({name.rpartition("-")[0] for name in found}):
        scores = {name.rpartition("-")[2]: score for name, score in found.items() if name.rpartition("-")[0] == preset}
        seconds = [score["trained"]["wall_clock"] for score in scores.values()]
        means = [score["mean"] for score in scores.values()]
        time_told = f"**{np.mean(seconds):.0f}** ({', '.join(f'{each:.0f}' for each in seconds)})"
        cells = (
            time_told if min(means) >= GOAL else f"{time_told}, not 900",
            str(max(score["trained"]["cores"] for score in scores.values())),
            ", ".join(scores),
            ", ".join(f"{mean:.0f}" for mean in means),
            lost_of(list(scores.values())),
            made_by,
            f"`dreamlap run {preset} --seed {next(iter(scores))}`",
        )
        rows.append((float(np.mean(seconds)), cells))
    return rows


OWN = "[what to expect from your own run](steadiness.md)"
INTRODUCTION = f"""# Time to 900

Wall-clock seconds from an empty folder to an agent that makes 900, everything counted: collecting, V, M, C and the choice
between rounds. Each agent drives 200 selection tracks of the fast track ({TRACKS[0]:,} to {TRACKS[-1]:,}). `make speedrun`
makes a row; the raw returns are in `scores/speedrun/`. Times depend on the machine and the day. The rows of e6c8b42, the recipe
before C was trained from scratch in later rounds, and of 42bd338 were measured one after the other. Seed 7 took the rounds
that the demo adds while drives are lost, twice: {OWN} has what to expect.

"""

if __name__ == "__main__":
    main()
