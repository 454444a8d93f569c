"""Every system that the presets come from, trained at its size of an hour, with two training seeds: `make seeds`.

    python -m benchmarks.seeds [PRESET ...] [--seeds 0 1]

An hour on two cores for each training. What is finished is not done again: the command may be broken off and given again. The
raw figures go to `scores/seeds/`; the table, the curves and a short video of each system to `docs/seeds.md` and `docs/seeds/`.
"""

import argparse
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from benchmarks.keys import press
from benchmarks.scores import lost_of, table
from dreamlap.files import read_json, read_object, replacing, write_json
from dreamlap.progress import console
from dreamlap.scores import check_score, read_score, told
from dreamlap.show.reading import RunReader
from dreamlap.show.theme import LIGHT, picture

CLAIMS = {
    "rl-world-models": "names no score",
    "rl-world-models-awake": "names no score",
    "world-models-pytorch": "the task is solved; names no score",
    "jk2500": "names no score",
    "carracing-nvae": "stops at a return of 950",
    "carracing-nvae-dream": "names no score",
    "world-model-toy": "names no score",
    "world-model-toy-keys": "a person drives, with four keys",
    "ha2018": "906 ± 21 on 100 tracks, after 1,800 generations",
    "world-models-pytorch-untrained": "another such system made 870 ± 120",
    "carracing-nvae-untrained": "names no such control",
}
"""Preset -> what its text says that it reaches. In the order of the page."""
UNTRAINED = "-untrained"
"""A control: C sees the h of an M that never learned."""
KEYS = "-keys"
"""The episodes that a person is to drive were driven by four keys, and not by the autopilot's exact steering."""
RAW, PAGE, SHOWN = Path("scores/seeds"), Path("docs/seeds.md"), Path("docs/seeds")
STAGES = ("collect", "vision", "encode", "memory", "controller")
POINTS = 200
"""Of a learning curve, at most."""
STEPS = "250"
"""Of a video: five seconds."""


def main() -> None:
    """Train and score what is not there yet, and write the page after each."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("presets", nargs="*", metavar="PRESET", help=f"of: {', '.join(CLAIMS)}")
    options.add_argument("--seeds", type=int, nargs="+", default=[0, 1], help="training seeds")
    chosen = options.parse_args()
    if unknown := set(chosen.presets) - set(CLAIMS):
        options.error(f"no published system is called {', '.join(sorted(unknown))}; there are {', '.join(CLAIMS)}")
    for seed in chosen.seeds:
        for preset in chosen.presets or CLAIMS:
            if not (RAW / f"{preset}-{seed}.json").exists():
                train(preset, seed)
            write_page()


def train(preset: str, seed: int) -> None:
    """One system, from an empty folder to its score."""
    console.rule(f"{preset}, training seed {seed}")
    run, command = folder_of(preset, seed), [sys.executable, "-m", "dreamlap"]
    if preset.endswith(KEYS):
        press(pressed(seed), seed=seed)
    subprocess.run([*command, "run", *words(preset, seed), "--name", run.name], check=True)
    write_json(RAW / f"{preset}-{seed}.json", figures(run))
    if not (video := SHOWN / f"{preset}.webp").exists():
        subprocess.run([*command, "video", str(run / "agent"), "--out", str(video), "--steps", STEPS], check=True)


def folder_of(preset: str, seed: int) -> Path:
    """Of a training."""
    return Path("runs") / f"{preset}-seed{seed}"


def pressed(seed: int) -> Path:
    """Where the drives by keys are."""
    return Path("runs") / f"keys-seed{seed}"


def words(preset: str, seed: int) -> list[str]:
    """The preset and the flags of a training."""
    flags = ["--seed", str(seed)]
    if preset.endswith("-dream"):
        flags += ["--track.dream", str(folder_of(preset.removesuffix("-dream"), seed) / "agent")]
    if preset.endswith(UNTRAINED):
        preset, flags = preset.removesuffix(UNTRAINED), [*flags, "--memory.kind", "reservoir"]
    if preset.endswith(KEYS):
        preset, flags = preset.removesuffix(KEYS), [*flags, "--data", str(pressed(seed))]
    return [preset, *flags]


def figures(run: Path) -> dict[str, Any]:
    """What is to be compared of a run, and what made it."""
    reader = RunReader(run)
    return {
        "score": read_score(run / "scores" / "selection.json"),
        "dreams": {path.stem: read_score(path)["mean"] for path in sorted(run.glob("dreams/*.json"))},
        "vision": reader.result(0, "vision"),
        "memory": reader.result(0, "memory"),
        "seconds": dict(reader.seconds),
        "stages": {stage: sum(done.get("seconds", 0.0) for done in reader.results(stage).values()) for stage in STAGES},
        "curve": curve(reader),
        "config": read_json(run / "config.json"),
        "versions": read_json(run / "versions.json"),
    }


def curve(run: RunReader) -> dict[str, Any]:
    """How C learned: what it earned, over the steps that it had learned on."""
    rounds, config = list(run.metrics("controller")), run.config
    if config["controller"]["kind"] == "linear":
        name, shown, before = "mean return of a generation", list[tuple[float, float]](), 0.0
        for lines in rounds:  # each counts its steps from 0
            shown += [(before + line.get("steps", 0.0), line["mean"]) for line in lines]
            before = shown[-1][0] if shown else 0.0
    else:
        lines = [line for each in rounds for line in each]
        name, each = "reward of a step", config["ppo"]["num_envs"] * config["ppo"]["steps"] * config["track"]["repeat"]
        shown = [((i + 1) * each, line["reward"]) for i, line in enumerate(lines)]
    in_track = f"steps of {'that dream' if config['track']['dream'] else 'the track'}"
    where = "dream steps" if config["controller"]["mind"] == "dream" else in_track
    return {"x": where, "y": name, "points": shown[:: -(-len(shown) // POINTS)] + shown[-1:] if shown else []}


def write_page() -> None:
    """The page of what is there, and its picture."""
    found = {path.stem: system(path) for path in sorted(RAW.glob("*.json"))}
    if not found:
        return
    with replacing(SHOWN / "curves.png") as partial:
        partial.write_bytes(draw(found))
    with replacing(PAGE) as partial:
        partial.write_text(page(found), "utf-8")
    console.print(f"wrote {PAGE}")


def system(path: Path) -> dict[str, Any]:
    """What `figures` wrote, its score checked."""
    found = read_object(path)
    return found | {"score": check_score(found.get("score"), str(path))}


def trainings(found: Mapping[str, Any], preset: str) -> dict[str, Any]:
    """Those of a preset, by training seed."""
    return {name.rpartition("-")[2]: made for name, made in found.items() if name.rpartition("-")[0] == preset}


HEAD = """# The five systems, in an hour each

Made by `make seeds` on two cores without a GPU; raw figures in `scores/seeds/`. Each training went from an empty folder to its
score with one command, such as `dreamlap run jk2500`. [Presets](presets.md) says what each system is made of, and
`--full` gives it as much of everything as its text names. With `-untrained`, C sees the h of an M that never learned
(`--memory.kind reservoir`). With `-keys`, the twenty episodes that a person is to drive were driven with four keys, held and
released by the autopilot (`python -m benchmarks.keys`); else it drives them itself.

The score is by the protocol: mean ± standard deviation on the 20 stock selection tracks from 900,000 on. A lost drive is a
return below 800. Real steps are steps of the track that were learned from, those in which an action is repeated included.
The trainings with seed 0 had one core each, beside another one.

- `world-models-pytorch` had its C chosen twice from one search: again, when the average of the search means became one of the
  candidates. Its controller's time below is that of the second choice; the search took 42:43.
- In `world-models-pytorch` and `jk2500` the mean of CMA-ES moved towards the best candidates alone, in the other trainings on
  the track also away from the worst ([trial 260](results/systems.md#trial-260)).
- `carracing-nvae`, `ha2018` and `world-models-pytorch-untrained` shared their cores with tests and other trainings, so their
  times say little.
- At the end of `carracing-nvae` M learns from C's drives: as a whole with seed 1, with C carried over
  ([trials 269 and 270](results/systems.md#trial-269)), and by its heads alone with seed 0
  ([266](results/systems.md#trial-266)). Seed 1 has V, M and C of 2ff2b5d, and this last round of 4e1979c.
- `carracing-nvae-dream` drove in the dream of the former. V and M are of 4e1979c, C of b45d678
  ([275](results/systems.md#trial-275)). Its time includes 21 minutes of a C that was given up.
- `world-model-toy` has V and the first M of 144a985, and rounds of 18963b9 ([277](results/systems.md#trial-277)). Its time
  includes seven minutes of other rounds, which were given up.

"""
NOTES = """
Bits: what a number of a held-out frame costs with V. Reconstruction error: V's, in grey levels of 255 (RMS). Nats and reward
error: M's, of a step of held-out episodes; nats compare within one V only.

## How C learned

![What C earned, over the steps that it had learned on](seeds/curves.png)

A line is a training seed. Returns of the track and of dreams do not compare.
"""


def page(found: Mapping[str, Mapping[str, Any]]) -> str:
    """The table of all systems, in Markdown."""
    ordered = [(preset, seed, made) for preset in CLAIMS for seed, made in trainings(found, preset).items()]
    scores = table(
        ("system", "training seed", "score", "min", "lost (95 % interval)", "laps", "real steps", "dream steps", "time"),
        [_score_row(*each) for each in ordered],
    )
    claims = table(("system", "its text says"), [(f"`{preset}`", claim) for preset, claim in CLAIMS.items()])
    parts = table(
        ("system", "training seed", "bits", "reconstruction error", "nats per dimension", "reward error"),
        [_part_row(*each) for each in ordered],
    )
    times = table(("system", "training seed", *STAGES), [_time_row(*each) for each in ordered])
    missing = [f"`{preset}`" for preset in CLAIMS if not trainings(found, preset)]
    still = f"\nNot trained at this size yet: {', '.join(missing)}.\n" if missing else ""
    predicted = [_prediction(*each) for each in ordered if each[2]["dreams"]]
    videos = "".join(
        f"\n`{preset}`:\n\n![The agent of {preset} drives](seeds/{preset}.webp)\n"
        for preset in CLAIMS
        if (SHOWN / f"{preset}.webp").exists()
    )
    shown = f"\n## How they drive\n\nThe first five seconds of a drive.\n{videos}" if videos else ""
    return HEAD + scores + still + "".join(predicted) + "\n" + claims + "\n" + parts + "\n" + times + NOTES + shown


def _score_row(preset: str, seed: str, made: Mapping[str, Any]) -> tuple[str, ...]:
    score, trained, config = made["score"], made["score"]["trained"], made["config"]
    evolved = made["curve"]["points"][-1][0] if config["controller"]["mind"] == "awake" else 0.0
    real = trained.get("real_steps", 0) * config["track"]["repeat"] + evolved
    return (
        f"`{preset}`",
        seed,
        told(score),
        f"{score['min']:.0f}",
        lost_of([score]),
        f"{score['laps']} of {len(score['returns'])}",
        f"{real / 1e6:.2f} M",
        f"{trained['dream_steps'] / 1e6:.1f} M" if "dream_steps" in trained else "–",
        _time(sum(made["seconds"].values())),
    )


def _prediction(preset: str, seed: str, made: Mapping[str, Any]) -> str:
    dreams = ", ".join(f"{mean:.0f} in the {name} dream" for name, mean in made["dreams"].items())
    return f"\n`{preset}` (seed {seed}): predicted {dreams}; actual {made['score']['mean']:.0f} on the real track.\n"


def _part_row(preset: str, seed: str, made: Mapping[str, Any]) -> tuple[str, ...]:
    vision, memory = made["vision"], made["memory"]
    return (
        f"`{preset}`",
        seed,
        _number(vision.get("bits_per_dimension"), 3),
        _number(vision.get("rms"), 1),
        _number(memory.get("nll_per_dim"), 3),
        _number(memory.get("reward_rmse"), 2),
    )


def _time_row(preset: str, seed: str, made: Mapping[str, Any]) -> tuple[str, ...]:
    return (f"`{preset}`", seed, *(_time(made["stages"].get(stage, 0.0)) for stage in STAGES))


def draw(found: Mapping[str, Mapping[str, Any]]) -> bytes:
    """A panel for each system, a line for each training seed -> PNG bytes."""
    shown = [preset for preset in CLAIMS if trainings(found, preset)]
    rows = -(-len(shown) // 2)

    def fill(figure: Figure) -> None:
        panels = list(figure.subplots(rows, 2, squeeze=False).flat)
        for axes, preset in zip(panels, shown, strict=False):
            for seed, made in trainings(found, preset).items():
                line = made["curve"]
                points: Sequence[Sequence[float]] = line["points"]
                axes.plot([x / 1e6 for x, _ in points], [y for _, y in points], label=f"seed {seed}", linewidth=1)
                axes.set(title=preset, xlabel=f"million {line['x']}", ylabel=line["y"])
        for axes in panels[len(shown) :]:
            axes.set_visible(False)

    return picture(fill, 9, 2.6 * rows, LIGHT)


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _time(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


if __name__ == "__main__":
    main()
