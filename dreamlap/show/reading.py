"""A run folder as a reader finds it: finished, half way or empty. What is not there yet is absent, never an error."""

import re
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from dreamlap.agent import Agent, load
from dreamlap.config.run import Config
from dreamlap.config.training import ExpertConfig
from dreamlap.episodes import Episode
from dreamlap.errors import Refused, explain
from dreamlap.expert import Expert
from dreamlap.files import read_json
from dreamlap.history import NAME as HISTORY_FILE
from dreamlap.history import history
from dreamlap.run import Stage
from dreamlap.scores import read_score
from dreamlap.settings import with_current_names
from dreamlap.show.figures import Metrics
from dreamlap.show.glimpse import unseen_drive
from dreamlap.show.shapes import CONFIG, DONE, HISTORY, MISSING, TRUST, WORST, fitted

T = TypeVar("T")
STAGES = ("collect", "vision", "encode", "trust", "memory", "controller", "select")
"""The stages of a run, in their order."""


class RunReader:
    """What a run folder holds. Nothing is written. `problems` names, in a line each, what cannot be read or shown."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.problems: list[str] = []
        self._read: dict[str, Any] = {}
        self._began = time.time()

    def json(self, name: str) -> Any:
        """A JSON file of the run as it is, or None if it is not there or broken."""
        if name not in self._read:
            self._read[name] = self._or_problem(lambda: read_json(self.folder / name))
        return self._read[name]

    def _object(self, name: str, shape: Any, renewed: Callable[[Any], Any] = lambda value: value) -> dict[str, Any]:
        """What of an object in a JSON file can be shown. `renewed` gives it the names that it would have now."""
        key = f"{name} as shown"
        if key not in self._read:
            value = self._or_problem(lambda: renewed(self.json(name)))
            found = MISSING if value is None else fitted(value, shape, name, self.complain)
            self._read[key] = {} if found is MISSING else found
        return self._read[key]

    def complain(self, problem: str) -> None:
        """Note something that cannot be read or shown, once."""
        if problem not in self.problems:
            self.problems.append(problem)

    def _or_problem(self, read: Callable[[], T]) -> T | None:
        """What `read` gives; None if it is not there, or if it is broken, which is noted."""
        try:
            return read()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            self.complain(explain(error))
        except (Refused, FloatingPointError) as error:
            self.complain(str(error))
        return None

    @cached_property
    def config(self) -> dict[str, Any]:
        """The settings, as far as the report knows them."""
        return self._object("config.json", CONFIG, _current_settings)

    @property
    def mind(self) -> str:
        """Where C is trained, "dream" or "awake"; empty if nobody wrote it down."""
        return self.config.get("controller", {}).get("mind", "")

    @property
    def start(self) -> str:
        """The agent that the run began with; empty if it began with fresh weights."""
        return self.config.get("start", "")

    @property
    def restart(self) -> list[int]:
        """The rounds in which C is trained from scratch."""
        return self.config.get("rounds", {}).get("restart", [])

    @property
    def restarts(self) -> int:
        """How many Cs were to be trained from scratch after the rounds."""
        return self.config.get("restarts", {}).get("controllers", 0)

    @cached_property
    def rounds(self) -> list[int]:
        """The numbers of the rounds that have begun; the last of them may be restarts of C."""
        names = (re.fullmatch(r"round-(\d+)", path.name) for path in self.folder.glob("round-*"))
        return sorted(int(name[1]) for name in names if name)

    def result(self, number: int, stage: str) -> dict[str, Any]:
        """What a stage of a round left when it was done; empty if it is not."""
        return self._object(f"round-{number}/{stage}/done.json", DONE)

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
    def history(self) -> list[dict[str, Any]]:
        """What was done with the folder: commands, and how long they worked on what. Empty for runs of older versions."""
        lines = self._or_problem(lambda: history(self.folder)) or []
        return fitted(lines, HISTORY, HISTORY_FILE, self.complain)

    @property
    def commands(self) -> list[tuple[str, str]]:
        """The date and the text of every command that worked on the run."""
        return [(line.get("date", ""), line["command"]) for line in self.history if "command" in line]

    def _phase(self, name: str) -> float | None:
        """The seconds that were noted for a phase; None if none were: an older version did not."""
        noted = [line["seconds"] for line in self.history if line.get("phase") == name and "seconds" in line]
        return sum(noted) if noted else None

    @property
    def untimed(self) -> list[str]:
        """What the run has done after its training, and nobody timed."""
        done = {"score": bool(self.scores), "check": bool(self.trust), "videos": self.video("drive") is not None}
        return [name for name, is_done in done.items() if is_done and self._phase(name) is None]

    @cached_property
    def seconds(self) -> dict[str, float]:
        """Wall-clock by what it was spent on: stages over all rounds, what came after them, and what none of them counted."""
        spent = {name: sum(r.get("seconds", 0.0) for r in self.results(name).values()) for name in STAGES}
        spent["select"] += sum(one.get("seconds", 0.0) for one in self._selections)
        spent["practice"] = self.practice.get("seconds", 0.0)
        trained = sum(self._phase(name) or 0.0 for name in ("learn", "select"))
        rest = trained - sum(spent.values())
        spent |= {name: self._phase(name) or 0.0 for name in ("score", "check", "videos")}
        spent["rest"] = rest if rest >= 1 else 0.0
        spent["report"] = time.time() - self._began if any(spent.values()) else 0.0
        return {name: seconds for name, seconds in spent.items() if seconds}

    @cached_property
    def expert(self) -> bool:
        """Whether it is the run of an expert, which has one stage, `practice`, and neither rounds nor V and M."""
        return "practice" in self.config

    @cached_property
    def practice(self) -> dict[str, Any]:
        """What an expert's practice left; empty if it is not done."""
        return self._object("practice/done.json", DONE)

    @cached_property
    def selection(self) -> dict[str, Any]:
        """What came of choosing between the last agents; of the last time, if rounds were added after the first."""
        return next((one for one in reversed(self._selections) if one), {})

    @cached_property
    def _selections(self) -> list[dict[str, Any]]:
        """The same of every time, in order."""
        folders = sorted(path.parent.name for path in self.folder.glob("select*/done.json"))
        return [self._object(f"{name}/done.json", DONE) for name in folders]

    @cached_property
    def trust(self) -> dict[str, Any]:
        """What came of asking whether the dream can be trusted; empty if nobody asked."""
        return self._object("trust.json", TRUST)

    @property
    def video_steps(self) -> int:
        """How long the run's videos are, in steps."""
        return self.config.get("video_steps") or self.config.get("selection", {}).get("video_steps", 1000)

    @property
    def judged(self) -> dict[str, Any] | None:
        """The score whose worst drive may be shown: of selection tracks, for test tracks are driven for a score alone."""
        return next((one for one in self.scores if one["track"] == "stock" and one["kind"] == "selection"), None)

    @property
    def worst(self) -> dict[str, Any]:
        """The map of the worst drive; empty if nobody drove it again."""
        return self._object("videos/worst.json", WORST)

    def candidates(self) -> dict[int, list[float]]:
        """By round, the returns (or their mean alone) on the tracks of the model selection."""
        means = {int(number): [mean] for number, mean in self.selection.get("means", {}).items() if number.isdecimal()}
        driven = {n: r.get("returns") or [r["mean"]] for n, r in self.results("select").items() if "mean" in r}
        raced = {int(n): found for n, found in self.selection.get("returns_of", {}).items() if n.isdecimal() and found}
        return means | driven | raced

    def steps(self, stage: str) -> int:
        """Steps that a stage took in all rounds: real ones of `collect`, those of C's training of `controller`."""
        return sum(result.get("steps", 0) for result in self.results(stage).values())

    @cached_property
    def scores(self) -> list[dict[str, Any]]:
        """All scores of the run's agent: those that are scores first, and of these one on test tracks before one on others."""
        paths = sorted((self.folder / "scores").glob("*.json"))
        found = [score for path in paths if (score := self._or_problem(lambda path=path: self._own_score(path)))]
        return sorted(found, key=lambda score: (len(score["caveats"]), -min(score["seeds"])))

    def _own_score(self, path: Path) -> dict[str, Any]:
        made = read_score(path)
        if self.chosen is not None and made["fingerprint"] not in (None, self.chosen.fingerprint):
            raise Refused(f"{path} is the score of another agent ({made['agent']}), or of this one as it was before: left out")
        return made

    @cached_property
    def chosen(self) -> Agent | Expert | None:
        """The run's agent or expert, if it has come to one."""
        return self._or_problem(lambda: load(self.folder / "agent"))

    @cached_property
    def agent(self) -> Agent | None:
        """The run's agent, or the last that a round left; None if there is none yet, or if it is an expert."""
        if (self.folder / "agent" / "agent.json").exists():
            return self.chosen if isinstance(self.chosen, Agent) else None
        places = [self.folder / f"round-{number}" / "controller" / "agent" for number in reversed(self.rounds)]
        found = next((place for place in places if (place / "agent.json").exists()), None)
        loaded = self._or_problem(lambda: load(found)) if found else None
        return loaded if isinstance(loaded, Agent) else None

    @cached_property
    def drive(self) -> Episode | None:
        """A drive of that agent, for looking at what V and M make of it."""
        agent = self.agent
        return self._or_problem(lambda: unseen_drive(agent, 0)) if agent else None

    def video(self, name: str) -> Path | None:
        """The path of a video, if it was made."""
        path = self.folder / "videos" / f"{name}.mp4"
        return path if path.exists() else None


def _current_settings(told: Any) -> Any:
    """The settings of a run, or of an expert's, under the names that they have now."""
    return with_current_names(ExpertConfig, with_current_names(Config, told, "config.json"), "config.json")
