"""The verbs of runs: everything, a part of it, and what there is to be run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

import tyro
from rich.table import Table
from rich.text import Text

from dreamlap.config.training import ExpertConfig
from dreamlap.errors import Refused
from dreamlap.presets import PRESETS, Config
from dreamlap.progress import console
from dreamlap.settings import check_flags, deferred, scaled


@dataclass(frozen=True)
class PresetCommand:
    """A preset, with any of its settings changed."""

    config: Annotated[Config, tyro.conf.arg(name="")]
    name: str = ""
    """Name of the run: its folder is runs/NAME. By default, the preset's name."""
    scale: float = 1.0
    """Multiplies the preset's rollouts, updates, generations, population and episode length: 0.01 makes days into minutes."""
    data: Path | None = None
    """Folder of episodes (by `collect`, `play` or `data import`) to learn from; the preset's drivers stay at home then."""
    display: bool = False
    """While CMA-ES trains C, show the best candidate of each generation in a window. It changes the time, not the result."""
    retrain: bool = False
    """Train again what is finished but was made with other settings or other data, and all that builds on it. Without this
    flag such a change is refused."""


@dataclass(frozen=True)
class ExpertCommand:
    """An expert: one network from frames to actions, trained by PPO on the track itself, without a world model."""

    config: Annotated[ExpertConfig, tyro.conf.arg(name="")]
    name: str = "expert"
    """Name of the run: its folder is runs/NAME."""
    scale: float = 1.0
    """Multiplies updates, tracks of a score and the film's length: 0.01 makes hours into a minute."""


Command = TypeVar("Command", PresetCommand, ExpertCommand)


def run(args: Sequence[str]) -> None:
    """Everything: collect, train V, M and C in rounds, choose, score, report. The same command goes on where it stopped."""
    from dreamlap.pipeline import run_all

    begun = _begin("run", args, "controller")
    run_all(begun)
    _show_outcome(begun.folder)


def _show_outcome(folder: Path) -> None:
    from dreamlap.scores import headline, read_score

    console.print(f"\n{headline(read_score(folder / 'scores' / 'selection.json'))}", style="bold")
    for what, where in (("report", "report.html"), ("video", "videos/drive.mp4"), ("agent", "agent")):
        console.print(f"  {what:8}{folder / where}")


def train(args: Sequence[str]) -> None:
    """Train up to `vision`, `memory` or `controller` of a preset; or an `expert`, which needs none of them."""
    from dreamlap.pipeline import learn

    stages = ("vision", "memory", "controller")
    if args and args[0] == "expert":
        _train_expert(args[1:])
    elif args and args[0] in stages:
        learn(_begin(f"train {args[0]}", args[1:], args[0]), until=args[0])
    else:
        raise Refused(f"train what? dreamlap train {'|'.join(stages)} PRESET, or dreamlap train expert")


def _train_expert(args: Sequence[str]) -> None:
    try:
        from dreamlap.expert_run import run_expert
    except ModuleNotFoundError as error:
        raise Refused(f"an expert is trained by Stable-Baselines3 ({error}): pip install 'dreamlap[expert]'") from error
    command = _to_scale(lambda scale: _parse_expert(args, scale))
    folder = Path("runs") / command.name
    run_expert(folder, command.config)
    _show_outcome(folder)


def _parse_expert(args: Sequence[str], scale: float) -> ExpertCommand:
    default = ExpertCommand(scaled(ExpertConfig(), scale))
    with deferred():
        command = tyro.cli(ExpertCommand, prog="dreamlap train expert", args=list(args), default=default)
    check_flags(command)
    return command


def _begin(verb: str, args: Sequence[str], until: str):
    from dreamlap.estimate import estimate
    from dreamlap.pipeline import Run

    command = _to_scale(lambda scale: parse(verb, args, scale))
    folder = Path("runs") / (command.name or next(arg for arg in args if arg in PRESETS))
    begun = Run(folder, command.config, command.data, _display(command), until, command.retrain)
    console.print(estimate(command.config))
    return begun


def _display(command: PresetCommand):
    if not command.display:
        return None
    if command.config.controller.kind != "linear":
        raise Refused("--display shows the generations of CMA-ES, which trains a linear C: --controller.kind linear")
    from dreamlap.play import Display

    return Display()


def _to_scale(parse: Callable[[float], Command]) -> Command:
    """Settings are scaled before their flags are read: what a person gives as a number stays that number."""
    command = parse(1.0)
    return command if command.scale == 1 else parse(command.scale)


def parse(verb: str, args: Sequence[str], scale: float = 1.0) -> PresetCommand:
    """The command's settings: those of a preset, scaled, with what its flags change. Refused by the flag if one cannot be."""
    with deferred():
        commands = {name: (about, PresetCommand(scaled(config, scale))) for name, (about, config, _) in PRESETS.items()}
        command = tyro.extras.overridable_config_cli(commands, prog=f"dreamlap {verb}", args=list(args))
    check_flags(command)
    return command


def presets() -> None:
    """List the presets: what each is made of, what it costs, and where it comes from."""
    from dreamlap.estimate import budget

    table = Table("preset", "what it is", "made of", show_lines=True)
    for name, (about, config, source) in PRESETS.items():
        first = config.collect
        drivers = {"random": first.random, "wandering": first.correlated, "autopilot": first.autopilot, "expert": first.expert}
        data = ", ".join(f"{count:,} {driver}" for driver, count in drivers.items() if count)
        trainer = "PPO" if config.controller.kind == "actor-critic" else "CMA-ES"
        parts = {
            "data": data + (", in a dream" if config.track.dream else ""),
            "V": f"{config.vision.kind} {config.vision.latent}",
            "M": f"{config.memory.kind} {config.memory.hidden}",
            "C": f"{config.controller.kind}, {trainer}, {config.controller.mind}",
            **budget(config),
        }
        made = "\n".join(f"[dim]{part:6}[/]{what}" for part, what in parts.items())
        told = (f"[bold]{name}[/]", f"{about}\n[dim]from {source}[/]", made)
        table.add_row(*map(Text.from_markup, told))
    console.print(table, soft_wrap=False)
    console.print("docs/presets.md sets every number of the systems that they come from beside ours.")
