"""The tables of scores, made of raw returns: the included agents, our presets beside the published ones, older recipes.

    python -m benchmarks.scores

A file in `scores/final/` is what `dreamlap evaluate runs/NAME --final --json scores/final/PRESET-SEED.json` wrote: the hundred
test tracks, driven by what a preset left with one training seed. Files of one preset make one row; PRESET-at-COMMIT is what it
was before.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dreamlap.files import replacing
from dreamlap.named import PRETRAINED
from dreamlap.progress import console
from dreamlap.scores import read_score, told, wilson_interval

HERE = Path(__file__).parents[1]
FINAL, DOCS, README = HERE / "scores" / "final", HERE / "docs", HERE / "README.md"
BEGIN, END = "<!-- {} by python -m benchmarks.scores -->\n", "<!-- end -->"
HEAD = ("who", "mean ± sd of each training seed", "min", "laps", "lost (95 % interval)", "C trained in", "cost")
HEAD_OF_AGENTS = ("agent", "mean ± sd", "median", "min", "laps", "lost (95 % interval)", "C trained in")
WHERE = {"dream": "dream", "awake": "track", "": ""}
"""What a mind is called in the tables."""

ARXIV = "https://arxiv.org/abs/"
PUBLISHED = (
    (
        f"[AttentionAgent (Tang, Nguyen & Ha 2020)]({ARXIV}2003.08165), CarRacing-v0",
        "914 ± 15",
        "track",
        "256 × 16 rollouts × 2,000 generations",
    ),
    ("PPO with a Beta policy (Petrazzini & Antonelo 2021), v0, quoted second-hand", "913 ± 26", "no world model", ""),
    (f"[World Models (Ha & Schmidhuber 2018)]({ARXIV}1803.10122), v0", "906 ± 21", "track", "1,119 h on 64 cores"),
    ("DQN, v0, quoted second-hand", "905 ± 24", "no world model", ""),
    ("AttentionAgent (Tang, Nguyen & Ha 2020), CarRacing-v2", "903 ± 12", "track", ""),
    (f"genetic algorithm, V and M included ([Risi & Stanley 2019]({ARXIV}1906.08857)), v0", "903 ± 72", "track", ""),
    ("PPO with LSTM (Stable-Baselines3's zoo), v0", "863 ± 97", "no world model", "4 M steps"),
    ("[World Models in PyTorch (ctallec)](https://ctallec.github.io/world-models/), v0", "860 ± 120", "track", "a day, 4 GPUs"),
    ("fully in the dream, best mean over 100 tracks found", "625 ± 289", "dream", ""),
)
"""Who, score, where C was trained, cost: as their authors tell it, or as others quote them."""


def main() -> None:
    """Put the tables into their pages."""
    for path, tables in pages().items():
        text = filled(path.read_text("utf-8"), tables)
        with replacing(path) as partial:
            partial.write_text(text, "utf-8")
        console.print(f"wrote the tables of {path.name}")


def pages() -> dict[Path, dict[str, str]]:
    """The tables that every page has, by name."""
    found = finals()
    older = {name: scores for name, scores in found.items() if "-at-" in name}
    ours = {name: scores for name, scores in found.items() if name not in older}
    others = [(who, score, "", "", "", "", where) for who, score, where, _ in PUBLISHED]
    return {
        README: {"agents": table(HEAD_OF_AGENTS, [*agents(), *others])},
        DOCS / "scores.md": {"presets": table(HEAD, rows(ours, PUBLISHED))},
        DOCS / "results" / "index.md": {"older recipes": table(HEAD, rows(older))},
    }


def agents() -> list[tuple[str, ...]]:
    """A row for each included agent with a final score, the best first."""
    found = {path.parent.name: read_score(path) for path in PRETRAINED.glob("*/score.json")}
    return [
        (
            f"`{name}`",
            f"**{told(score, 1)}**",
            f"{score['median']:.1f}",
            f"{score['min']:.1f}",
            f"{score['laps']} of {len(score['returns'])}",
            lost_of([score]),
            WHERE[score["trained"]["mind"]],
        )
        for name, score in sorted(found.items(), key=lambda item: -item[1]["mean"])
    ]


def finals() -> dict[str, list[dict[str, Any]]]:
    """The final scores by preset, in the order of their means; one for each training seed."""
    found = defaultdict(list)
    for path in sorted(FINAL.glob("*-*.json")):
        found[path.stem.rpartition("-")[0]].append(read_score(path))
    return dict(sorted(found.items(), key=lambda item: -np.mean([score["mean"] for score in item[1]])))


def rows(found: Mapping[str, list[dict[str, Any]]], published: Sequence[tuple[str, ...]] = ()) -> list[tuple[str, ...]]:
    """A row for each preset, then the published ones."""
    ours = [_row(name, scores) for name, scores in found.items()]
    return ours + [(who, score, "", "", "", where, cost) for who, score, where, cost in published]


def _row(name: str, scores: list[dict[str, Any]]) -> tuple[str, ...]:
    """The mean over training seeds, and what each of them got."""
    means = [score["mean"] for score in scores]
    each = ", ".join(told(score) for score in scores)
    about = [score["trained"] for score in scores]
    known = {key: [a[key] for a in about if key in a] for key, _, _ in COSTS}  # not every seed wrote down what it cost
    cost = [f"{np.mean(known[key]) / unit:,.0f} {what}" for key, unit, what in COSTS if known[key]]
    return (
        f"**`{name}`**",
        f"**{np.mean(means):.0f}**: {each}",
        f"{min(score['min'] for score in scores):.0f}",
        f"{sum(score['laps'] for score in scores)} of {sum(len(score['returns']) for score in scores)}",
        lost_of(scores),
        WHERE[about[0].get("mind", "")],
        "; ".join(cost) + (f"; all of it after `{about[0]['start']}`" if "start" in about[0] else ""),
    )


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A Markdown table."""
    return "".join(f"| {' | '.join(row)} |\n" for row in (head, tuple("---" for _ in head), *rows))


def lost_of(scores: Sequence[dict[str, Any]]) -> str:
    """The lost drives of several scores together, with the 95 % interval of their share."""
    count, of = sum(score["lost"] for score in scores), sum(len(score["returns"]) for score in scores)
    low, high = wilson_interval(count, of)
    return f"{count} of {of} ({100 * low:.1f}–{100 * high:.1f} %)"


COSTS = (
    ("real_steps", 1000, "k real steps"),
    ("dream_steps", 1e6, "M dream steps"),
    ("awake_steps", 1e6, "M steps of C on the track"),
    ("seconds", 60, "min"),
)


def filled(text: str, tables: Mapping[str, str]) -> str:
    """The text with each table between its two marks."""
    for name, made in tables.items():
        before, rest = text.split(BEGIN.format(name))
        text = before + BEGIN.format(name) + made + END + rest.split(END, 1)[1]
    return text


if __name__ == "__main__":
    main()
