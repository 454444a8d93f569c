"""How a score is made: always the same way, on the stock track, and never on a track that anything was tuned on.

- The track is `gymnasium.make("CarRacing-v3")`, unwrapped by anything of ours; an episode runs to its end.
- Selection tracks, seeds 900,000 to 999,999, choose between agents. Test tracks, 1,000,000 and above, are driven for a final
  score and for nothing else.
- A score is the mean and standard deviation of the raw returns, with the minimum, the median, the finished laps and a
  95 % bootstrap interval of the mean.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from dreamlap.agent import Agent, load
from dreamlap.drivers import seat
from dreamlap.errors import Refused
from dreamlap.expert import Expert
from dreamlap.files import read_json, write_json
from dreamlap.mind.world import open_world
from dreamlap.parallel import in_parallel
from dreamlap.progress import meter
from dreamlap.run import commit, versions
from dreamlap.seeds import SELECTION_SEEDS, TEST_SEEDS
from dreamlap.track import FastCarRacing
from dreamlap.track.config import LIMIT

FINAL = range(TEST_SEEDS, TEST_SEEDS + 100)
"""The hundred test tracks of a final score."""
TRACKS = {"stock": "CarRacing-v3", "fast": "dreamlap/CarRacing-v3"}
"""What Gymnasium calls the real tracks."""
SIDE_BY_SIDE = 10
"""Fast tracks that one process drives at once. Fixed, so that the number of workers changes nothing but the time."""
SELECTION = range(SELECTION_SEEDS, SELECTION_SEEDS + 20)
"""The tracks of an everyday score."""


def evaluate(path: Path | str, seeds: Sequence[int], workers: int = 2, track: str = "stock") -> dict[str, Any]:
    """Drive the agent in `path` over the tracks `seeds` in parallel processes -> the score, ready for a JSON file.

    `track`: "stock" for a score by the protocol; "fast" for a quick look; or the folder of an agent in whose dream is driven,
    "dream" being the agent's own. The result says of itself which it was.
    """
    agent = load(path)
    about = {"agent": str(path), "fingerprint": agent.fingerprint, "track": track, "trained": agent.about}
    driven: list[tuple[float, int, bool]] = []
    with meter(f"drives {track} tracks", len(seeds)) as bar:
        together = SIDE_BY_SIDE if track == "fast" else 1
        lots = [seeds[i : i + together] for i in range(0, len(seeds), together)]
        for results in in_parallel(partial(drive_lot, str(path), track), lots, workers):
            driven += results
            bar.advance(len(results), note=f"mean {np.mean([total for total, _, _ in driven]):.0f}")
    returns, steps, laps = zip(*driven, strict=True)
    return {
        "seeds": list(seeds),
        **score(returns),
        "laps": sum(laps),
        "steps": list(steps),
        **about,
        "commit": commit(),
        "versions": versions(),
    }


def score_kept(path: Path, agent: Path, seeds: Sequence[int], workers: int, track: str = "stock") -> dict[str, Any]:
    """The score in the file `path`, if it is that of this agent on these tracks; if not, it is made and kept there."""
    if path.exists():
        kept = read_json(path)
        same = isinstance(kept, dict) and kept.get("seeds") == list(seeds) and kept.get("track") == track
        if same and kept.get("fingerprint", known := load(agent).fingerprint) == known:
            return kept
    result = evaluate(agent, seeds, workers, track)
    write_json(path, result)
    return result


def score(returns: Sequence[float]) -> dict[str, Any]:
    """Raw returns -> with their mean, sample standard deviation, minimum, median and 95 % bootstrap interval of the mean."""
    values = np.asarray(returns, float)
    return {
        "returns": [round(float(value), 4) for value in values],
        "mean": float(values.mean()),
        "sd": float(values.std(ddof=1)) if len(values) > 1 else 0.0,
        "min": float(values.min()),
        "median": float(np.median(values)),
        "interval": bootstrap_interval(values),
    }


def bootstrap_interval(values: np.ndarray, draws: int = 10_000) -> list[float]:
    """The 95 % percentile interval of the mean of `values` (n,) (Efron & Tibshirani 1993, section 13.3)."""
    chosen = np.random.default_rng(0).integers(len(values), size=(draws, len(values)))
    return [float(bound) for bound in np.percentile(values[chosen].mean(1), [2.5, 97.5])]


def compare(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """Two scores, paired by track: first minus second on every track that both drove, the mean difference and its interval.

    Raises:
        ValueError: there is no such track.
    """
    by_track = dict(zip(second["seeds"], second["returns"], strict=True))
    shared = [(seed, value) for seed, value in zip(first["seeds"], first["returns"], strict=True) if seed in by_track]
    if not shared:
        raise Refused("the two scores have no track in common: evaluate both with the same --seeds")
    differences = np.array([value - by_track[seed] for seed, value in shared])
    return {
        "seeds": [seed for seed, _ in shared],
        "differences": [round(float(value), 4) for value in differences],
        "mean": float(differences.mean()),
        "median": float(np.median(differences)),
        "interval": bootstrap_interval(differences),
        "higher": int((differences > 0).sum()),
        "lower": int((differences < 0).sum()),
    }


def seed_range(text: str, final: bool) -> range:
    """The tracks "A:B" (half-open); "" means the usual twenty, or all hundred of a final score. Test tracks need `final`."""
    if not text:
        return FINAL if final else SELECTION
    start, _, stop = text.partition(":")
    if not (start.isdigit() and stop.isdigit() and int(start) < int(stop)):
        raise Refused(f"--seeds takes a range A:B with A below B, such as 900000:900020, not {text!r}")
    if int(stop) > TEST_SEEDS and not final:
        raise Refused(f"seeds from {TEST_SEEDS} on are test tracks: for a final score, and nothing else, add --final")
    return range(int(start), int(stop))


def drive_lot(path: str, track: str, seeds: Sequence[int]) -> list[tuple[float, int, bool]]:
    """Whole episodes, one on each of the tracks `seeds` -> return, steps, whether the lap was finished."""
    if track == "fast":
        return drive_side_by_side(load(path), seeds)
    return [drive_track(path, track, seed) for seed in seeds]


def drive_side_by_side(agent: Agent | Expert, seeds: Sequence[int]) -> list[tuple[float, int, bool]]:
    """The same on fast tracks at once, so that V and M look at many frames in one go: twice as fast as one by one."""
    seen, driver = agent.config.track, seat(agent, len(seeds))
    tracks = [FastCarRacing(size=seen.size, bar=seen.bar, repeat=seen.repeat) for _ in seeds]
    frames = np.stack([track.reset(seed=seed)[0] for track, seed in zip(tracks, seeds, strict=True)])
    for i, track in enumerate(tracks):
        driver.reset(i, track, np.random.default_rng(0))  # the driver has no noise to draw
    total, steps = np.zeros(len(seeds)), np.zeros(len(seeds), int)
    over, laps = np.zeros(len(seeds), bool), np.zeros(len(seeds), bool)
    while not over.all():
        actions = driver.act(frames)
        for i in np.flatnonzero(~over):
            frames[i], reward, terminated, _, info = tracks[i].step(actions[i])
            total[i], steps[i] = total[i] + reward, steps[i] + seen.repeat
            over[i], laps[i] = terminated or steps[i] >= LIMIT, bool(info.get("lap_finished", False))
    for track in tracks:
        track.close()
    return list(zip(total.tolist(), steps.tolist(), laps.tolist(), strict=True))


def drive_track(path: str, track: str, seed: int) -> tuple[float, int, bool]:
    """One whole episode on the track `seed` -> return, steps, whether the lap was finished."""
    if track not in TRACKS:
        return drive_dream(load(path), path if track == "dream" else track, seed)
    env = gym.make(TRACKS[track])
    try:
        return drive_episode(load(path), env, seed)
    finally:
        env.close()


def drive_dream(agent: Agent | Expert, folder: str, seed: int, steps: int = LIMIT) -> tuple[float, int, bool]:
    """Drive in the dream of the agent in `folder`, from one of its real moments -> what its M promises, steps, False."""
    world, driver = open_world(replace(agent.config.track, dream=folder)), seat(agent, 1)
    frame, _ = world.reset(seed=seed)
    total, step, over = 0.0, 0, False
    while step < agent.config.track.decisions(steps) and not over:
        frame, reward, over, _, _ = world.step(driver.act(frame[None])[0])
        total, step = total + reward, step + 1
    return total, step, False


def drive_episode(agent: Agent | Expert, env: gym.Env[np.ndarray, np.ndarray], seed: int) -> tuple[float, int, bool]:
    """Drive to the end of the episode -> return, steps, whether the lap was finished."""
    agent.reset()
    frame, _ = env.reset(seed=seed)
    total, steps, over, info = 0.0, 0, False, {}
    while not over:
        frame, reward, terminated, truncated, info = env.step(agent.act(frame))
        total, steps, over = total + float(reward), steps + 1, terminated or truncated
    return total, steps, bool(info.get("lap_finished", False))


def headline(result: dict[str, Any]) -> str:
    """A score in one line."""
    low, high = result["interval"]
    kind = result["track"]
    dreamed = "a dream's promise" if kind not in TRACKS else "fast track: a quick look"
    looks = "" if kind == "stock" else f"  ({dreamed}, not a score)"
    return (
        f"{result['mean']:.0f} ± {result['sd']:.0f} on {len(result['seeds'])} tracks  "
        f"(min {result['min']:.0f}, median {result['median']:.0f}, laps {result['laps']}, "
        f"95 % interval of the mean {low:.0f} to {high:.0f}){looks}"
    )
