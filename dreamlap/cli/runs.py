"""The verbs of runs: everything, a part of it, and what there is to be run."""

import re
import textwrap
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any

import tyro

from dreamlap.cli.listing import preset_called
from dreamlap.cli.words import COLUMNS, Flag, Folder, Name, about, parsed, refuse_old_flags
from dreamlap.cluster import on_cluster
from dreamlap.config.run import Config
from dreamlap.config.training import ExpertConfig
from dreamlap.errors import Refused, installing
from dreamlap.named import Named, check_named, folder_with_episodes
from dreamlap.presets import PRESETS, settings_of
from dreamlap.progress import console, notes
from dreamlap.settings import check_flags, deferred, differences, scaled, shown


@dataclass(frozen=True)
class PresetCommand:
    """A preset, with any of its settings changed."""

    config: Annotated[Config, tyro.conf.arg(name="")]
    name: Name = None
    """Name of the run: its folder is runs/NAME. By default, the preset's name and what differs from it: runs/demo-seed1."""
    scale: Annotated[float, shown("FACTOR")] = 1.0
    """Multiplies the preset's rollouts, updates, generations, population and episode length: 0.01 makes days into minutes."""
    full: Flag = False
    """As much of everything as the preset's text names, for hours or days. Published systems take an hour by default."""
    data: Annotated[Folder, Named(folder_with_episodes)] = None
    """Folder of episodes (by `collect`, `play` or `data import`) to learn from; the preset's drivers stay at home then."""
    display: Flag = False
    """While CMA-ES trains C, show the best candidate of each generation in a window. It changes the time, not the result."""
    retrain: Flag = False
    """Train again what is finished but was made with other settings or other data, and all that builds on it. Without this
    flag such a change is refused."""


@dataclass(frozen=True)
class ExpertCommand:
    """An expert: one network from frames to actions, trained by PPO on the track itself, without a world model."""

    config: Annotated[ExpertConfig, tyro.conf.arg(name="")]
    name: Name = None
    """Name of the run: its folder is runs/NAME. By default, `expert` and what differs: runs/expert-seed1."""
    scale: Annotated[float, shown("FACTOR")] = 1.0
    """Multiplies updates, tracks of a score and the video's length: 0.01 makes hours into a minute."""


COMMON = {
    "--name NAME": "name of the run: its folder is runs/NAME",
    "--seed 1": "another seed: another agent",
    "--scale 0.1": "a tenth of everything, for a quick look",
    "--full": "as much as the preset's text names: hours or days",
    "--data FOLDER": "learn from these episodes; nobody drives first",
    "--device cuda": "where networks are trained: auto, cpu, cuda or mps",
    "--workers 4": "processes that drive",
}
"""The flags that most people need, and what each is for."""


def run(args: Sequence[str]) -> None:
    """Train V, M and C, score the agent, write a report.

    The drivers of the preset drive first. Then V, M and C learn, in rounds; the best agent is kept in runs/NAME/agent. The
    same command goes on where it stopped.

    Examples:
        dreamlap run demo
        dreamlap run demo --seed 1 --device cuda
    """
    if not (command := _command("run", args, run)):
        return
    begun = _begin(command, "controller", whole=True)
    from dreamlap.outcome import run_all

    with on_cluster(command.config.cluster):
        run_all(begun)
    _show_outcome(begun.folder)


def _show_outcome(folder: Path) -> None:
    from dreamlap.scores import headline, read_score

    console.print(f"\n{headline(read_score(folder / 'scores' / 'selection.json'))}", style="bold")
    for what, where in (("report", "report.html"), ("video", "videos/drive.mp4"), ("agent", "agent")):
        console.print(f"  {what:8}{folder / where}")


def train_vision(args: Sequence[str]) -> None:
    """Train V, and draw what it keeps of frames.

    It drives what the preset asks for, and trains V alone. `dreamlap run PRESET` goes on from there.

    Examples:
        dreamlap train vision demo
        dreamlap train vision demo --vision.latent 64
    """
    _train("vision", args, train_vision)


def train_memory(args: Sequence[str]) -> None:
    """Train V and M, and record a video of what M predicts.

    Examples:
        dreamlap train memory demo
        dreamlap play --dream runs/demo     # then: drive in the dream of this M
    """
    _train("memory", args, train_memory)


def train_controller(args: Sequence[str]) -> None:
    """Train V, M and C, without choosing and scoring.

    Examples:
        dreamlap train controller demo
        dreamlap train controller demo --scale 0.1
    """
    _train("controller", args, train_controller)


def _train(stage: str, args: Sequence[str], verb: Callable[..., None]) -> None:
    if not (command := _command(f"train {stage}", args, verb)):
        return
    begun = _begin(command, stage)
    from dreamlap.outcome import leave
    from dreamlap.pipeline import learn

    with on_cluster(command.config.cluster):
        agent = learn(begun, until=stage)
    for what, where in leave(begun, agent, stage).items():
        console.print(f"  {what:8}{where}")


def train_expert(args: Sequence[str]) -> None:
    """Train one network by PPO on the track, without V and M.

    It needs Stable-Baselines3: pip install -c constraints.txt -e '.[expert]'.

    Examples:
        dreamlap train expert
        dreamlap train expert --scale 0.01     # a minute: to see that it runs
    """
    command = _parse_expert(args, 1.0)
    command = command if command.scale == 1 else _parse_expert(args, command.scale)
    try:
        from dreamlap.expert_run import run_expert
    except ModuleNotFoundError as error:
        raise Refused(f"an expert is trained by Stable-Baselines3 ({error}): {installing('expert')}") from error
    name = run_name("expert", ExpertConfig(), command) if command.name is None else check_name(command.name)
    folder = Path("runs") / name
    run_expert(folder, command.config)
    _show_outcome(folder)


def _parse_expert(args: Sequence[str], scale: float) -> ExpertCommand:
    refuse_old_flags(ExpertConfig, args)
    default = ExpertCommand(scaled(ExpertConfig(), scale))
    told = f"{about(train_expert)}\n\n{_common(ExpertCommand, ExpertConfig)}"
    with deferred():
        command = parsed(ExpertCommand, "train expert", args, told, default=default)
    check_flags(command)
    return command


def _command(verb: str, args: Sequence[str], function: Callable[..., None]) -> "PresetCommand | None":
    """What was typed after a verb of presets; None if it was no more than a call for help, which is given."""
    if args and args[0] not in ("-h", "--help"):
        command = parse(verb, args)
        if command.full or command.scale != 1:
            command = parse(verb, args, command.scale, command.full)
        notes.print(f"{args[0]}: {PRESETS[args[0]].about}")
        return command
    if not args:
        raise Refused(f"which preset? `dreamlap {verb} demo`, for example; `dreamlap presets` lists them")
    more = f"`dreamlap presets` lists the presets.\n`dreamlap {verb} demo --help` lists all flags."
    usage = f"usage: dreamlap {verb} PRESET [FLAGS]"
    console.print(f"{about(function)}\n\n{usage}\n\n{_common(PresetCommand, Config)}\n\n{more}")
    return None


def _common(*kinds: type, but: Sequence[str] = ()) -> str:
    """Of the flags that most people need, those that are settings of one of these `kinds`, `but` for some."""
    known = {field.name for kind in kinds for field in fields(kind)} - set(but)
    told = (f"  {flag:15} {what}" for flag, what in COMMON.items() if flag.removeprefix("--").split()[0] in known)
    return "\n".join(["Flags that most people need:", *told])


def _begin(command: PresetCommand, last: str, whole: bool = False):
    """The run, whose folder is now ours, to be trained until the stage `last`; `whole`: and to be scored and filmed."""
    check_named(PresetCommand, command)
    if command.data is None:
        command.config.check_drives()
    from dreamlap.device import cores
    from dreamlap.estimate import Timetable, estimate, phases, until
    from dreamlap.pace import measure
    from dreamlap.plan import Run

    begun = Run(Path("runs") / str(command.name), command.config, command.data, _display(command), last, command.retrain)
    expected = phases(command.config, measure(command.config), cores())
    expected = expected if whole else until(last, expected)
    notes.print(estimate(command.config, sum(expected.values())))
    begun.timetable = Timetable(expected)
    return begun


def _display(command: PresetCommand):
    if not command.display:
        return None
    if command.config.controller.kind != "linear":
        raise Refused("--display shows the generations of CMA-ES, which trains a linear C: --controller.kind linear")
    from dreamlap.play import Display

    return Display()


def parse(verb: str, args: Sequence[str], scale: float = 1.0, full: bool = False) -> PresetCommand:
    """The command's settings: those of a preset, scaled, with what its flags change. Refused by the flag if one cannot be.

    Settings are scaled before their flags are read: what a person gives as a number stays that number. The run's name is the
    one that was given, or the preset's with what differs from it.
    """
    preset = preset_called(args[0], verb)
    refuse_old_flags(Config, args[1:])
    asked = scaled(settings_of(preset, full), scale)
    told = textwrap.fill(f"{preset}: {PRESETS[preset].about}.", COLUMNS)
    told += f"\n\nExamples:\n  dreamlap {verb} {preset}\n  dreamlap {verb} {preset} --seed 1"
    told += f"\n\n{_common(PresetCommand, Config, but=() if PRESETS[preset].full else ['full'])}"
    with deferred():
        command = parsed(PresetCommand, f"{verb} {preset}", args[1:], told, default=PresetCommand(asked))
    check_flags(command)
    return replace(command, name=run_name(preset, asked, command) if command.name is None else check_name(command.name))


def check_name(name: str) -> str:
    """The name of a run, which is that of its folder in `runs`.

    Raises:
        Refused: it is none, but a path, or nothing that one could see.
    """
    if not name.strip() or name.startswith((".", "-")) or Path(name).name != name or not name.isprintable():
        raise Refused(f"--name is the name of a folder in runs, not a path: {name!r} cannot be one")
    return name


FREE = (
    *("device", "precision", "workers", "cluster", "selection."),
    *("rounds.rounds", "restarts.controllers", "ppo.updates", "cmaes.generations", "cmaes.budget"),
)
"""Settings that are not part of a run's name: they change neither what is trained nor where it goes on."""
LONGEST = 100
"""Characters of a run's name."""


def run_name(preset: str, asked: Any, command: PresetCommand | ExpertCommand) -> str:
    """The preset's name and what differs from it, so that two runs do not meet in one folder: `demo-seed1`, `demo-x0.01`.

    `asked`: the settings of the preset, to which the command's are compared.
    """
    parts = [preset] + ([f"x{command.scale:g}"] if command.scale != 1 else [])
    data = {}
    if isinstance(command, PresetCommand):
        parts[1:1] = ["full"] if command.full else []
        data = {"data": command.data} if command.data else {}
    for change in differences(asdict(asked), asdict(command.config) | data):
        name, value = change.removeprefix("--").split(" ", 1)
        if not name.startswith(FREE):
            value = value.rpartition(" -> ")[2]
            parts.append({"True": name, "False": f"no-{name}"}.get(value, f"{name}{value}"))
    whole = "-".join(re.sub(r"[^\w.+-]+", "-", part).strip("-.") for part in parts)
    return whole if len(whole) <= LONGEST else f"{whole[: LONGEST - 9]}-{zlib.crc32(whole.encode()):08x}"
