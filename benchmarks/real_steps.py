"""How many real steps an agent needs: the demo's recipe with less driving, with and without the autopilot: `make real-steps`.

    python -m benchmarks.real_steps [--seeds 6 7 8] [--amounts 25 50] [--kinds autopilot alone]

No rounds are added, and only what is driven changes: the first data and the agent's own drives of each round, in the same
proportion; V, M and C learn for as many updates as ever. The agent that each run chooses drives 100 selection tracks of the
fast track that nothing else looks at. What is finished is not done again: the command may be broken off and given again.
Raw returns go to `scores/real_steps/`, a table and a figure to `docs/real-steps.md` and `docs/real-steps.png`.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from benchmarks.ablations import whole_scores
from benchmarks.scores import lost_of, table
from benchmarks.steadiness import train_and_drive
from dreamlap.config.run import Config
from dreamlap.files import replacing
from dreamlap.presets import PRESETS
from dreamlap.progress import console
from dreamlap.scores import told

TRACKS = range(921_000, 921_100)
RAW, PAGE, FIGURE = Path("scores/real_steps"), Path("docs/real-steps.md"), Path("docs/real-steps.png")
AMOUNTS = (25, 50, 100, 198)
"""Thousands of real steps, at most."""
KINDS = {"autopilot": "with the autopilot", "alone": "without"}
FIRST = {"autopilot": {25: 13, 50: 26, 100: 53, 198: 104}, "alone": {25: 29, 50: 58, 100: 117, 198: 237}}
"""Kind -> amount -> first drives: the autopilot's of at most 1,000 steps, or a random walk's of at most 300."""
ROUNDS = {"autopilot": {25: 4, 50: 8, 100: 16, 198: 32}, "alone": {25: 6, 50: 12, 100: 24, 198: 47}}
"""... -> the agent's drives of a round, of at most 300 steps; there are nine rounds."""


def main() -> None:
    """Train and drive what is not there yet, and write table and figure."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seeds", type=int, nargs="+", default=[6, 7, 8], help="training seeds")
    options.add_argument("--amounts", type=int, nargs="+", default=AMOUNTS, choices=AMOUNTS, help="thousands of real steps")
    options.add_argument("--kinds", nargs="+", default=list(KINDS), choices=KINDS, help="with the autopilot, or without")
    chosen = options.parse_args()
    for seed in chosen.seeds:
        for amount in chosen.amounts:
            for kind in chosen.kinds:
                train_and_drive(RAW / f"{kind}-{amount}-{seed}.json", replace(recipe(kind, amount), seed=seed), TRACKS)
                write_page()


def recipe(kind: str, amount: int) -> Config:
    """The demo with at most `amount` thousand real steps."""
    demo, first, episodes = PRESETS["demo"].config, FIRST[kind][amount], ROUNDS[kind][amount]
    if kind == "autopilot":
        collect = replace(demo.collect, autopilot=first, correlated=max(1, first // 13))
        return replace(demo, collect=collect, rounds=replace(demo.rounds, episodes=episodes, more=0))
    return replace(
        demo,
        collect=replace(demo.collect, autopilot=0, correlated=first, steps=300, random_start=0.9),
        ppo=replace(demo.ppo, leaving_penalty=5.0),
        rounds=replace(demo.rounds, episodes=episodes, vision_updates=250, penalty_growth=12.0, more=0),
    )


def write_page() -> None:
    """The table and the figure of what is there."""
    found = whole_scores(RAW)
    scores = {(kind, amount): seeds_of(found, kind, amount) for kind in KINDS for amount in AMOUNTS}
    scores = {key: each for key, each in scores.items() if each}
    with replacing(FIGURE) as partial:
        draw(scores, partial)
    with replacing(PAGE) as partial:
        rows = [row(*key, each) for key, each in scores.items()]
        partial.write_text(INTRODUCTION + table(HEAD, rows) + missing(scores), "utf-8")
    console.print(f"wrote {PAGE}")


def seeds_of(found: dict[str, dict[str, Any]], kind: str, amount: int) -> list[dict[str, Any]]:
    """The scores of one point, a training seed each."""
    return [score for name, score in found.items() if name.startswith(f"{kind}-{amount}-")]


def row(kind: str, amount: int, scores: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    """A row of the table: one point."""
    learned_from = [score["trained"]["real_steps"] / 1000 for score in scores]
    return (
        f"{amount},000",
        KINDS[kind],
        ", ".join(f"{thousands:.0f} k" for thousands in learned_from),
        f"**{np.mean([score['mean'] for score in scores]):.0f}**",
        ", ".join(told(score) for score in scores),
        f"{min(score['min'] for score in scores):.0f}",
        lost_of(scores),
    )


def missing(scores: Mapping[tuple[str, int], Any]) -> str:
    """What was not run yet: a line below the table, or nothing."""
    left = {about: [f"{each},000" for each in AMOUNTS if (kind, each) not in scores] for kind, about in KINDS.items()}
    amounts = "; ".join(f"{', '.join(each)} {about}" for about, each in left.items() if each)
    return f"\nNot run yet: {amounts}.\n" if amounts else ""


def draw(scores: dict[tuple[str, int], list[dict[str, Any]]], path: Path) -> None:
    """The mean of each training seed over real steps, and a line through the means of the seeds."""
    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for number, (kind, about) in enumerate(KINDS.items()):
        groups = {amount: each for (of, amount), each in scores.items() if of == kind}
        if not groups:
            continue
        means = [float(np.mean([score["mean"] for score in group])) for group in groups.values()]
        axes.plot(list(groups), means, color=f"C{number}", label=about)
        dots = [(amount, score["mean"]) for amount, group in groups.items() for score in group]
        axes.plot(*zip(*dots, strict=True), "o", color=f"C{number}", alpha=0.6)
    axes.axhline(900, color="0.6", linewidth=1)
    axes.set(xlabel="real steps of the whole run, at most (thousands)", ylabel="mean return on 100 tracks", xlim=(0, None))
    axes.legend(title="first drives", loc="lower right")
    figure.savefig(path, dpi=120, format="png")
    plt.close(figure)


HEAD = ("at most", "autopilot", "the agent learned from", "mean", "each training seed", "min", "lost (95 % interval)")
INTRODUCTION = f"""# How many real steps

Made by `make real-steps` of the raw returns in `scores/real_steps/`: the preset `demo` with less driving, and without added
rounds. V, M and C learn for as many updates as ever. Without the autopilot the first drives are a random walk's; leaving the
road then costs less at first, so that C dares to drive, and V learns on in each round. Each point is a training of its own, and
its agent on 100 selection tracks of the fast track ({TRACKS[0]:,} to {TRACKS[-1]:,}).

The limit is that of the whole run. The agent may be of an earlier round, so it learned from fewer steps. Not counted are the
300 drives or so that choose it: nothing learns from them.

![Mean return over real steps](real-steps.png)

"""

if __name__ == "__main__":
    main()
