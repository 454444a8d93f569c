"""The report: one HTML file that tells the story of a run, opens anywhere and asks nobody for anything."""

import json
import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from dreamlap.files import check_writable, replacing
from dreamlap.named import run_folder as existing_run
from dreamlap.progress import counted, notes
from dreamlap.scores import LOST, REAL, lost_drives, told
from dreamlap.show.figures import score_dots
from dreamlap.show.learned import controller, dream_check, memory, training_curves, vision
from dreamlap.show.page import (
    Html,
    bars,
    code,
    details,
    figure,
    join,
    missing,
    page,
    paragraph,
    section,
    table,
    text,
    tiles,
    video,
)
from dreamlap.show.reading import RunReader
from dreamlap.show.worst import drive_map, film_worst

NAMES = {
    "collect": "collecting episodes",
    "vision": "training V",
    "encode": "encoding episodes with V",
    "memory": "training M",
    "trust": "checking the dream by round",
    "controller": "training C",
    "practice": "training the expert",
    "select": "model selection",
    "score": "scoring",
    "check": "checking the dream at the end",
    "videos": "videos",
    "report": "this report",
    "rest": "loading, and interrupted work",
}
"""What time was spent on, in words."""


def write_report(run_folder: Path) -> Path:
    """Write `report.html` into the run folder, whatever of the run there is -> its path.

    Raises:
        FileNotFoundError: there is no such folder.
    """
    run_folder = existing_run(run_folder)
    run, path = RunReader(run_folder), run_folder / "report.html"
    check_writable(path)
    parts = OF_EXPERT if run.expert else OF_AGENT
    made = {part: _made(part, run) for part in sorted(parts, key=lambda part: part in TELL_TIME)}
    head, *story = (made[part] for part in parts)
    # the name of a file may hold bytes that are no text here (surrogates), and JSON other halves of signs
    whole = page(f"{run_folder.resolve().name} · dreamlap", head, _problems(run), *story)
    with replacing(path) as partial:
        partial.write_bytes(re.sub("[\ud800-\udc7f\udd00-\udfff]", "?", whole).encode("utf-8", "surrogateescape"))
    for problem in run.problems:
        notes.print(f"left out of the report: {problem}", style="yellow")
    return path


def _made(part: Callable[[RunReader], Html], run: RunReader) -> Html:
    """A part of the story. One that cannot be made is named, and the others are made all the same."""
    try:
        return part(run)
    except Exception as error:
        name = (part.__doc__ or part.__name__).splitlines()[0].rstrip(".")
        run.complain(f"{name}: {type(error).__name__}: {error} (this is a bug in dreamlap: please report it)")
        return missing(f"{name}: this part could not be made.")


def _problems(run: RunReader) -> Html:
    """What cannot be read or shown."""
    return section("Left out", *map(missing, run.problems)) if run.problems else Html("")


def _headline(run: RunReader) -> Html:
    """The name of the run, its score, and the most important numbers."""
    title = Html(f"<header><h1>{text(run.folder.resolve().name)}</h1>")
    about = "by an expert: one network from frames to actions, trained by PPO in the real environment, without a world model."
    if not run.expert:
        begun = f" It began as the agent {run.start}." if run.start else ""
        about = f"by a world model: V sees, M remembers and predicts, C acts.{begun}"
    made = [code(f"{run.commands[0][1]}\n{_date(run.commands[0][0])}")] if run.commands else []
    about_it = paragraph(f"A car that drives {about}", "quiet")
    return join((title, about_it, *made, _best_score(run), tiles(_numbers(run)), Html("</header>")))


def _date(iso: str) -> str:
    try:
        return f"{datetime.fromisoformat(iso):%Y-%m-%d %H:%M}"
    except ValueError:
        return iso


def _best_score(run: RunReader) -> Html:
    if not run.scores:
        how = f"`dreamlap evaluate {run.folder}` scores its agent." if run.agent else "It has no agent so far."
        return missing(f"Not scored yet. {how} `dreamlap run` does so at its end.")
    score = run.scores[0]
    number = Html(f'<p class="score">{told(score)}</p>')
    what = "its return: one is too few for a spread" if score["sd"] is None else "mean ± standard deviation of the return"
    return join((number, paragraph(f"{_where(score)}, {what}", "quiet")))


def _where(score: dict[str, Any]) -> str:
    names = {"stock": " of stock CarRacing-v3"} | {real: f" of the {real} track" for real in REAL[1:]}
    caveats = f" ({'; '.join(score['caveats'])})" if score["caveats"] else ""
    return f"{counted(len(score['returns']), score['kind'] + ' track')}{names.get(score['track'], ' in a dream')}{caveats}"


def _numbers(run: RunReader) -> list[tuple[str, str]]:
    numbers = []
    if run.scores:
        score = run.scores[0]
        numbers += [("minimum", f"{score['min']:.0f}"), ("median", f"{score['median']:.0f}")]
        numbers += [("laps finished", f"{score['laps']} of {len(score['returns'])}")] if score["laps"] is not None else []
        lost = f"{score['lost']} of {len(score['returns'])}"
        numbers += [(f"lost drives (below {LOST:.0f})", lost)] if score["track"] in REAL else []
        numbers += [("95 % interval of the mean", "{:.0f} to {:.0f}".format(*score["interval"]))] if score["interval"] else []
    trained = {"dream": "dream steps", "awake": "C's steps in the real environment"}.get(run.mind, "steps of C")
    steps = (("real steps collected", run.steps("collect")), (trained, run.steps("controller")))
    steps += (("real steps of training", run.practice.get("steps", 0)),)
    numbers += [(name, f"{count:,}") for name, count in steps if count]
    total = "wall-clock, all of it" if not run.untimed else "wall-clock of what was timed"
    return numbers + ([(total, _duration(sum(run.seconds.values())))] if run.seconds else [])


def _drive(run: RunReader) -> Html:
    """The videos of a drive and of a dream."""
    drive, dream = run.video("drive"), run.video("dream")
    caption = "On a stock track: the frame, V's reconstruction of it, and M's prediction of it one step before."
    if run.expert:
        caption = "On a stock track: the frame, and the gray copy that the expert sees when it decides."
    caption += " The first second, in which the picture zooms in, is left out."
    parts = [video(drive, caption) if drive else missing("No video has been recorded yet.")]
    if dream:
        parts.append(
            video(dream, "In its own dream: M predicts what C's actions lead to, and V decodes it. There is no track.")
        )
    return section("A drive", *parts)


def _worst(run: RunReader) -> Html:
    """The video and the map of the worst drive."""
    score = run.judged
    if score is None or run.chosen is None:
        return Html("")
    film_worst(run.chosen, score, run.folder / "videos", run.video_steps)
    lowest = int(np.argmin(score["returns"]))
    words = f"The worst of {counted(len(score['returns']), 'scored drive')}: track {score['seeds'][lowest]}, return "
    words += f"{score['returns'][lowest]:.0f}. " + ("A lost drive." if score["returns"][lowest] < LOST else "Not lost.")
    parts, seen = [paragraph(words)], run.worst
    if path := run.video("worst"):
        parts.append(video(path, "The same track, driven again."))
    if len(seen.get("road", [])) > 2 and seen.get("path"):
        caption = "Where the car went. A lap begins at the start and comes back to it."
        parts.append(figure(lambda theme: drive_map(seen["road"], seen["path"], theme), "map of the worst drive", caption))
    return section("The worst drive", *parts)


def _time(run: RunReader) -> Html:
    """Where the time went."""
    rows = [(NAMES.get(name, name), seconds, _duration(seconds)) for name, seconds in run.seconds.items()]
    parts = [bars(rows) if rows else missing("No stage is done yet.")]
    if run.untimed:
        what = ", ".join(NAMES[name] for name in run.untimed)
        parts.append(missing(f"Not timed, for an older version made it: {what}."))
    return section("Where the time went", *parts)


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _practice(run: RunReader) -> Html:
    """How the expert was trained."""
    words = "Reward: of a decision in training (less the penalty of leaving the road, scaled). Score: when evaluated."
    return section(
        "Training the expert",
        paragraph("From frames to actions by one network, trained by PPO (Stable-Baselines3) on the fast track."),
        training_curves(run, "practice", words),
    )


def _rounds(run: RunReader) -> Html:
    """What was collected and trained, round by round."""
    if not run.rounds:
        return section("Rounds", missing("No round has begun yet."))
    head = ("round", "real steps", "return collecting", "speed R²", "return in model selection", "time")
    best = run.selection.get("best")
    note = missing("No round has been selected yet.") if best is None else paragraph(f"Round {best} was selected. {_lost(run)}")
    return section("Rounds", table(head, [_round(run, number) for number in run.rounds]), note)


def _lost(run: RunReader) -> str:
    raced = sorted(run.candidates().items())
    told = [f"round {n} {sum(r < LOST for r in found)} of {len(found)}" for n, found in raced if len(found) > 1]
    return f"Lost drives: {', '.join(told)}." if told else ""


def _round(run: RunReader, number: int) -> tuple[str, ...]:
    collected, seen = run.result(number, "collect"), run.result(number, "vision")
    seconds = sum(run.result(number, name).get("seconds", 0.0) for name in NAMES)
    return (
        str(number),
        f"{collected['steps']:,}" if "steps" in collected else "–",
        _mean(collected.get("returns", [])),
        f"{seen['speed_r2']:.3f}" if "speed_r2" in seen else "–",
        _mean(run.candidates().get(number, [])),
        _duration(seconds) if seconds else "–",
    )


def _mean(values: list[float]) -> str:
    return f"{np.mean(values):.0f}" if values else "–"


def _score(run: RunReader) -> Html:
    """The returns behind every score."""
    if not run.scores:
        return section("The score", missing("Not scored yet."))
    return section("The score", *(_one_score(score) for score in run.scores))


def _one_score(score: dict[str, Any]) -> Html:
    returns, seeds = score["returns"], score["seeds"]
    steps = score["steps"] or ["–"] * len(returns)
    rows = [(seed, f"{value:.1f}", n) for seed, value, n in zip(seeds, returns, steps, strict=True)]
    caption = f"{_where(score)}. Lost drives (return below {LOST:.0f}): {lost_drives(score)}."
    draw = figure(lambda theme: score_dots(returns, score["interval"], theme), "the return of every track", caption)
    return join((draw, details(f"All {len(returns)} returns", table(("track seed", "return", "steps"), rows))))


def _origin(run: RunReader) -> Html:
    """The commands, settings and versions that made the run."""
    files = {"Settings": "config.json", "Versions": "versions.json"}
    parts = [
        details(title, code(json.dumps(content, indent=2, ensure_ascii=False)))
        for title, name in files.items()
        if (content := run.json(name)) is not None
    ]
    if run.commands:
        parts.insert(0, code("\n".join(f"{_date(date)}  {command}" for date, command in run.commands)))
    else:
        parts.insert(0, missing("The command and its date were not written down: an older version made this run."))
    return section("Made with", *parts)


TELL_TIME = (_headline, _time)
"""Parts that tell how long everything took. They are made last, for they count the report, too."""
OF_AGENT = (_headline, _drive, _worst, _time, vision, memory, dream_check, controller, _rounds, _score, _origin)
OF_EXPERT = (_headline, _drive, _worst, _time, _practice, _score, _origin)
"""The story of a run, part by part."""
