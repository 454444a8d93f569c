"""The report: one HTML file that tells the story of a run, opens anywhere and asks nobody for anything."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

from dreamlap.files import check_writable, place, replacing
from dreamlap.measure.memory import open_loop
from dreamlap.measure.trust import SIGHT
from dreamlap.progress import console
from dreamlap.scores import REAL, counted, lost_drives, told
from dreamlap.show.figures import curves, dream_strip, evolution, rounds_curve, score_dots
from dreamlap.show.page import (
    Html,
    bars,
    code,
    details,
    figure,
    join,
    missing,
    page,
    panels,
    paragraph,
    section,
    table,
    text,
    tiles,
    video,
)
from dreamlap.show.reading import RunReader
from dreamlap.show.sight import SHEETS
from dreamlap.show.trust import calibrated, parting, promised

NAMES = {
    "collect": "collecting",
    "vision": "V learns to see",
    "encode": "V looks at all episodes",
    "trust": "asking M what it would have promised",
    "memory": "M learns to expect",
    "controller": "C learns to act",
    "select": "choosing between rounds",
}

CHECK_OF_DREAM = {"promised", "given", "promised_off_road", "given_off_road", "alarm"}
"""What a round's `trust` leaves if a drive was long enough to ask."""

UNITS = {"pixels": "grey levels", "z": "z"}
"""In what the error of a dream is told."""


def write_report(run_folder: Path) -> Path:
    """Write `report.html` into the run folder, whatever of the run there is -> its path.

    Raises:
        FileNotFoundError: there is no such folder.
    """
    run_folder = place(run_folder)
    if not run_folder.is_dir():
        raise FileNotFoundError(f"no run in {run_folder}: a run is a folder such as runs/demo")
    run, path = RunReader(run_folder), run_folder / "report.html"
    check_writable(path)
    head, *story = [_made(part, run) for part in (OF_EXPERT if run.expert else OF_AGENT)]
    # the name of a file may hold bytes that are no text here (surrogates), and JSON other halves of signs
    whole = page(f"{run_folder.resolve().name} · dreamlap", head, _problems(run), *story)
    with replacing(path) as partial:
        partial.write_bytes(re.sub("[\ud800-\udc7f\udd00-\udfff]", "?", whole).encode("utf-8", "surrogateescape"))
    for problem in run.problems:
        console.print(f"left out of the report: {problem}", style="yellow")
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
    title = Html(f"<header><h1>{text(run.folder.resolve().name)}</h1>")
    about = "by an expert: one network from frames to actions, trained by PPO on the track itself, without a world model."
    if not run.expert:
        begun = f" It began as the agent {run.start}." if run.start else ""
        about = f"by a world model: V sees, M remembers and predicts, C acts.{begun}"
    return join(
        (title, paragraph(f"A car that drives {about}", "quiet"), _best_score(run), tiles(_numbers(run)), Html("</header>"))
    )


def _best_score(run: RunReader) -> Html:
    if not run.scores:
        return missing("Not scored yet: the run has not come to its end. The same command goes on with it.")
    score = run.scores[0]
    number = Html(f'<p class="score">{told(score)}</p>')
    what = "its return: one is too few for a spread" if score["sd"] is None else "mean ± standard deviation of the return"
    return join((number, paragraph(f"{_where(score)}, {what}", "quiet")))


def _where(score: dict) -> str:
    names = {"stock": " of stock CarRacing-v3"} | {real: f" of the {real} track" for real in REAL[1:]}
    caveats = f" ({'; '.join(score['caveats'])})" if score["caveats"] else ""
    return f"{counted(len(score['returns']), score['kind'] + ' track')}{names.get(score['track'], ' in a dream')}{caveats}"


def _numbers(run: RunReader) -> list[tuple[str, str]]:
    numbers = []
    if run.scores:
        score = run.scores[0]
        numbers += [("minimum", f"{score['min']:.0f}"), ("median", f"{score['median']:.0f}")]
        numbers += [("laps finished", f"{score['laps']} of {len(score['returns'])}")] if score["laps"] is not None else []
        numbers += [("lost drives (below 800)", lost_drives(score))] if score["track"] in REAL else []
        numbers += [("95 % interval of the mean", "{:.0f} to {:.0f}".format(*score["interval"]))] if score["interval"] else []
    trained = {"dream": "dream steps", "awake": "waking steps of C"}.get(run.mind, "steps of C")
    steps = (("real steps collected", run.steps("collect")), (trained, run.steps("controller")))
    steps += (("real steps practised", run.practice.get("steps", 0)),)
    numbers += [(name, f"{count:,}") for name, count in steps if count]
    return numbers + ([("wall-clock", _duration(sum(run.seconds.values())))] if run.seconds else [])


def _drive(run: RunReader) -> Html:
    drive, dream = run.video("drive"), run.video("dream")
    caption = "On a stock track: the frame, what V keeps of it, and what M expected it to be one step before."
    if run.expert:
        caption = "On a stock track: the frame, and the gray copy that the expert sees when it decides."
    parts = [video(drive, caption) if drive else missing("No drive was filmed yet.")]
    if dream:
        parts.append(video(dream, "In its own dream: no track, only what M expects C's actions to lead to, drawn by V."))
    return section("The drive", *parts)


def _time(run: RunReader) -> Html:
    rows = [(NAMES.get(name, name), seconds, _duration(seconds)) for name, seconds in run.seconds.items()]
    return section("Where the time went", bars(rows) if rows else missing("No stage is done yet."))


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _vision(run: RunReader) -> Html:
    return section(
        "V sees",
        paragraph("V presses every frame into a short vector z and learns to draw the frame again from it."),
        _speed(run),
        _bits(run),
        _curves(run, "vision", "The error of its drawings, summed over pixels; the information in the latents, in nats."),
        _drawings(run),
    )


def _speed(run: RunReader) -> Html:
    known = [result["speed_r2"] for result in run.results("vision").values() if "speed_r2" in result]
    words = "How well z tells the car's true speed, by a linear probe on episodes that V never saw: R² = "
    return paragraph(f"{words}{known[-1]:.3f}.") if known else Html("")


def _bits(run: RunReader) -> Html:
    """What frames cost by way of V, and what each group of its latents holds."""
    known = [result for result in run.results("vision").values() if {"kl", "bits_per_dimension", "rms"} <= result.keys()]
    if not known:
        return Html("")
    cost = (
        "{bits_per_dimension:.3f} bits for each number of a frame that V never saw; drawings are off by {rms:.1f} grey levels"
    )
    held = [(name, nats, f"{nats:.1f} nats") for name, nats in known[-1]["kl"].items()]
    return join((paragraph(f"To say a frame by way of V takes {cost.format(**known[-1])} (RMS)."), bars(held)))


def _curves(run: RunReader, stage: str, caption: str) -> Html:
    rounds = run.metrics(stage)
    names = dict.fromkeys(name for lines in rounds for line in lines for name in line if name != "update" and "/" not in name)
    if not names:
        return missing(f"Not trained in this run so far: it is that of {run.start}." if run.start else "Not trained yet.")
    each = (figure(lambda theme, n=n: curves(rounds, [n], theme=theme), f"{n} over the updates") for n in names)
    borders = " Dotted lines part the rounds." if len(rounds) > 1 else ""
    return join((panels(each), paragraph(f"{caption} By update, raw and smoothed.{borders}", "caption")))


def _drawings(run: RunReader) -> Html:
    if run.agent is None or run.drive is None:
        return missing("No drawings yet: they are made with the first agent that C becomes part of.")
    sheets = {what: draw(run.agent, run.drive.frames) for what, draw in SHEETS.items()}
    return join(figure(sheet.png, f"{what} of V", sheet.caption) for what, sheet in sheets.items())


def _memory(run: RunReader) -> Html:
    return section(
        "M remembers and expects",
        paragraph(
            "M reads z and the action, and expects the next z, the reward, the end and how far off the road the car will be."
        ),
        _curves(run, "memory", "What it costs M that it did not know better, in nats (the reward: squared)."),
        _foresight(run.result(0, "memory")),
        _calibrated(run.result(0, "memory")),
        _dream(run),
        _prediction(run),
    )


def _foresight(measured: dict) -> Html:
    """What `dreamlap.measure.memory.foresight` found."""
    if "nll_per_dim" not in measured:
        return Html("")
    words = f"On episodes that neither V nor M learned from, M's surprise is {measured['nll_per_dim']:.3f} nats a step and "
    words += "latent dimension"
    words += f"; it misses the reward of a step by {measured['reward_rmse']:.2f} (RMS)." if "reward_rmse" in measured else "."
    return join((paragraph(words), *(_errors(measured[space], unit) for space, unit in UNITS.items() if space in measured)))


def _errors(error: dict, unit: str) -> Html:
    """By steps dreamed: how far off M is, and what it is to be compared with."""
    names = {"dream": "M's dream", "floor": "V alone, of the real frame", "still": "nothing moves"}
    if not (horizons := [steps for steps in error["dream"] if all(steps in error[name] for name in names)]):
        return Html("")
    head = (f"error in {unit} (RMS)", *(f"after {steps} step{'s' * (steps != '1')}" for steps in horizons))
    return table(head, [(words, *(f"{error[name][steps]:.3g}" for steps in horizons)) for name, words in names.items()])


def _calibrated(measured: dict) -> Html:
    if not (sums := {steps: one for steps, one in measured.get("reward_sums", {}).items() if one["pairs"]}):
        return Html("")
    told = "; ".join(f"over {n} steps {one['promised']:.1f} promised, {one['given']:.1f} given" for n, one in sums.items())
    caption = f"Rewards, summed, of the same episodes: M is told the actions and dreams the rest. On average {told}."
    return figure(lambda theme: calibrated(sums, theme), "rewards promised and given", caption)


def _trust(run: RunReader) -> Html:
    """What the dream promised beside what the track gave, round by round and over controllers good and bad."""
    if run.mind != "dream":
        return Html("")
    rounds = {number: found for number, found in run.results("trust").items() if found.keys() >= CHECK_OF_DREAM}
    weighed, parts = run.trust, []
    if rounds:
        parts.append(figure(lambda theme: parting(rounds, theme), "promised and given by round", _alarms(rounds)))
    if weighed.get("controllers"):
        steps = f"for {weighed['horizon']} steps " if "horizon" in weighed else ""
        caption = (
            f"Controllers drive without noise, and dream on {steps}from where that brought them. Below the line a dream is "
        )
        caption += "too kind."
        if {"bias", "rank_correlation"} <= weighed.keys():
            caption += f" Rank correlation {weighed['rank_correlation']:.2f}, dream less track {weighed['bias']:+.2f} a step."
        parts.append(figure(lambda theme: promised(weighed["controllers"], theme), "dream and track", caption))
    nothing = missing("Nothing has been compared yet: that is done from round 1 on, and at the end of the run.")
    return section("Can the dream be trusted?", *(parts or [nothing]))


def _alarms(rounds: dict[int, dict]) -> str:
    alarms = [str(number) for number, found in rounds.items() if found["alarm"]]
    words = "Before M learned from a round's drives it was told their actions: what it promised of the next "
    words += f"{SIGHT} steps, and what the track gave. "
    return words + (f"Alarm in round {', '.join(alarms)}." if alarms else "Never so far apart as to be an alarm.")


def _dream(run: RunReader) -> Html:
    if run.agent is None or run.drive is None:
        return missing("No dream yet: it is dreamed by the first agent that C becomes part of.")
    if len(run.drive) <= run.agent.config.memory.warmup:
        return missing("No dream: the agent's drive ended before M had seen enough of it.")
    dream = open_loop(run.agent, run.drive)
    caption = (
        "From one real moment on, M is told only the actions of that drive. The curves are means over 12 such moments "
        "of a drive that M has not been trained on."
    )
    return figure(lambda theme: dream_strip(dream, theme), "a drive above a dream with the same actions", caption)


def _prediction(run: RunReader) -> Html:
    words = "Left the track, right M's dream of it: M is told its actions, and sees the track every 50 steps alone."
    return video(path, words) if (path := run.video("prediction")) else Html("")


def _controller(run: RunReader) -> Html:
    where = {"dream": " It was trained in M's dream alone.", "awake": " It was trained on the track, awake."}
    return section(
        "C acts",
        paragraph("C turns z and M's memory h into steering and pedals." + where.get(run.mind, "")),
        _training(run),
        _returns(run),
    )


def _training(run: RunReader) -> Html:
    """How an evolution went by generation, or anything else by update."""
    rounds = run.metrics("controller")
    if not any("sigma" in line for lines in rounds for line in lines):
        return _curves(run, "controller", "What C earns a step where it is trained, and how its training went.")
    caption = "What the best candidate of a generation, and their mean, earned where C is trained."
    return figure(lambda theme: evolution(rounds, theme), "returns and sigma by generation", caption)


def _practice(run: RunReader) -> Html:
    return section(
        "The expert practises",
        paragraph("From frames to actions by one network, trained by PPO (Stable-Baselines3) on the fast track."),
        _curves(
            run,
            "practice",
            "The reward of a decision as practised (less the price of leaving the road, scaled); the score when judged.",
        ),
    )


def _returns(run: RunReader) -> Html:
    collected = {number: result.get("returns", []) for number, result in run.results("collect").items()}
    candidates = run.candidates()
    if not candidates and not any(collected.values()):
        return missing("No round has been driven yet.")
    if run.rounds == [0]:
        return Html("")  # a curve of one point says nothing that the table does not
    caption = "Round 0 collects with other drivers, every later round with the agent of the round before."
    if run.anew:
        caption += f" After the rounds, C begins anew in the dream that they have made ({run.anew} ×); these collect nothing."
    return figure(lambda theme: rounds_curve(candidates, collected, theme), "returns by round", caption)


def _rounds(run: RunReader) -> Html:
    if not run.rounds:
        return section("Rounds", missing("No round has begun yet."))
    head = ("round", "real steps", "return collecting", "speed R²", "return choosing", "time")
    best = run.selection.get("best")
    note = paragraph(f"Round {best} was chosen.") if best is not None else missing("No round has been chosen yet.")
    return section("Rounds", table(head, [_round(run, number) for number in run.rounds]), note)


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
    if not run.scores:
        return section("The score", missing("Not scored yet."))
    return section("The score", *(_one_score(score) for score in run.scores))


def _one_score(score: dict) -> Html:
    returns, seeds = score["returns"], score["seeds"]
    steps = score["steps"] or ["–"] * len(returns)
    rows = [(seed, f"{value:.1f}", n) for seed, value, n in zip(seeds, returns, steps, strict=True)]
    draw = figure(lambda theme: score_dots(returns, score["interval"], theme), "the return of every track", _where(score))
    return join((draw, details(f"All {len(returns)} returns", table(("track seed", "return", "steps"), rows))))


def _origin(run: RunReader) -> Html:
    files = {"Settings": "config.json", "Versions": "versions.json"}
    parts = [
        details(title, code(json.dumps(content, indent=2, ensure_ascii=False)))
        for title, name in files.items()
        if (content := run.json(name)) is not None
    ]
    return section("Made with", *(parts or [missing("Neither settings nor versions were written down.")]))


OF_AGENT = (_headline, _drive, _time, _vision, _memory, _trust, _controller, _rounds, _score, _origin)
OF_EXPERT = (_headline, _drive, _practice, _score, _origin)
"""The story of a run, part by part."""
