"""Every system that the presets come from, made small, from an empty folder to its score, and one table of all: `make seeds`.

A quarter of an hour at most for each on two cores. What is finished is not done again: the command may be broken off and given
again. The raw figures go to `scores/seeds/`, the table to `docs/seeds.md`.
"""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dreamlap.files import read_json, read_object, replacing, write_json
from dreamlap.progress import console
from dreamlap.scores import check_score, read_score, told

SHORT = ["--selection.video_steps", "200"]
"""Films of four seconds: thousands of frames of a car that hardly moves are of no use."""
SMALL: dict[str, list[str]] = {
    "carracing-nvae": [
        *("--collect.random", "24", "--vision_training.updates", "700", "--vision_training.batch", "32"),
        *("--vision_training.kl_warmup", "250", "--memory_training.updates", "300"),
        *("--cmaes.generations", "12", "--cmaes.steps", "400", "--workers", "2"),
    ],
    "carracing-nvae-dream": [
        *("--collect.random", "24", "--collect.steps", "300", "--vision_training.updates", "500"),
        *("--vision_training.batch", "32", "--vision_training.kl_warmup", "200", "--memory_training.updates", "300"),
        *("--cmaes.generations", "6", "--cmaes.steps", "100", "--workers", "2"),
    ],
    "world-model-toy": [
        *("--vision_training.updates", "600", "--vision_training.kl_warmup", "600"),
        *("--memory_training.updates", "200", "--cmaes.generations", "80"),
    ],
    "rl-world-models": [
        *("--collect.correlated", "40", "--vision_training.updates", "500", "--memory_training.updates", "500"),
        *("--rounds.rounds", "2", "--rounds.episodes", "24", "--selection.candidates", "1"),
    ],
    "rl-world-models-awake": [
        *("--collect.correlated", "40", "--vision_training.updates", "500", "--memory_training.updates", "500"),
        *("--ppo.updates", "40"),
    ],
    "world-models-pytorch": [
        *("--collect.random", "40", "--vision_training.updates", "500", "--memory_training.updates", "400"),
        *("--cmaes.generations", "8", "--cmaes.rollouts", "6", "--cmaes.steps", "300"),
    ],
    "jk2500": [
        *("--collect.expert", "24", "--vision_training.updates", "500", "--memory_training.updates", "150"),
        *("--cmaes.generations", "8", "--cmaes.population", "16", "--cmaes.rollouts", "4", "--cmaes.steps", "300"),
    ],
}
"""Preset -> the flags that make it small."""
STAGES = ("collect", "vision", "encode", "memory", "controller", "select")
RAW, PAGE = Path("scores/seeds"), Path("docs/seeds.md")


def main() -> None:
    """Run all, then write the table."""
    for preset, flags in SMALL.items():
        console.rule(preset)
        subprocess.run([sys.executable, "-m", "dreamlap", "run", preset, *flags, *SHORT], check=True)
        write_json(RAW / f"{preset}.json", figures(Path("runs") / preset))
    with replacing(PAGE) as partial:
        partial.write_text(page({preset: system(RAW / f"{preset}.json") for preset in SMALL}), "utf-8")
    console.print(f"wrote {PAGE}")


def figures(run: Path) -> dict[str, Any]:
    """What is to be compared of a run, and what made it."""
    stages = [*sorted(run.glob("round-*/*/done.json")), run / "select" / "done.json"]
    seconds = {name: sum(read_json(path)["seconds"] for path in stages if path.parent.name == name) for name in STAGES}
    dreams = {path.stem: read_score(path)["mean"] for path in sorted(run.glob("dreams/*.json"))}
    return {
        "score": read_score(run / "scores" / "selection.json"),
        "dreams": dreams,
        "vision": read_json(run / "round-0" / "vision" / "done.json"),
        "memory": read_json(run / "round-0" / "memory" / "done.json"),
        "seconds": seconds,
        "config": read_json(run / "config.json"),
        "versions": read_json(run / "versions.json"),
    }


def system(path: Path) -> dict[str, Any]:
    """What `figures` wrote, its score checked."""
    found = read_object(path)
    return found | {"score": check_score(found.get("score"), str(path))}


HEAD = """# The five systems, small

Made by `make seeds` on two cores without a GPU; raw figures in `scores/seeds/`. Each went from an empty folder to its
score in minutes, at a small share of its own size (the flags are in `benchmarks/seeds.py`): what is shown is that
each works whole, not what each can reach. One training seed.

"""
NOTES = """
The score is by the protocol, on the 20 stock selection tracks from 900,000 on: mean ± standard deviation. Bits: what
a number of a held-out frame costs with V. Drawing error: V's, in grey levels of 255 (RMS). Nats and reward error:
M's, of a step of held-out episodes. The dream's error: between the real frame and V's drawing of what M dreamed, so
many steps of the same actions later, in grey levels; beside it, after 50 steps, V's own drawing of the truth, and a
world that stands still. Nats compare within one V only.
"""


def page(systems: Mapping[str, Mapping[str, Any]]) -> str:
    """The table of all systems, in Markdown."""
    score = table(
        ("system", "score", "min", "laps", "bits", "drawing error", "nats per dimension", "reward error", "time"),
        [_score_row(name, system) for name, system in systems.items()],
    )
    dream = table(
        ("system", "dream after 1", "10", "50 steps", "V's drawing", "standing still"),
        [_dream_row(name, system["memory"]) for name, system in systems.items()],
    )
    times = table(("system", *STAGES), [(name, *map(_time, system["seconds"].values())) for name, system in systems.items()])
    promised = [
        f"`{name}` was promised {', '.join(f'{mean:.0f} in its {dream} dream' for dream, mean in system['dreams'].items())}, "
        f"and got {system['score']['mean']:.0f} on the real track.\n"
        for name, system in systems.items()
        if system["dreams"]
    ]
    return HEAD + score + "\n" + dream + "\n" + times + NOTES + "".join(f"\n{line}" for line in promised)


def _score_row(name: str, system: Mapping[str, Any]) -> tuple[str, ...]:
    score, vision, memory = system["score"], system["vision"], system["memory"]
    return (
        f"`{name}`",
        told(score),
        f"{score['min']:.0f}",
        f"{score['laps']} of {len(score['returns'])}",
        _number(vision.get("bits_per_dimension"), 3),
        _number(vision.get("rms"), 1),
        _number(memory.get("nll_per_dim"), 3),
        _number(memory.get("reward_rmse"), 2),
        _time(sum(system["seconds"].values())),
    )


def _dream_row(name: str, memory: Mapping[str, Any]) -> tuple[str, ...]:
    error = memory.get("pixels", {})
    told = [_number(error.get("dream", {}).get(steps), 1) for steps in ("1", "10", "50")]
    beside = [_number(error.get(kind, {}).get("50"), 1) for kind in ("floor", "still")]
    return (f"`{name}`", *told, *beside)


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _time(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A Markdown table."""
    return "".join(f"| {' | '.join(row)} |\n" for row in (head, tuple("---" for _ in head), *rows))


if __name__ == "__main__":
    main()
