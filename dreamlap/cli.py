"""The verbs. They parse, call, and print; the work is done elsewhere."""

import difflib
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import tyro
from rich.markup import escape
from rich.table import Table

from dreamlap.drivers import DriverConfig
from dreamlap.learn.practice import ExpertConfig
from dreamlap.presets import PRESETS, Config
from dreamlap.progress import console
from dreamlap.settings import scaled
from dreamlap.track import TrackConfig

Positional = tyro.conf.Positional


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
    from dreamlap.evaluate import headline
    from dreamlap.run import read_json

    console.print(f"\n[bold]{headline(read_json(folder / 'scores' / 'selection.json'))}[/]")
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
        raise ValueError(f"train what? dreamlap train {'|'.join(stages)} PRESET, or dreamlap train expert")


def _train_expert(args: Sequence[str]) -> None:
    try:
        from dreamlap.expert_run import run_expert
    except ModuleNotFoundError as error:
        raise ValueError(f"an expert is trained by Stable-Baselines3 ({error}): pip install 'dreamlap[expert]'") from error
    command = _to_scale(lambda scale: _parse_expert(args, scale))
    folder = Path("runs") / command.name
    run_expert(folder, command.config)
    _show_outcome(folder)


def _parse_expert(args: Sequence[str], scale: float) -> ExpertCommand:
    default = ExpertCommand(scaled(ExpertConfig(), scale))
    return tyro.cli(ExpertCommand, prog="dreamlap train expert", args=list(args), default=default)


def _begin(verb: str, args: Sequence[str], until: str):
    from dreamlap.estimate import estimate
    from dreamlap.pipeline import Run, check_data

    command = _to_scale(lambda scale: _parse(verb, args, scale))
    preset = next(arg for arg in args if arg in PRESETS)
    if command.data:
        check_data(command.data, command.config, until)
    console.print(estimate(command.config))
    return Run(Path("runs") / (command.name or preset), command.config, command.data, _display(command))


def _display(command: PresetCommand):
    if not command.display:
        return None
    if command.config.controller.kind != "linear":
        raise ValueError("--display shows the generations of CMA-ES, which trains a linear C: --controller.kind linear")
    from dreamlap.play import Display

    return Display()


def _to_scale(parse: Callable[[float], Command]) -> Command:
    """Settings are scaled before their flags are read: what a person gives as a number stays that number."""
    command = parse(1.0)
    return command if command.scale == 1 else parse(command.scale)


def _parse(verb: str, args: Sequence[str], scale: float = 1.0) -> PresetCommand:
    commands = {name: (about, PresetCommand(scaled(config, scale))) for name, (about, config, _) in PRESETS.items()}
    return tyro.extras.overridable_config_cli(commands, prog=f"dreamlap {verb}", args=list(args))


def collect(
    store: Positional[Path],
    episodes: int = 10,
    steps: int = 1000,
    driver: DriverConfig = DriverConfig(),
    track: TrackConfig = TrackConfig(),
    random_start: float = 0.0,
    reverse: float = 0.0,
    seed: int = 0,
    workers: int = 2,
) -> None:
    """Drive episodes and keep them in a folder.

    Args:
        store: Folder for the episodes; the ones that are there already are not driven again.
        episodes: How many.
        steps: The most steps of an episode.
        driver: Who drives.
        track: How the track is seen.
        random_start: Share of the episodes that begin on a random tile.
        reverse: Share of the episodes that drive the lap the other way round, where the turns are right ones.
        seed: All chance comes from it.
        workers: Processes that drive.
    """
    from dreamlap.episodes import EpisodeStore
    from dreamlap.episodes.record import collect as record

    name = Path(driver.kind).name
    record(EpisodeStore(store), f"{name}-s{seed}", episodes, driver, track, seed, steps, random_start, reverse, workers)
    data_info(store)


def play(
    driver: str = "person",
    dream: Path | None = None,
    record: Path | None = None,
    episodes: int = 10,
    steps: int = 1000,
    track: TrackConfig = TrackConfig(),
    random_start: float = 0.0,
    seed: int = 0,
    fps: float = 50.0,
) -> None:
    """Drive yourself, or watch a driver, in a window; on request in a dream, or kept as episodes to learn from.

    Arrow keys steer, give gas (up) and brake (down). They ease in and out, and the gas is lifted while you steer. P pauses,
    R restarts the episode, D or Backspace discards it for another, Esc ends. An episode that is over can be discarded for
    two seconds more; one that was discarded or left is not kept.

    Args:
        driver: `person`, `autopilot`, `correlated`, `random`, or the folder of an agent (`champion`, `champion-tuned` and
            `expert` come along).
        dream: Drive in the dream of the agent in this folder, instead of on the track.
        record: Folder to keep whole episodes in, beside those that it holds; `dreamlap run demo --data FOLDER` learns from it.
        episodes: How many.
        steps: The most steps of an episode.
        track: How the frames are recorded (an agent that drives sees them as it learned to).
        random_start: Share of the episodes that begin on a random tile.
        seed: All chance comes from it.
        fps: Steps a second; the track's own time is 50, and 0 is as fast as it goes.
    """
    from dreamlap.play import play as open_window

    open_window(driver, dream, record, track, episodes, steps, seed, random_start, fps)


def evaluate(
    agent: Positional[Path],
    seeds: str = "",
    final: bool = False,
    workers: int = 2,
    json: Path | None = None,
    track: str = "stock",
) -> None:
    """Score an agent on tracks that it was not trained on.

    Args:
        agent: Folder of the agent, or of its run; `champion`, `champion-tuned` and `expert` come along.
        seeds: Tracks A:B, from A up to but without B; by default 900000:900020, or with --final 1000000:1000100.
        final: Drive the test tracks, 1000000 and above, for a final score; never to choose or tune anything.
        workers: Processes that drive.
        json: File for the score with its raw returns.
        track: A score comes from the `stock` track. `fast` is for quick looks, `dream` or the folder of another agent asks
            what M promises in its dream.
    """
    from dreamlap.evaluate import evaluate as measure
    from dreamlap.evaluate import headline, seed_range
    from dreamlap.run import write_json

    result = measure(agent, seed_range(seeds, final), workers, track)
    if json:
        write_json(json, result)
    console.print(headline(result))


def compare(
    first: Positional[Path],
    second: Positional[Path],
    seeds: str = "",
    final: bool = False,
    workers: int = 2,
    json: Path | None = None,
) -> None:
    """Compare two agents on the same tracks: the difference on each, its mean, and how sure that is.

    Args:
        first: A score that `evaluate --json` wrote, or the folder of an agent, which drives first.
        second: What it is compared with, likewise.
        seeds: Tracks that agents drive, as for `evaluate`.
        final: The test tracks, as for `evaluate`.
        workers: Processes that drive.
        json: File for the differences.
    """
    from dreamlap.evaluate import compare as pair
    from dreamlap.evaluate import evaluate as measure
    from dreamlap.evaluate import headline, seed_range
    from dreamlap.run import read_json, write_json

    scores = [
        read_json(path) if path.suffix == ".json" else measure(path, seed_range(seeds, final), workers)
        for path in (first, second)
    ]
    for path, score in zip((first, second), scores, strict=True):
        console.print(f"{path}: {headline(score)}")
    result = pair(*scores)
    if json:
        write_json(json, result)
    low, high = result["interval"]
    console.print(
        f"[bold]first minus second: {result['mean']:+.1f}[/] on {len(result['seeds'])} tracks, "
        f"95 % interval {low:+.1f} to {high:+.1f}, median {result['median']:+.1f}; "
        f"higher on {result['higher']}, lower on {result['lower']}"
    )


def video(
    agent: Positional[Path],
    what: Literal["drive", "dream", "prediction", "beside", "reconstruction"] = "drive",
    out: Path | None = None,
    seed: int = 900_000,
    steps: int = 1000,
    first: Path | None = None,
    at: int | None = None,
) -> None:
    """Film an agent on the track or in its dream, or a drive beside M's dream or V's drawing of it.

    Args:
        agent: Folder of the agent, or of its run.
        what: `drive`: the real frame, V's drawing of it, and what M had expected; of an expert, the frame and what it sees.
            `dream`: the agent in its own dream.
            `prediction`: a drive beside M's dream, which is told the same actions and sees the track every 50 steps.
            `beside`: a dream that goes on from one frame, beside the original. `reconstruction`: a drive beside what V
            draws of it.
        out: File to write; by default the name of what is filmed.
        seed: Track, or dream, to drive.
        steps: The most steps.
        first: For `beside`: an episode file, whose actions M is told, or a picture, from which C drives the dream on; by
            default the agent drives the track.
        at: For `beside`: the step of the episode from which M dreams; by default, as soon as M is warm.
    """
    from dreamlap.agent import load, load_agent
    from dreamlap.show.video import FILMS, beside_video, drive_video

    out = out or Path(f"{what}.mp4")
    if what == "beside":
        beside_video(load_agent(agent), out, steps, seed, first, at)
    elif first or at is not None:
        raise ValueError("--first and --at say where a dream begins: use them with --what beside")
    elif what == "drive":
        drive_video(load(agent), path=out, seed=seed, steps=steps)
    else:
        FILMS[what](load_agent(agent), path=out, seed=seed, steps=steps)
    console.print(f"wrote {out}")


def picture(
    agent: Positional[Path],
    what: Literal["reconstructions", "samples", "traversals"] = "reconstructions",
    out: Path | None = None,
    seed: int = 0,
) -> None:
    """Draw what V makes of a drive: what it keeps of frames, what it could see, what every number of z is for.

    Args:
        agent: Folder of the agent, or of its run.
        what: `reconstructions`: frames over V's drawings of them; `samples`: drawings of z from its prior; `traversals`:
            one frame with one number of its z moved at a time.
        out: File to write; by default the name of what is drawn.
        seed: Of the track that is driven, and of the samples.
    """
    from dreamlap.agent import load_agent
    from dreamlap.run import replacing
    from dreamlap.show.sight import still_life

    out = out or Path(f"{what}.png")
    with replacing(out) as partial:
        partial.write_bytes(still_life(load_agent(agent), what, seed))
    console.print(f"wrote {out}")


def report(folder: Positional[Path]) -> None:
    """Write the report of a run: one HTML file that needs nothing else.

    Args:
        folder: Folder of the run, such as runs/demo.
    """
    from dreamlap.show.report import write_report

    console.print(f"wrote {write_report(folder)}")


def data(args: Sequence[str]) -> None:
    """Episodes: what is there, a film of them, bring in what others recorded, hand on ours: data info|preview|import|export."""
    verbs = {"info": data_info, "preview": data_preview, "import": data_import, "export": data_export}
    tyro.extras.subcommand_cli_from_dict(verbs, prog="dreamlap data", args=list(args))


def data_info(store: Positional[Path]) -> None:
    """Print what is in a folder of episodes.

    Args:
        store: Folder of the episodes.
    """
    from dreamlap.episodes import EpisodeStore

    console.print(EpisodeStore(store).summary(), markup=False)


def data_preview(store: Positional[Path], out: Path = Path("preview.mp4"), count: int = 9) -> None:
    """Make a video of random episodes of a folder.

    Args:
        store: Folder of the episodes.
        out: File to write.
        count: Episodes in it.
    """
    from dreamlap.episodes import EpisodeStore
    from dreamlap.show.video import preview_video

    preview_video(EpisodeStore(store), out, count, seed=0)
    console.print(f"wrote {out}")


def data_import(
    source: Positional[Path],
    store: Positional[Path],
    resize: int | None = None,
    episode_length: int | None = None,
    align: Literal["before", "after"] = "before",
) -> None:
    """Bring in episodes that others recorded; then `dreamlap run PRESET --data STORE` learns from them.

    SOURCE is one of three: folders of PNG frames with an actions.txt each (a line a step: steer, gas, brake; and a rewards.txt
    if there are rewards); arrays *frames.npy, *actions.npy, *rewards.npy, *dones.npy (the last two if there are any); or a
    Minari dataset. Without rewards, V and M can learn, and C cannot.

    Args:
        source: Folder of the recordings.
        store: Folder for the episodes.
        resize: Scale the frames to this side in pixels; by default square frames stay as they are, others are refused.
        episode_length: Steps of an episode, where all lie end to end in one array and no *dones.npy says where they end.
        align: With as many frames as actions: was frame t seen `before` action t (the last action is dropped, for nobody saw
            what came of it), or `after` it (the first is dropped)? With one frame more, nothing is dropped.
    """
    from dreamlap.episodes import EpisodeStore
    from dreamlap.exchange import import_episodes

    import_episodes(source, EpisodeStore(store), resize, episode_length, align)
    data_info(store)


def data_export(store: Positional[Path], out: Positional[Path], to: Literal["png", "npy", "minari"]) -> None:
    """Write all episodes of a folder for others: without loss, but for how they ended in png, and the car's true speed.

    Args:
        store: Folder of the episodes.
        out: New folder to write; for Minari, one called NAME-vNUMBER.
        to: `png`: a folder an episode, with actions.txt and rewards.txt. `npy`: arrays of every episode. `minari`: a dataset.
    """
    from dreamlap.episodes import EpisodeStore
    from dreamlap.exchange import export_episodes

    console.print(f"wrote {export_episodes(EpisodeStore(store), out, to)} episodes to {out}", markup=False)


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
        table.add_row(f"[bold]{name}[/]", f"{about}\n[dim]from {source}[/]", made)
    console.print(table)
    console.print("docs/presets.md sets every number of the systems that they come from beside ours.")


RAW_VERBS: dict[str, Callable[[Sequence[str]], None]] = {"run": run, "train": train, "data": data}
"""Verbs that parse their words themselves."""
VERBS: dict[str, Callable[..., None]] = {
    "collect": collect, "play": play, "evaluate": evaluate, "compare": compare, "video": video, "picture": picture,
    "report": report, "presets": presets,
}  # fmt: skip


def main(argv: Sequence[str] | None = None) -> None:
    """`dreamlap VERB ...`"""
    args = list(sys.argv[1:] if argv is None else argv)
    if not args or args[0] in ("-h", "--help"):
        return _help()
    if argv is None:
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # to be told to stop is to be interrupted, workers and all
    try:
        return _call(args[0], args[1:])
    except KeyboardInterrupt:
        console.print(
            "\nInterrupted. What was finished, and the last checkpoint, is kept; the same command goes on from there:"
        )
        console.print(f"  dreamlap {' '.join(args)}", style="bold")
        sys.exit(130)
    except (ValueError, OSError, RuntimeError, FloatingPointError) as error:
        console.print(f"[bold red]dreamlap {args[0]}:[/] {escape(str(error))}", markup=True)
        sys.exit(1)


def _call(verb: str, args: Sequence[str]) -> None:
    if verb in RAW_VERBS:
        RAW_VERBS[verb](args)
    elif verb in VERBS:
        tyro.cli(VERBS[verb], prog=f"dreamlap {verb}", args=list(args))
    else:
        known = [*RAW_VERBS, *VERBS]
        near = difflib.get_close_matches(verb, known, 1) or known
        raise ValueError(f"there is no verb {verb!r}; did you mean {' or '.join(near)}?")


def _help() -> None:
    console.print(
        "[bold]dreamlap[/]: teach a car to drive inside its own dream\n\n  dreamlap VERB ...     dreamlap VERB --help\n"
    )
    for name, verb in (RAW_VERBS | VERBS).items():
        console.print(f"  [bold]{name:10}[/]{(verb.__doc__ or '').splitlines()[0]}")
    console.print("\nTo begin with: [bold]dreamlap run demo[/]")


if __name__ == "__main__":
    main()
