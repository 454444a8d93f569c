"""The verbs of agents: how well one drives, and what there is to look at."""

from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional

from dreamlap.errors import Refused
from dreamlap.progress import console
from dreamlap.settings import SEED, WORKERS, least


def evaluate(
    agent: Positional[Path],
    seeds: str = "",
    final: bool = False,
    workers: Annotated[int, WORKERS] = 2,
    json: Path | None = None,
    track: str = "stock",
) -> None:
    """Score an agent on tracks that it was not trained on.

    Args:
        agent: Folder of the agent, or of its run; `unprivileged`, `champion`, `champion-tuned` and `expert` come along.
        seeds: Tracks A:B, from A up to but without B; by default 900000:900020, or with --final 1000000:1000100.
        final: Drive the test tracks, 1000000 and above, for a final score; never to choose or tune anything.
        workers: Processes that drive.
        json: File for the score with its raw returns.
        track: A score comes from the `stock` track. `fast` is for quick looks, `dream` or the folder of another agent asks
            what M promises in its dream.
    """
    from dreamlap.evaluate import evaluate as measure
    from dreamlap.evaluate import headline, seed_range
    from dreamlap.files import write_json

    result = measure(agent, seed_range(seeds, final), workers, track)
    if json:
        write_json(json, result)
    console.print(headline(result))


def compare(
    first: Positional[Path],
    second: Positional[Path],
    seeds: str = "",
    final: bool = False,
    workers: Annotated[int, WORKERS] = 2,
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
    from dreamlap.files import read_json, write_json

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
        f"first minus second: {result['mean']:+.1f} on {len(result['seeds'])} tracks, "
        f"95 % interval {low:+.1f} to {high:+.1f}, median {result['median']:+.1f}; "
        f"higher on {result['higher']}, lower on {result['lower']}"
    )


def video(
    agent: Positional[Path],
    what: Literal["drive", "dream", "prediction", "beside", "reconstruction"] = "drive",
    out: Path | None = None,
    seed: Annotated[int, SEED] = 900_000,
    steps: Annotated[int, least(1, 100_000)] = 1000,
    first: Path | None = None,
    at: Annotated[int | None, least(0, 100_000)] = None,
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
        at: For `beside`: the step of the episode from which M dreams; by default, as soon as M is warm. Not with a picture.
    """
    from dreamlap.agent import load, load_agent
    from dreamlap.files import check_writable
    from dreamlap.show.video import FILMS, beside_video, drive_video

    check_writable(out := out or Path(f"{what}.mp4"))
    if what != "beside" and (first or at is not None):
        raise Refused("--first and --at say where a dream begins: use them with --what beside")
    if what == "beside":
        beside_video(load_agent(agent), out, steps, seed, first, at)
    elif what == "drive":
        drive_video(load(agent), path=out, seed=seed, steps=steps)
    else:
        FILMS[what](load_agent(agent), path=out, seed=seed, steps=steps)
    console.print(f"wrote {out}")


def picture(
    agent: Positional[Path],
    what: Literal["reconstructions", "samples", "traversals"] = "reconstructions",
    out: Path | None = None,
    seed: Annotated[int, SEED] = 0,
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
    from dreamlap.files import check_writable, replacing
    from dreamlap.show.sight import still_life

    check_writable(out := out or Path(f"{what}.png"))
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
