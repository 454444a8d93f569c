"""What there is to be run."""

import textwrap
from typing import Annotated

from tyro.conf import Positional

from dreamlap.cli.words import COLUMNS
from dreamlap.config.run import Config
from dreamlap.errors import Refused, meant
from dreamlap.estimate import brief, budget, cost
from dreamlap.presets import PRESETS
from dreamlap.progress import console
from dreamlap.settings import shown

ROW = "{:21} {:30} {:13} {:>7} {:>4}"
"""Of the table of presets, which fits a terminal of 80 columns."""


def presets(name: Annotated[Positional[str], shown("[PRESET]")] = "") -> None:
    """List the presets, or say what one is made of.

    Examples:
        dreamlap presets
        dreamlap presets champion

    Args:
        name: One of them, for its parts, its cost and its source.
    """
    if name:
        return _details(preset_called(name, "presets"))
    console.print(ROW.format("preset", "what it is", "C learns by", "time", "score"), style="bold")
    for each, preset in PRESETS.items():
        time = preset.time or f"~{brief(cost(preset.config).seconds)}"
        console.print(ROW.format(each, preset.title, _learns(preset.config), time, preset.score).rstrip())
    console.print("time: on two cores, ~ is estimated; score: mean return, * is of an older recipe.")
    whole = (f"{each} ~{brief(cost(preset.full).seconds)}" for each, preset in PRESETS.items() if preset.full)
    told = f"--full, with as much of everything as the text names: {', '.join(whole)}."
    console.print(textwrap.fill(told, COLUMNS, break_on_hyphens=False))
    console.print("`dreamlap presets PRESET` says more.")
    return None


def _learns(config: Config) -> str:
    trainer = "PPO" if config.controller.kind == "actor-critic" else "CMA-ES"
    return f"{trainer}, {'dream' if config.controller.mind == 'dream' else 'track'}"


def _details(name: str) -> None:
    preset = PRESETS[name]
    config, first = preset.config, preset.config.collect
    drivers = {"random": first.random, "correlated": first.correlated, "autopilot": first.autopilot, "expert": first.expert}
    data = ", ".join(f"{count:,} {driver}" for driver, count in drivers.items() if count)
    asked = budget(config)
    parts = {
        "data": data + (", in a dream" if config.track.dream else ""),
        "V": f"{config.vision.kind} {config.vision.latent}",
        "M": f"{config.memory.kind} {config.memory.hidden}",
        "C": f"{config.controller.kind}, {_learns(config)}",
        "steps": asked["steps"],
        "time": f"{preset.time} measured" if preset.time else f"about {asked['time']}, estimated",
        "score": preset.score or "not measured",
        "from": preset.source,
        "run it": f"dreamlap run {name}",
    }
    if preset.full:
        whole = budget(preset.full)
        parts["--full"] = f"{whole['steps']}; about {whole['time']}, estimated"
    console.print(textwrap.fill(f"{name}: {preset.about}", COLUMNS) + "\n")
    for part, what in parts.items():
        console.print(f"  {part:8}{what}")
    if preset.published:
        console.print("\ndocs/presets.md compares its settings with those of the original system.")


def preset_called(name: str, verb: str) -> str:
    """The name of a preset, which must be one.

    Raises:
        Refused: there is no such preset.
    """
    if name in PRESETS:
        return name
    if name.startswith("-"):
        raise Refused(f"name the preset before its flags: dreamlap {verb} PRESET {name}")
    raise Refused(f"there is no preset {name!r}; {meant(name, PRESETS, '`dreamlap presets` lists them')}")
