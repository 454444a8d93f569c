"""The verbs of agents: how well one drives, and what there is to look at."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, redirect_stdout
from pathlib import Path
from typing import Annotated, Any, Literal

from dreamlap.cli.words import AgentPath, File, Flag, RunPath, ScorePath, Step, Tracks, WorldModelPath
from dreamlap.cluster import on_cluster
from dreamlap.config.parts import EXAM
from dreamlap.config.run import Address
from dreamlap.errors import Failed, Refused, explain
from dreamlap.files import check_writable, existing, json_text, place, write_json
from dreamlap.named import SUFFIX, Named, files_of, world_model_folder
from dreamlap.progress import console, print_for_programs
from dreamlap.protocol import FINAL, SELECTION, TEST_SEEDS, TRACKS, seed_range, track_called
from dreamlap.settings import SEED, WORKERS, least, shown
from dreamlap.show.formats import PICTURES, VIDEOS

Video = Literal["drive", "dream", "prediction", "beside", "reconstruction"]
STDOUT = Path("-")
"""What to give for a file in order to have its content printed."""


def evaluate(
    agent: AgentPath,
    seeds: Tracks = "",
    final: Flag = False,
    workers: Annotated[int, WORKERS] = 2,
    json: File = None,
    track: Annotated[str, shown("stock|fast|dream|AGENT"), Named(track_called)] = "stock",
    exam: Flag = False,
    cluster: Address = "",
) -> None:
    """Score an agent on tracks that it was not trained on.

    Examples:
        dreamlap evaluate unprivileged
        dreamlap evaluate runs/demo --seeds 900000:900100 --json score.json

    Args:
        agent: Folder of the agent, or of its run; or an included one: `unprivileged`, `champion`, `champion-tuned`, `expert`.
        seeds: Tracks A:B, from A up to but without B; by default 900000:900020, or with --final 1000000:1000100.
        final: Drive the test tracks, 1000000 and above, for a final score; never to choose or tune anything.
        workers: Processes that drive.
        json: File for the score with its raw returns; `-` prints it. What was driven when it is interrupted is kept there:
            the same command drives the rest.
        track: A score comes from the `stock` track. `fast` is for quick looks, `dream` or the folder of another agent asks
            what M predicts in its dream.
        exam: The robustness exam (Tang, Nguyen & Ha 2020): tracks whose colours are shifted, with black bars at the sides, with
            a red square beside the car. Three scores of 100 tracks, in FILE-colours.json, FILE-bars.json and FILE-blob.json.
        cluster: A Ray cluster drives instead: `ray`, `auto`, or the address of its head (see `run`).
    """
    tracks = seed_range(seeds, final)
    if not exam:
        with on_cluster(cluster):
            _score([(agent, tracks, json, track)], workers)
        return
    if track not in ("stock", "fast"):
        raise Refused(f"--exam disturbs the frames of the stock or of the fast track, not --track {track}")
    if not seeds and not final:
        tracks = range(SELECTION[0], SELECTION[0] + len(FINAL))
    if json == STDOUT:
        raise Refused("--exam makes three scores: give --json a file, such as exam.json for exam-colours.json and two more")
    from dreamlap.show.exam import beside_published

    if json:
        check_writable(json)
    files = [json and json.with_stem(f"{json.stem}-{variant}") for variant in EXAM]
    with on_cluster(cluster):
        made = _score([(agent, tracks, file, f"{track}-{each}") for each, file in zip(EXAM, files, strict=True)], workers)
    console.print(beside_published(dict(zip(EXAM, made, strict=True))))


def _score(asked: Sequence[tuple[Path, Sequence[int], Path | None, str]], workers: int) -> list[dict[str, Any]]:
    """Drive, tell and write scores: each of an agent, tracks, a file and the kind of track."""
    with ExitStack() as stack:
        for agent, tracks, file, track in asked:
            dreamer = [] if track in (*TRACKS, "dream") else files_of(track)
            stack.enter_context(_told_beside(file, f"on {len(tracks)} tracks", *files_of(agent), *dreamer))
        from dreamlap.evaluation import Asked, Stopped, evaluate_each
        from dreamlap.scores import headline

        files = [None if file == STDOUT else file for _, _, file, _ in asked]
        try:
            made = evaluate_each([Asked(*each)._replace(file=file) for each, file in zip(asked, files, strict=True)], workers)
        except Stopped as stopped:
            raise KeyboardInterrupt(stopped.told) from None
        for result in made:
            console.print(headline(result))
    for (_, tracks, file, _), result in zip(asked, made, strict=True):
        _write_result(file, result, f"on {len(tracks)} tracks")
    return made


@contextmanager
def _told_beside(file: Path | None, what: str, *read: Path) -> Iterator[None]:
    """Find out first whether `file` can be written, and is none that is `read`. If it is standard output, what is told
    meanwhile goes to standard error.

    Raises:
        Failed: it cannot be written.
        Refused: it is one of them.
    """
    if file is None or file == STDOUT:
        with redirect_stdout(sys.stderr) if file == STDOUT else nullcontext():
            yield
        return
    try:
        check_writable(file, read=read)
    except OSError as error:
        raise Failed(f"--json {explain(error)} (found before driving {what}: nothing is lost)") from error
    yield


def _write_result(file: Path | None, result: dict[str, Any], what: str) -> None:
    """Write a result that was told already.

    Raises:
        Failed: it cannot be written.
    """
    try:
        if file == STDOUT:
            print_for_programs(json_text(result))
        elif file is not None:
            write_json(file, result)
    except OSError as error:
        raise Failed(f"--json {explain(error)} (the result {what} is told above, but not written)") from error


def compare(
    first: ScorePath,
    second: ScorePath,
    seeds: Tracks = "",
    final: Flag = False,
    workers: Annotated[int, WORKERS] = 2,
    json: File = None,
    cluster: Address = "",
) -> None:
    """Compare two agents, or two scores, on the same tracks.

    It prints the mean of the differences, and how sure that is.

    Examples:
        dreamlap compare runs/demo champion
        dreamlap compare first.json second.json

    Args:
        first: A score that `evaluate --json` wrote, or the folder of an agent, which drives first.
        second: What it is compared with, likewise.
        seeds: Tracks that agents drive, as for `evaluate`; by default those of the score that the other is.
        final: The test tracks, as for `evaluate`.
        workers: Processes that drive.
        json: File for the differences; `-` prints them.
        cluster: A Ray cluster drives instead: `ray`, `auto`, or the address of its head (see `run`).
    """
    seed_range(seeds, final)
    if place(first).resolve() == place(second).resolve():
        raise Refused(f"{first} is compared with itself: name another score or agent")
    from dreamlap.evaluation import Asked, Stopped, evaluate_each, score_label
    from dreamlap.scores import compare as pair
    from dreamlap.scores import difference, headline, shared_tracks

    scores = _scores_of(first, second)
    tracks, track = _tracks_for(scores, seeds, final)
    begun = [score or score_label(path, list(tracks), track) for path, score in zip((first, second), scores, strict=True)]
    shared_tracks(*begun)  # what cannot be compared is refused before it is driven
    read = [file for path in (first, second) for file in ([path] if place(path).is_file() else files_of(path))]
    with _told_beside(json, what := f"on {len(tracks)} tracks", *read):
        missing = [Asked(path, tracks, None, track) for path, score in zip((first, second), scores, strict=True) if not score]
        try:
            with on_cluster(cluster):
                driven = iter(evaluate_each(missing, workers) if missing else ())
        except Stopped as stopped:
            raise KeyboardInterrupt(stopped.told) from None
        made = [score or next(driven) for score in scores]
        for path, score in zip((first, second), made, strict=True):
            console.print(f"{path}: {headline(score)}")
        result = pair(*made)
        console.print(difference(result))
    _write_result(json, result, what)


def _scores_of(*paths: Path) -> list[dict[str, Any] | None]:
    """The scores in those paths that are files; None for the folder of an agent, which must drive first.

    Raises:
        Refused: both are one agent.
    """
    from dreamlap.agent import load
    from dreamlap.scores import read_score

    files = [place(path) for path in paths]
    scores = [read_score(file) if file.is_file() or (file.suffix == ".json" and not file.is_dir()) else None for file in files]
    if len({load(path).fingerprint if score is None else path for path, score in zip(paths, scores, strict=True)}) == 1:
        raise Refused(f"{paths[0]} and {paths[1]} hold the same agent: name another one")
    return scores


def _tracks_for(scores: list[dict[str, Any] | None], seeds: str, final: bool) -> tuple[Sequence[int], str]:
    """What agents drive that are compared: the tracks of the score that the other is, or else those that are asked for."""
    known = [score for score in scores if score is not None]
    if not known:
        return seed_range(seeds, final), "stock"
    if len(known) == len(scores) and (seeds or final):
        raise Refused("--seeds and --final are for agents that drive, and both are scores already: leave them out")
    track = known[0]["track"] if known[0]["track"] != "dream" else known[0]["agent"]
    if seeds:
        return seed_range(seeds, final), track
    if len(known) < len(scores) and final != (max(known[0]["seeds"]) >= TEST_SEEDS):
        raise Refused(f"the score is of {known[0]['kind']} tracks: {'leave out' if final else 'add'} --final")
    return known[0]["seeds"], track


def video(
    agent: AgentPath,
    what: Annotated[Video | None, shown()] = None,
    out: File = None,
    seed: Annotated[int, SEED] = 900_000,
    steps: Annotated[int, least(1, 100_000)] = 1000,
    first: File = None,
    at: Annotated[Step, least(0, 100_000)] = None,
) -> None:
    """Record a video of an agent on the track or in its dream.

    Or a drive beside what M dreams of it, or beside V's reconstruction of it. These two need no trained C: where there is none
    yet, the autopilot drives.

    Examples:
        dreamlap video unprivileged
        dreamlap video runs/demo --what dream

    Args:
        agent: Folder of the agent, or of its run; or an included one: `unprivileged`, `champion`, `champion-tuned`, `expert`.
        what: By default `drive`; before C is trained `prediction`, and before M is trained `reconstruction`.
            `drive`: the real frame, V's reconstruction, and M's prediction of it; of an expert, the frame and what it sees.
            `dream`: the agent in its own dream.
            `prediction`: a drive, V's reconstruction, and M's dream: M is given the actions, and a real frame every 50 steps.
            `beside`: the same from one frame on. `reconstruction`: a drive beside V's reconstruction.
        out: File to write; by default the name of what is shown. The suffix decides the format: `.mp4`, `.webm`, or a
            looping picture, `.gif` or `.webp`.
        seed: Track, or dream, to drive.
        steps: The most steps.
        first: For `beside`: an episode file, whose actions M is told, or a picture, from which C drives the dream on; by
            default the agent drives the track.
        at: For `beside`: the step of the episode from which M dreams; by default, after M's burn-in. Not with a picture.
    """
    if out or what:
        check_writable(out or Path(f"{what}.mp4"), VIDEOS, [first] if first else [])
    if what != "beside" and (first or at is not None):
        raise Refused("--first and --at say where a dream begins: use them with --what beside")
    if first:
        existing(first)
    if what not in (None, "drive"):
        world_model_folder(agent)
    from dreamlap.agent import PARTS, load, load_agent, trained_parts
    from dreamlap.show.video import FILMS, NEEDED, beside_video, drive_video

    what = what or _most_to_show(trained_parts(agent))
    check_writable(out := out or Path(f"{what}.mp4"), VIDEOS)
    if what == "beside":
        picture_first = first is not None and first.suffix.lower() != SUFFIX
        beside_video(load_agent(agent, needed=PARTS if picture_first else ("vision", "memory")), out, steps, seed, first, at)
    elif what == "drive":
        drive_video(load(agent), path=out, seed=seed, steps=steps)
    else:
        FILMS[what](load_agent(agent, needed=NEEDED[what]), path=out, seed=seed, steps=steps)
    console.print(f"wrote {out}")


def _most_to_show(trained: Sequence[str]) -> Video:
    """The most there is to see of an agent with these parts."""
    if "controller" in trained:
        return "drive"
    return "prediction" if "memory" in trained else "reconstruction"


def picture(
    agent: WorldModelPath,
    what: Literal["reconstructions", "samples", "traversals"] = "reconstructions",
    out: File = None,
    seed: Annotated[int, SEED] = 0,
) -> None:
    """Draw what V keeps of frames, and what each z is for.

    It needs no trained M or C: where there is no C yet, the autopilot drives.

    Examples:
        dreamlap picture unprivileged
        dreamlap picture runs/demo --what traversals

    Args:
        agent: Folder of the agent, or of its run; or an included one: `unprivileged`, `champion` or `champion-tuned`.
        what: `reconstructions`: frames over V's reconstructions of them; `samples`: decoded z from its prior; `traversals`:
            one frame with one number of its z moved at a time.
        out: File to write; by default the name of what is drawn. The suffix decides the format: `.png`, `.jpg` or `.webp`.
        seed: Of the track that is driven, and of the samples.
    """
    check_writable(out := out or Path(f"{what}.png"), PICTURES)
    from dreamlap.agent import load_agent
    from dreamlap.show.picture import write_picture
    from dreamlap.show.sight import still_life

    write_picture(out, still_life(load_agent(agent, needed=("vision",)), what, seed))
    console.print(f"wrote {out}")


def report(folder: RunPath) -> None:
    """Write the report of a run: one HTML file.

    It needs no other file.

    Examples:
        dreamlap report runs/demo
        dreamlap report runs/demo-seed1

    Args:
        folder: Folder of the run, such as runs/demo.
    """
    from dreamlap.show.report import write_report

    console.print(f"wrote {write_report(folder)}")
