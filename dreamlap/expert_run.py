"""The story of an expert's run: practise, keep the best, score it, record it, report. The same call goes on where it stopped.

runs/NAME/
    config.json  versions.json  practice/  agent/  scores/  videos/  report.html
"""

from contextlib import closing
from dataclasses import asdict
from functools import partial
from pathlib import Path

import gymnasium as gym
import numpy as np
import stable_baselines3  # noqa: F401 - before torch, so that it is told at once where it is missing
import torch

from dreamlap.agent import about_of, load
from dreamlap.config.training import ExpertConfig
from dreamlap.device import choose_device
from dreamlap.drives import drive_episode
from dreamlap.errors import Refused
from dreamlap.evaluation import score_kept
from dreamlap.expert import Expert, build_expert
from dreamlap.files import Owned, check_folder
from dreamlap.history import timed
from dreamlap.learn.expert import train_expert
from dreamlap.parallel import own_settings
from dreamlap.protocol import JUDGING, SELECTION_SEEDS
from dreamlap.run import Stage, claim, commit
from dreamlap.show.report import write_report
from dreamlap.show.video import drive_video, label_of
from dreamlap.show.worst import film_worst


def run_expert(folder: Path, config: ExpertConfig) -> None:
    """Everything, from an empty folder to a scored expert."""
    check_tracks(config)
    device = choose_device(config.device)
    check_folder(folder)
    with Owned(folder):
        stage = Stage(folder / "practice")
        free = ("workers", "device", "scored", "video_steps")  # all else shaped the practice
        claim(folder, ExpertConfig, asdict(config), {}, lambda name: "practice" if stage.begun and name not in free else None)
        practise(folder, config, stage, device)
        write_report(folder)


def check_tracks(config: ExpertConfig) -> None:
    """Refuse frames that three convolutions cannot see, and dreams, before anything is written.

    Raises:
        Refused: the message names the flag.
    """
    seen = config.reflex.track
    if seen.dream:
        raise Refused("--reflex.track.dream: an expert practises on the real track alone. Leave it out")
    build_expert(config.reflex)
    if config.tracks * config.steps % config.minibatch == 1:
        raise Refused(f"--minibatch {config.minibatch}: of {config.tracks} x {config.steps} decisions one is left over")


def practise(folder: Path, config: ExpertConfig, stage: Stage, device: torch.device) -> None:
    """Train the expert if that is not done, score it, record a video."""
    if not stage.done:
        with timed(folder, "learn"), stage.timed():
            train_expert(stage, config, device, partial(judge, folder / "agent", config))
            lines = stage.metrics()
            decisions = len(lines) * config.tracks * config.steps
            scores = {str(line["update"]): line["score"] for line in lines if "score" in line}
            stage.finish(steps=decisions * config.reflex.track.repeat, scores=scores)
    seeds = range(SELECTION_SEEDS, SELECTION_SEEDS + config.scored)
    with timed(folder, "score"):
        made = score_kept(folder / "scores" / "selection.json", folder / "agent", seeds, config.workers)
    expert, path = load(folder), folder / "videos" / "drive.mp4"
    made_of = f"{expert.fingerprint} {config.video_steps}"
    with timed(folder, "videos"):
        if label_of(path) not in (made_of, ""):
            drive_video(expert, path=path, seed=SELECTION_SEEDS, steps=config.video_steps, label=made_of)
        film_worst(expert, made, folder / "videos", config.video_steps)


def judge(kept: Path, config: ExpertConfig, expert: Expert, update: int) -> float:
    """The mean return on the judging tracks, driven fast; the expert is written to `kept` if none was better before."""
    with closing(gym.make("dreamlap/CarRacing-v3")) as track, own_settings():
        score = float(np.mean([drive_episode(expert, track, JUDGING + i).total for i in range(config.judged)]))
    best = about_of(kept).get("score", -np.inf) if (kept / "agent.json").exists() else -np.inf
    if score > best:
        steps = update * config.tracks * config.steps * config.reflex.track.repeat
        expert.about = {"score": score, "update": update, "real_steps": steps, "commit": commit()}
        expert.about["chosen_on"] = [JUDGING, JUDGING + config.judged]
        expert.save(kept)
    return score
