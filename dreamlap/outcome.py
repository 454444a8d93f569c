"""What a training leaves: the agent that is chosen, its score, the check of its dream, videos and the report.

Every part is kept in the run's folder. The same call makes what is missing, and what depends on something that has changed.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dreamlap.agent import PARTS, Agent, load_agent
from dreamlap.episodes import EpisodeStore
from dreamlap.evaluation import Asked, score_kept, scores_kept
from dreamlap.files import read_json, replacing, write_json
from dreamlap.history import timed
from dreamlap.measure.trust import PERTURBATIONS, agreement, check_policies, perturbed
from dreamlap.named import UNFINISHED
from dreamlap.pipeline import ROUND, SHIPPED_MOMENTS, latents_of, learn, names_of, starts_of
from dreamlap.plan import Run
from dreamlap.progress import console, notes
from dreamlap.protocol import CHOOSING, SELECTION_SEEDS
from dreamlap.run import Stage, versions
from dreamlap.scores import LOST, headline, read_score
from dreamlap.show.report import write_report
from dreamlap.show.sight import still_life
from dreamlap.show.video import FILMS, label_of
from dreamlap.show.worst import film_worst
from dreamlap.weights import checksum, checksum_of

MOST_ADDED = 2
"""How often rounds may be added."""
SOLVED = 900.0
"""Gymnasium's mark of a track that is solved."""
SHORT = 300
"""Steps of the video of M's prediction, at most."""


def run_all(run: Run) -> None:
    """Everything, from an empty folder to a scored agent. What takes time is noted, for the report tells all of it."""
    learn_and_choose(run)
    with timed(run.folder, "score"):
        console.print(headline(score(run)), style="bold")  # the result comes first, checks and videos of it after
    with timed(run.folder, "check"):
        check_dream(run)
    with timed(run.folder, "videos"):
        show(run)
    write_report(run.folder)


def leave(run: Run, agent: Agent, until: str) -> dict[str, Path]:
    """What can be looked at when a training ends with the stage `until`, by name. Before C: the agent as it is, and of V a
    picture, of M a video.
    """
    if until == "controller":
        return {"agent": run.stage(run.config.last, until).folder / "agent"}
    agent.about = {"trained": list(PARTS[: PARTS.index(until) + 1]), "commit": versions()["commit"]}
    if until == "memory":
        agent.starts = starts_of(run, 0, agent.memory, *latents_of(run, 0), SHIPPED_MOMENTS)
    agent.save(folder := run.folder / UNFINISHED)
    agent = load_agent(folder, needed=())
    picture = run.folder / "pictures" / "reconstructions.png"
    with replacing(picture) as partial:
        partial.write_bytes(still_life(agent, "reconstructions"))
    if until == "vision":
        return {"picture": picture, "V": folder}
    video = run.folder / "videos" / "prediction.mp4"
    FILMS["prediction"](
        agent, path=video, steps=min(SHORT, run.config.selection.video_steps), label=f"{agent.fingerprint} {until}"
    )
    return {"picture": picture, "video": video, "V and M": folder}


def learn_and_choose(run: Run) -> None:
    """Train, and keep the best agent. While it loses too many drives, rounds are added and the agents of those race it."""
    learn(run)
    with timed(run.folder, "select"):
        lost = choose(run)
    while run.config.rounds.more and lost > run.config.selection.lost and run.added < MOST_ADDED:
        notes.print(
            f"The best agent loses {lost:.0%} of its drives (--selection.lost {run.config.selection.lost:g}): "
            f"{run.config.rounds.more} more rounds, C from scratch"
        )
        run.add_rounds()
        learn(run)
        with timed(run.folder, "select"):
            lost = choose(run)


def choose(run: Run) -> float:
    """Let the last agents drive selection tracks, if there are several, and the one that was chosen before rounds were added;
    keep the best one as the run's agent -> the share of its drives that are lost."""
    stage = _choice(run, run.added)
    with stage.timed():
        return _choose(run, stage)


def _choose(run: Run, stage: Stage) -> float:
    last, config = run.config.last, run.config.selection
    chosen = _choice(run, run.added - 1).result.get("best") if run.added else None
    before = [] if chosen is None else [chosen]
    numbers = sorted({*before, *range(max(0, last - config.candidates + 1), last + 1)})
    folders = {number: run.stage(number, "controller").folder / "agent" for number in numbers}
    inputs = {"agents": [load_agent(folder).fingerprint for folder in folders.values()], "tracks": config.tracks}
    if stage.build_on(inputs):
        stage.reset()
        stage.build_on(inputs)
    if (best := stage.result.get("best")) is not None and (run.folder / "agent" / "agent.json").exists():
        return lost_share(stage.result.get("returns_of", {}).get(str(best), []))

    def drive(tracks: dict[int, range]) -> Returns:
        files = {number: stage.folder / f"round-{number}-from-{seeds.start}.json" for number, seeds in tracks.items()}
        asked = [Asked(folders[number], seeds, files[number], "fast") for number, seeds in tracks.items()]
        return {n: score["returns"] for n, score in zip(tracks, scores_kept(asked, run.config.workers), strict=True)}

    asks = len(numbers) > 1 or run.config.rounds.more > 0  # which of them, or whether rounds are added
    driven = race(numbers, range(CHOOSING, CHOOSING + config.tracks), drive) if asks else {last: []}
    best = min(driven, key=lambda number: rank(driven[number]))
    agent = load_agent(folders[best])
    agent.about |= cost_of(run, stage.seconds)
    agent.about["chosen_on"] = [CHOOSING, CHOOSING + config.tracks * asks]
    agent.save(run.folder / "agent")
    stage.finish(best=best, returns_of={str(n): found for n, found in driven.items() if found})
    return lost_share(driven[best])


def _choice(run: Run, added: int) -> Stage:
    """The stage in which the agent was chosen, after rounds had been added so often."""
    return Stage(run.folder / f"select{f'-{added}' if added else ''}")


Returns = dict[int, list[float]]
"""Number of a candidate -> what it returned."""


def race(numbers: list[int], tracks: range, drive: Callable[[dict[int, range]], Returns]) -> Returns:
    """Let all candidates drive a quarter of the tracks, the better half of them (two at least) another quarter, and the better
    half of these all -> what each one returned. Successive halving: Karnin, Koren & Somekh (2013)."""
    driven: Returns = {number: [] for number in numbers}
    for share in (4, 2, 1):
        more = {number: tracks[len(driven[number]) : -(-len(tracks) // share)] for number in numbers}
        for number, returns in drive({number: left for number, left in more.items() if left}).items():
            driven[number] += returns
        numbers = sorted(numbers, key=lambda number: rank(driven[number]))[: max(2, -(-len(numbers) // 2))]
    return driven


def lost_share(returns: Sequence[float]) -> float:
    """The share of the drives that are lost; 0 of none."""
    return sum(value < LOST for value in returns) / max(1, len(returns))


def rank(returns: Sequence[float]) -> tuple[float, ...]:
    """Of two candidates the better one has the lower rank: it drove more tracks of the race, and has the higher mean where all
    that is above `SOLVED` counts as that. The plain mean prefers a fast driver that loses a drive in a hundred to a steady
    one."""
    capped = np.minimum(returns, SOLVED)
    return -len(returns), -float(capped.mean() if len(capped) else 0.0), -float(np.mean(returns or [0.0]))


def cost_of(run: Run, choosing: float) -> dict[str, Any]:
    """What goes with a score: how the run came to its agent, everything counted up to now, with the seconds of `choosing`."""
    choosing += sum(_choice(run, added).result.get("seconds", 0.0) for added in range(run.added))
    stages = [(name, run.stage(number, name)) for number in range(run.config.last + 1) for name in ROUND]
    done = [(name, stage.result) for name, stage in stages if stage.done]
    given = len(EpisodeStore(run.data).names()) if run.data else 0
    collected = [name for number in range(run.config.rounds.rounds + 1) for name in names_of(run, number)]
    drivers = Counter(re.sub(r"^r\d+-|-\d{5}(-\w+)?$", "", name) for name in collected)
    return {
        "mind": run.config.controller.mind,
        "seed": run.config.seed,
        **({"start": run.config.start} if run.config.start else {}),
        f"{run.config.controller.mind}_steps": sum(result.get("steps", 0) for name, result in done if name == "controller"),
        "seconds": round(choosing + sum(result.get("seconds", 0.0) for _, result in done)),
        "drivers": dict(drivers) | ({"given": given} if given else {}),
    }


def score(run: Run) -> dict[str, Any]:
    """The run's agent on held-out selection tracks, which did not serve to choose it, of the stock track.

    An agent that was trained on a dream is evaluated there, too: in that first dream, and in its own.
    """
    seeds = range(SELECTION_SEEDS, SELECTION_SEEDS + run.config.selection.scored)
    tracks = {"scores/selection.json": "stock"}
    if run.config.track.dream:
        tracks |= {"dreams/first.json": run.config.track.dream, "dreams/own.json": "dream"}
    for name, track in tracks.items():
        score_kept(run.folder / name, run.folder / "agent", seeds, run.config.workers, track)
    return read_score(run.folder / "scores" / "selection.json")


def check_dream(run: Run) -> None:
    """Check the dream on good and bad policies: the Cs of all rounds, and perturbed ones."""
    path, last = run.folder / "trust.json", run.config.last
    if run.config.controller.mind != "dream":
        return
    agent, weights = load_agent(run.folder / "agent"), {}
    for number in range(last + 1):
        weights[f"round {number}"] = load_agent(run.stage(number, "controller").folder / "agent").controller.state_dict()
    horizon = min(run.config.dream.horizon, run.config.selection.check_steps - agent.config.memory.burn_in)
    settings = f"{agent.fingerprint} {horizon} {run.config.selection.check_steps} {run.config.seed}"
    inputs = checksum([], settings, *(checksum_of(each) for each in weights.values()))
    if path.exists() and (found := read_json(path)) and isinstance(found, dict) and found.get("inputs", inputs) == inputs:
        return
    weights |= {f"perturbed {strength}": perturbed(agent.controller, strength, run.seed("drunk")) for strength in PERTURBATIONS}
    asked = check_policies(agent, weights, run.config.selection.check_steps, horizon, run.seed("trust"))
    write_json(path, {"inputs": inputs, "horizon": horizon, **agreement(asked), "controllers": asked})


def show(run: Run) -> None:
    """Videos of a drive, of a dream, of what M predicts of a drive, and of the worst drive of the score."""
    agent, steps, folder = load_agent(run.folder / "agent"), run.config.selection.video_steps, run.folder / "videos"
    for name, film in FILMS.items():
        length = min(steps, SHORT) if name == "prediction" else steps
        path, made_of = folder / f"{name}.mp4", f"{agent.fingerprint} {length}"
        if label_of(path) not in (made_of, ""):
            film(agent, path=path, seed=SELECTION_SEEDS, steps=length, label=made_of)
    film_worst(agent, read_score(run.folder / "scores" / "selection.json"), folder, steps)
