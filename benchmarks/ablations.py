"""What each part is good for: the sprint with one thing changed, trained from scratch, and a table of all: `make ablations`.

    python -m benchmarks.ablations [NAME ...]

Everything is trained at the sprint's budget with three training seeds (the last ones with one), and scored on 100 selection
tracks of the fast track that nothing else is chosen by: figures to compare with each other, no scores. What is finished is not
done again: the command may be broken off and given again, and the table holds what there is, the first seed of each before the
second. An ablation shares with the unchanged run of its seed the stages of round 0 before what it changes: then they differ by
that, and not by the chance of another V. Raw returns go to `scores/ablations/`, the table to `docs/ablations.md`. All of it
takes up to half a day on two cores.
"""

import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.scores import table
from dreamlap.evaluation import evaluate
from dreamlap.files import replacing, write_json
from dreamlap.pipeline import ROUND
from dreamlap.progress import console
from dreamlap.scores import read_score, told

TRACKS = range(904_000, 904_100)
RAW, PAGE = Path("scores/ablations"), Path("docs/ablations.md")
CONSTANT = ("--controller.no-state-dependent-std", "--ppo.entropy", "0.001")
AWAKE = ("--controller.mind", "awake", "--ppo.num_envs", "32", "--ppo.steps", "128", "--ppo.reset_every", "10")
AWAKE += ("--ppo.updates", "50", "--rounds.controller_updates", "20", "--ppo.limit", "400")
AWAKE += ("--ppo.leaving_penalty", "0", "--ppo.off_road_penalty", "2.5")
LINEAR = ("--controller.kind", "linear", "--cmaes.directions", "48", "--cmaes.generations", "60", "--cmaes.steps", "60")
LINEAR += ("--cmaes.off_road_penalty", "4", "--rounds.controller_updates", "40")


class Ablation(NamedTuple):
    """The sprint with one thing changed."""

    about: str
    flags: tuple[str, ...] = ()
    seeds: int = 3
    since: str = "collect"
    """The first stage of round 0 that it changes; `rounds`: none."""


ABLATIONS = {
    "whole": Ablation("V + M, in the dream: what the others change"),
    "constant-std": Ablation("C explores with the same noise wherever the car is", CONSTANT, since="controller"),
    "v-only": Ablation("C sees z alone, M is its dream and nothing else", ("--controller.no-sees-memory",), since="controller"),
    "untrained-m": Ablation(
        "C sees z and the h of an M that never learned; M is its dream", ("--memory.kind", "reservoir"), since="memory"
    ),
    "rounds-1": Ablation("one round after the first", ("--rounds.rounds", "1"), since="rounds"),
    "rounds-2": Ablation("two rounds", ("--rounds.rounds", "2"), since="rounds"),
    "rounds-8": Ablation("eight rounds: twice the budget", ("--rounds.rounds", "8"), since="rounds"),
    "bar-cropped": Ablation("V does not see the instrument bar", ("--track.no-bar",)),
    "bar-as-all": Ablation("the bar weighs no more than other pixels", ("--vision_training.bar_weight", "1"), since="vision"),
    "unprivileged": Ablation(
        "no autopilot: the first data is of random-walk drivers", ("--collect.autopilot", "0", "--collect.correlated", "112")
    ),
    "horizon-100": Ablation("dreams of 100 steps", ("--dream.horizon", "100"), 1, since="controller"),
    "no-decay": Ablation("learning rates do not fall", ("--rounds.decay", "1"), 1, since="rounds"),
    "one-way": Ablation("no drive goes round the lap the other way", ("--rounds.reverse", "0"), 1, since="rounds"),
    "penalty-a-step": Ablation(
        "every step off the road costs 16, leaving it nothing",
        ("--ppo.leaving_penalty", "0", "--ppo.off_road_penalty", "16"),
        since="controller",
    ),
    "temperature-1.15": Ablation("tau 1.15", ("--dream.temperature", "1.15"), 1, since="controller"),
    "temperature-1.3": Ablation("tau 1.3", ("--dream.temperature", "1.3"), 1, since="controller"),
    "linear": Ablation("a linear C, by CMA-ES in the dream", LINEAR, 1, since="controller"),
    "awake": Ablation("C trained on the track for half a million steps, penalty 2.5", AWAKE, 1, since="controller"),
    "nvae": Ablation("NVAE instead of the light V", ("--vision.kind", "nvae"), 1, since="vision"),
}
"""Name -> what is changed."""


def main() -> None:
    """Train and score what is not there yet, and write the table."""
    names = sys.argv[1:] or list(ABLATIONS)
    if unknown := ", ".join(sorted(set(names) - set(ABLATIONS))):
        sys.exit(f"no ablation is called {unknown}; there are {', '.join(ABLATIONS)}")
    for seed in range(max(ABLATIONS[name].seeds for name in names)):
        for name in names:
            if seed < ABLATIONS[name].seeds:
                one(name, seed)
                write_page()


def write_page() -> None:
    """The table of what is there."""
    with replacing(PAGE) as partial:
        partial.write_text(page(whole_scores(RAW)), "utf-8")
    console.print(f"wrote {PAGE}")


def whole_scores(folder: Path) -> dict[str, dict[str, Any]]:
    """The scores in a folder by name, without what was interrupted."""
    found = {path.stem: read_score(path, whole=False) for path in sorted(folder.glob("*.json"))}
    return {name: score for name, score in found.items() if score["complete"]}


def one(name: str, seed: int) -> None:
    """One training and its score."""
    raw, run = RAW / f"{name}-{seed}.json", Path("runs", f"ablation-{name}-{seed}")
    if raw.exists() and read_score(raw, whole=False)["complete"]:
        return
    console.rule(f"{name}, seed {seed}")
    whole = Path("runs", f"ablation-whole-{seed}")
    if ABLATIONS[name].since != "collect" and whole.exists() and not run.exists():
        share(whole, run, ABLATIONS[name].since)
    flags = ("--name", run.name, "--seed", str(seed), *ABLATIONS[name].flags)
    subprocess.run([sys.executable, "-m", "dreamlap", "train", "controller", "sprint", *flags], check=True)
    last = max(run.glob("round-*/controller/agent"), key=lambda path: int(path.parts[-3].split("-")[1]))
    write_json(raw, evaluate(last, TRACKS, track="fast", file=raw))


def share(whole: Path, run: Path, since: str) -> None:
    """Begin `run` with the episodes of round 0 and its stages before `since`, as the run `whole` has them."""
    stages = [*ROUND, "rounds"]
    partial = run.with_name(f".{run.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    for stage in stages[: stages.index(since)]:
        shutil.copytree(whole / "round-0" / stage, partial / "round-0" / stage)
    shutil.copytree(whole / "episodes", partial / "episodes", ignore=lambda _, names: [n for n in names if n[:3] != "r00"])
    partial.rename(run)


def page(found: Mapping[str, dict[str, Any]]) -> str:
    """The table, of the raw returns."""
    rows = []
    for name, ablation in ABLATIONS.items():
        scores = [found[key] for seed in range(ablation.seeds) if (key := f"{name}-{seed}") in found]
        if scores:
            rows.append(
                (
                    f"`{name}`",
                    ablation.about,
                    f"**{np.mean([score['mean'] for score in scores]):.0f}**",
                    ", ".join(told(score) for score in scores),
                    f"{min(score['min'] for score in scores):.0f}",
                    f"{sum(score['laps'] for score in scores)} of {sum(len(score['returns']) for score in scores)}",
                )
            )
    head = ("", "what is changed", "mean", "each training seed", "min", "laps")
    return HEAD + table(head, rows)


HEAD = """# What each part is good for

Made by `make ablations` of the raw returns in `scores/ablations/`: the preset `sprint` with one thing changed, trained at
its budget; the agent of the last round, unchosen, on 100 selection tracks (904,000 to 904,099) of the fast track.

"""

if __name__ == "__main__":
    main()
