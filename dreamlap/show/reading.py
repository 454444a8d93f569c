"""A run folder as a reader finds it: finished, half way or empty. What is not there yet is absent, never an error."""

import re
from functools import cached_property
from pathlib import Path
from typing import Any

from dreamlap.agent import Agent, load
from dreamlap.episodes import Episode
from dreamlap.files import read_json
from dreamlap.run import Stage
from dreamlap.seeds import SELECTION_SEEDS, TEST_SEEDS
from dreamlap.show.figures import Metrics
from dreamlap.show.glimpse import unseen_drive

STAGES = ("collect", "vision", "encode", "trust", "memory", "controller", "select")
"""The stages of a run, in their order."""


class RunReader:
    """What a run folder holds. Nothing is written."""

    def __init__(self, folder: Path):
        self.folder = folder

    def json(self, name: str) -> Any:
        """A JSON file of the run, or None if it is not there or broken."""
        try:
            return read_json(self.folder / name)
        except (OSError, ValueError):
            return None

    @cached_property
    def mind(self) -> str:
        """Where C is trained, "dream" or "awake"; empty if nobody wrote it down."""
        return ((self.json("config.json") or {}).get("controller") or {}).get("mind", "")

    @cached_property
    def start(self) -> str:
        """The agent that the run began with; empty if it began with fresh weights."""
        return (self.json("config.json") or {}).get("start", "")

    @cached_property
    def anew(self) -> int:
        """How many Cs were to begin anew after the rounds."""
        return ((self.json("config.json") or {}).get("anew") or {}).get("controllers", 0)

    @cached_property
    def rounds(self) -> list[int]:
        """The numbers of the rounds that have begun; the last of them may be Cs that begin anew."""
        names = (re.fullmatch(r"round-(\d+)", path.name) for path in self.folder.glob("round-*"))
        return sorted(int(name[1]) for name in names if name)

    def result(self, number: int, stage: str) -> dict[str, Any]:
        """What a stage of a round left when it was done; empty if it is not."""
        return self.json(f"round-{number}/{stage}/done.json") or {}

    def results(self, stage: str) -> dict[int, dict[str, Any]]:
        """By round, what a stage left; only rounds in which it is done."""
        found = {number: self.result(number, stage) for number in self.rounds}
        return {number: result for number, result in found.items() if result}

    def metrics(self, stage: str) -> list[Metrics]:
        """What a stage logged, round by round; only rounds in which it logged something (an expert's practice is no round)."""
        folders = [self.folder / f"round-{number}" / stage for number in self.rounds] + [self.folder / stage]
        logged = (Stage(folder).metrics() for folder in folders if folder.is_dir())
        return [lines for lines in logged if lines]

    @cached_property
    def seconds(self) -> dict[str, float]:
        """Wall-clock of every stage, over all rounds."""
        spent = {name: sum(r.get("seconds", 0.0) for r in self.results(name).values()) for name in STAGES}
        spent["select"] += self.selection.get("seconds", 0.0)
        spent["practice"] = self.practice.get("seconds", 0.0)
        return {name: seconds for name, seconds in spent.items() if seconds}

    @cached_property
    def expert(self) -> bool:
        """Whether it is the run of an expert, which has one stage, `practice`, and neither rounds nor V and M."""
        return "practice" in (self.json("config.json") or {})

    @cached_property
    def practice(self) -> dict[str, Any]:
        """What an expert's practice left; empty if it is not done."""
        return self.json("practice/done.json") or {}

    @cached_property
    def selection(self) -> dict[str, Any]:
        """What came of choosing between the last agents."""
        return self.json("select/done.json") or {}

    def candidates(self) -> dict[int, list[float]]:
        """By round, the returns (or their mean alone) on the tracks that chose between the rounds."""
        means = {int(number): [float(mean)] for number, mean in self.selection.get("means", {}).items()}
        driven = {n: r.get("returns") or [r["mean"]] for n, r in self.results("select").items() if "mean" in r}
        return means | driven

    def steps(self, stage: str) -> int:
        """Steps that a stage took in all rounds: real ones of `collect`, those of C's training of `controller`."""
        return sum(int(result.get("steps", 0)) for result in self.results(stage).values())

    @cached_property
    def scores(self) -> list[dict[str, Any]]:
        """All scores of the run's agent, one on test tracks before one on selection tracks."""
        paths = sorted((self.folder / "scores").glob("*.json"))
        found = [score for path in paths if (score := self.json(f"scores/{path.name}")) and score.get("returns")]
        return sorted(found, key=lambda score: -min(score.get("seeds", [0])))

    @cached_property
    def agent(self) -> Agent | None:
        """The run's agent, or the last that a round left; None if there is none yet, or if it is an expert."""
        places = [self.folder / "agent"]
        places += [self.folder / f"round-{number}" / "controller" / "agent" for number in reversed(self.rounds)]
        found = next((place for place in places if (place / "agent.json").exists()), None)
        loaded = load(found) if found else None
        return loaded if isinstance(loaded, Agent) else None

    @cached_property
    def drive(self) -> Episode | None:
        """A drive of that agent, for looking at what V and M make of it."""
        return unseen_drive(self.agent, 0) if self.agent else None

    def video(self, name: str) -> Path | None:
        """The path of a video, if it was filmed."""
        path = self.folder / "videos" / f"{name}.mp4"
        return path if path.exists() else None


def kind_of_tracks(seeds: list[int]) -> str:
    """What the protocol calls tracks of these seeds."""
    lowest = min(seeds, default=0)
    return "test" if lowest >= TEST_SEEDS else "selection" if lowest >= SELECTION_SEEDS else "training"
