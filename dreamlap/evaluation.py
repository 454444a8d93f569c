"""How a score is made: always the same way, on the stock track, and never on a track that anything was tuned on.

- The track is `gymnasium.make("CarRacing-v3")`, unwrapped by anything of ours; an episode runs to its end.
- Selection tracks, seeds 900,000 to 999,999, choose between agents. Test tracks, 1,000,000 and above, are driven for a final
  score and for nothing else.
- A score is the mean and standard deviation of the raw returns, with the minimum, the median, the finished laps and a
  95 % bootstrap interval of the mean: see `dreamlap.scores`.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np

from dreamlap.agent import bringing, load_agent
from dreamlap.drives import Candidate, Drive, at_the_wheel, drive_lot, is_fast
from dreamlap.errors import Failed, Refused
from dreamlap.files import place, write_json
from dreamlap.parallel import in_parallel
from dreamlap.progress import meter, notes
from dreamlap.protocol import MOST, SELECTION, TRACKS
from dreamlap.run import commit, versions
from dreamlap.scores import labelled, read_score, score
from dreamlap.seeds import read_seeds
from dreamlap.settings import WORKERS, checked

SIDE_BY_SIDE = 10
"""Fast tracks that one process drives at once. Fixed, so that the number of workers changes nothing but the time."""


class Stopped(KeyboardInterrupt):
    """A score was interrupted. `told` says how far it was, and whether that is kept."""

    def __init__(self, told: str):
        super().__init__()
        self.told = told


@checked
def evaluate(
    driver: Candidate,
    seeds: Sequence[int] = SELECTION,
    workers: Annotated[int, WORKERS] = 2,
    track: str = "stock",
    file: Path | None = None,
) -> dict[str, Any]:
    """Drive the tracks `seeds` in parallel processes -> the score, ready for a JSON file (see `dreamlap.scores`).

    Args:
        driver: folder or name of an agent; an agent that is loaded; or any function from frames (96, 96, 3) uint8 to actions
            [steer, gas, brake], such as `lambda frame: [0, 0.1, 0]`. Every process has a copy of a function.
        seeds: of the tracks, each once; by default the twenty of an everyday score.
        workers: processes; they change nothing but the time.
        track: "stock" for a score by the protocol; "fast" for a quick look; "stock-bars" and the like for the robustness exam
            (`dreamlap.track.exam`); or the folder of an agent in whose dream is driven,
            "dream" being the agent's own. The result says of itself which it was.
        file: where the score will be. If this one was interrupted, what was driven is kept there, and the next call goes on
            from it; a file that holds anything else is left alone. A function always begins again.

    Raises:
        Refused: the seeds are none; or an action is not three finite numbers; or the agent is broken: a return is NaN or
            infinite; or a dream is asked for, and the driver cannot drive there.
        Stopped: it was interrupted.
    """
    return evaluate_each([Asked(driver, seeds, file, track)], workers)[0]


class Asked(NamedTuple):
    """Who is to drive what, and the file that the score will be in: as in `evaluate`."""

    driver: Candidate
    seeds: Sequence[int]
    file: Path | None = None
    track: str = "stock"


@checked
def evaluate_each(asked: Sequence[Asked], workers: Annotated[int, WORKERS] = 2) -> list[dict[str, Any]]:
    """Several scores, each as `evaluate` makes it. No process waits for the last drive of another score.

    Raises:
        Refused, Stopped: as `evaluate`.
    """
    made, jobs = [], []
    for number, (driver, seeds, file, track) in enumerate(asked):
        together = SIDE_BY_SIDE if is_fast(track) else 1
        seeds = _whole_numbers(seeds)
        label = score_label(driver, seeds, track)
        made.append(begun := {"returns": [], "steps": [], "laps": 0} | _begun(file, label, together) | label)
        drive = _drives(driver, track)
        starts = range(len(begun["returns"]), len(seeds), together)
        jobs += [_Job(number, drive, seeds[start : start + together]) for start in starts]
    already = sum(len(each["returns"]) for each in made)
    try:
        with meter(
            f"drives {' and '.join(dict.fromkeys(each.track for each in asked))} tracks",
            sum(len(each["seeds"]) for each in made),
            already,
        ) as bar:
            driven = in_parallel(_drive, jobs, min(workers, max(1, len(jobs))))
            for (number, _, _), results in zip(jobs, driven, strict=True):
                for total, steps, lap in results:
                    made[number]["returns"].append(round(total, 4))
                    made[number]["steps"].append(steps)
                    made[number]["laps"] += lap
                bar.advance(len(results), note=f"mean {np.mean(made[number]['returns']):.0f}")
    except KeyboardInterrupt:
        raise Stopped(_keep_each(asked, made)) from None
    except Failed as error:
        raise Failed(f"{error} {_keep_each(asked, made)}") from error
    return [_finished(each) for each in made]


def _finished(made: dict[str, Any]) -> dict[str, Any]:
    """The score, when all tracks are driven."""
    return {"seeds": made["seeds"], **score(made["returns"]), **made, "complete": True}


class _Job(NamedTuple):
    """Tracks that one process drives at once."""

    number: int  # whose drives these are
    drive: Callable[[Sequence[int]], list[Drive]]
    seeds: Sequence[int]


def _drive(job: _Job) -> list[Drive]:
    return job.drive(job.seeds)


def _drives(driver: Candidate, track: str) -> Callable[[Sequence[int]], list[Drive]]:
    """What drives a lot of tracks, on whatever machine."""
    candidate = str(driver) if isinstance(driver, Path) else driver
    folders = (candidate if isinstance(candidate, str) else "", "" if track in TRACKS or track == "dream" else track)
    return bringing(partial(drive_lot, candidate, track), *folders)


def _whole_numbers(seeds: Sequence[int]) -> list[int]:
    numbers = read_seeds(islice(seeds, MOST + 1) if isinstance(seeds, Iterable) else seeds)
    if not numbers or len(numbers) > MOST or len(set(numbers)) < len(numbers):
        raise Refused(f"a score needs 1 to {MOST:,} seeds of tracks from 0 on, each once")
    return numbers


def score_label(driver: Candidate, seeds: list[int], track: str) -> dict[str, Any]:
    """Who drives what, and what made it."""
    actor, path = at_the_wheel(driver), str(driver) if isinstance(driver, Path | str) else ""
    if track not in TRACKS and not path:
        real = "track='stock' or track='fast'"
        raise Refused(f"track={track!r} is a dream, and only the agent in a folder drives there: give its folder, or {real}")
    who = {"agent": path, "fingerprint": actor.fingerprint, "track": track, "dreamer": _dreamer(path, track)}
    who["trained"] = actor.about
    return {"seeds": seeds, **who, "commit": commit(), "versions": versions()} | labelled(who | {"seeds": seeds})


def _dreamer(path: str, track: str) -> str | None:
    """The fingerprint of the dream that the agent in `path` drives; None of a real track."""
    return None if track in TRACKS else load_agent(path if track == "dream" else track).dream_fingerprint


def _begun(file: Path | None, label: dict[str, Any], together: int) -> dict[str, Any]:
    """What an interrupted score of the same agent, tracks and versions has driven, in whole lots; nothing if there is none."""
    kept = _incomplete(file)
    same = ("seeds", "track", "fingerprint", "dreamer", "commit", "versions")
    if (
        kept is None
        or label["fingerprint"] is None
        or any(kept[name] != label[name] for name in same)
        or len(kept["returns"]) % together
    ):
        return {}
    notes.print(f"{file}: goes on after {len(kept['returns'])} of {len(label['seeds'])} tracks")
    return {name: kept[name] for name in ("returns", "steps", "laps")}


def _keep_each(asked: Sequence[Asked], made: Sequence[dict[str, Any]]) -> str:
    """Keep what every driver drove -> that in words: of one driver, or of those that drove anything."""
    driven = [(each.file, found) for each, found in zip(asked, made, strict=True) if found["returns"] or len(asked) == 1]
    return " ".join(_keep(file, found) for file, found in driven) or "No track was driven to its end."


def _keep(file: Path | None, made: dict[str, Any]) -> str:
    """Keep what was driven, if there is a place for it that holds nothing else -> that in words."""
    if not made["returns"]:
        return "No track was driven to its end."
    count, mean, whole = len(made["returns"]), np.mean(made["returns"]), len(made["returns"]) == len(made["seeds"])
    told = f"{count} of {len(made['seeds'])} tracks driven, mean {mean:.0f}{'.' if whole else ' so far: not a score.'}"
    if file is None or made["fingerprint"] is None:
        return f"{told} Nothing was kept; the same command begins again."
    target = place(file)
    if target.exists() and _incomplete(file) is None and not (target.is_file() and not target.stat().st_size):
        return f"{told} Nothing was kept, for {file} holds something else; the same command begins again."
    try:
        write_json(file, _finished(made) if whole else made | {"complete": False})
    except OSError:
        return f"{told} {file} cannot be written: nothing was kept."
    return f"{told} They are kept in {file}{'.' if whole else ': the same command drives the rest.'}"


def _incomplete(file: Path | None) -> dict[str, Any] | None:
    """The interrupted score in a file, if there is one."""
    try:
        kept = read_score(file, whole=False) if file is not None and place(file).is_file() else None
    except (OSError, Refused):
        return None
    return None if kept is None or kept["complete"] or None in (kept["steps"], kept["laps"]) else kept


def score_kept(path: Path, agent: Path, seeds: Sequence[int], workers: int, track: str = "stock") -> dict[str, Any]:
    """The score in the file `path`, if it is that of this agent on these tracks; if not, it is made and kept there."""
    return scores_kept([Asked(agent, seeds, path, track)], workers)[0]


def scores_kept(asked: Sequence[Asked], workers: int) -> list[dict[str, Any]]:
    """The score in each of the files, if it is that of its agent on these tracks. The others are made and kept there."""
    found = {number: _kept(each) for number, each in enumerate(asked)}
    missing = [number for number, kept in found.items() if kept is None]
    made = evaluate_each([asked[number] for number in missing], workers) if missing else []
    for number, result in zip(missing, made, strict=True):
        found[number] = result
        if file := asked[number].file:
            write_json(file, result)
    return [result for result in found.values() if result]


def _kept(asked: Asked) -> dict[str, Any] | None:
    driver, seeds, path, track = asked
    if path is None or not path.exists():
        return None
    try:
        kept = read_score(path, whole=False)
    except Refused as error:
        notes.print(f"{error}: it is made again")
        return None
    if not kept["complete"] or kept["seeds"] != list(seeds) or kept["track"] != track:
        return None
    same = kept["fingerprint"] in (None, at_the_wheel(driver).fingerprint)
    return kept if same and kept["dreamer"] in (None, _dreamer(str(driver), track)) else None
