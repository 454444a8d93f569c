"""Make a finished run's agent one that is included in the package: `python -m benchmarks.ship runs/champion champion`.

Beside the agent's own files go the run's settings and versions, a summary of its training, and its final score.
"""

import shutil
import sys
from pathlib import Path
from typing import Any

from dreamlap.agent import load_agent
from dreamlap.errors import Refused
from dreamlap.files import write_json
from dreamlap.named import PRETRAINED
from dreamlap.scores import read_score
from dreamlap.show.reading import RunReader

MOST = 20_000_000
"""Bytes that an agent of the package may have."""


def main() -> None:
    """RUN NAME [SCORE]"""
    run, name = Path(sys.argv[1]), sys.argv[2]
    score = Path(sys.argv[3]) if len(sys.argv) > 3 else run / "scores" / "selection.json"
    ship(run, PRETRAINED / name, score)


def ship(run: Path, folder: Path, score: Path) -> None:
    """Copy the agent of `run` into `folder`, with what made it and what it scored.

    Raises:
        ValueError: it is too large.
        Refused: the score is not whole, or another agent's.
    """
    agent, made = load_agent(run), read_score(score)
    if made["fingerprint"] not in (None, agent.fingerprint):
        raise Refused(f"{score} is the score of another agent, {made['agent']}: evaluate {run} again")
    shutil.rmtree(folder, ignore_errors=True)
    agent.save(folder)
    for file in ("config.json", "versions.json"):
        shutil.copy(run / file, folder / file)
    shutil.copy(score, folder / "score.json")
    write_json(folder / "log.json", summary(RunReader(run)))
    if (size := sum(file.stat().st_size for file in folder.iterdir())) > MOST:
        raise ValueError(f"{folder} has {size:,} bytes, more than {MOST:,}")


def summary(run: RunReader) -> dict[str, Any]:
    """What happened in each round, and how the agent was chosen: the last metrics of every stage, its results without lists."""
    rounds = {}
    for number in run.rounds:
        stages = ("collect", "vision", "trust", "memory", "controller")
        rounds[str(number)] = {stage: _scalars(run.result(number, stage)) for stage in stages if run.result(number, stage)}
        if returns := run.result(number, "collect").get("returns"):
            rounds[str(number)]["collect"]["mean_return"] = sum(returns) / len(returns)
    return {"rounds": rounds, "selection": run.selection, "trust": run.trust}


def _scalars(result: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in result.items() if isinstance(value, int | float | str)}


if __name__ == "__main__":
    main()
