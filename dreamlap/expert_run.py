"""The story of an expert's run: practise, keep the best, score it, film it, report. The same call goes on where it stopped.

runs/NAME/
    config.json  versions.json  practice/  agent/  scores/  videos/  report.html
"""

import time
from contextlib import closing
from dataclasses import asdict
from functools import partial
from pathlib import Path

import gymnasium as gym
import numpy as np

from dreamlap.agent import load
from dreamlap.device import choose_device
from dreamlap.evaluate import drive_episode, evaluate
from dreamlap.expert import Expert
from dreamlap.learn.expert import train_expert
from dreamlap.learn.practice import ExpertConfig
from dreamlap.parallel import one_thread
from dreamlap.run import Stage, claim, commit, read_json, write_json
from dreamlap.seeds import SELECTION_SEEDS
from dreamlap.show.report import write_report
from dreamlap.show.video import drive_video

JUDGING = SELECTION_SEEDS + 3000
"""The first of the selection tracks that choose what is kept; those that score it are others."""


def run_expert(folder: Path, config: ExpertConfig) -> None:
    """Everything, from an empty folder to a scored expert."""
    claim(folder, asdict(config))
    stage = Stage(folder / "practice")
    if not stage.done:
        began = time.time()
        train_expert(stage, config, choose_device(config.device), partial(judge, folder / "agent", config))
        lines = stage.metrics()
        decisions = len(lines) * config.tracks * config.steps
        scores = {str(line["update"]): line["score"] for line in lines if "score" in line}
        stage.finish(seconds=time.time() - began, steps=decisions * config.reflex.track.repeat, scores=scores)
    if not (path := folder / "scores" / "selection.json").exists():
        seeds = range(SELECTION_SEEDS, SELECTION_SEEDS + config.scored)
        write_json(path, evaluate(folder / "agent", seeds, config.workers))
    if not (path := folder / "videos" / "drive.mp4").exists():
        drive_video(load(folder), path=path, seed=SELECTION_SEEDS, steps=config.film_steps)
    write_report(folder)


def judge(kept: Path, config: ExpertConfig, expert: Expert, update: int) -> float:
    """The mean return on the judging tracks, driven fast; the expert is written to `kept` if none was better before."""
    with closing(gym.make("dreamlap/CarRacing-v3")) as track, one_thread():
        score = float(np.mean([drive_episode(expert, track, JUDGING + i)[0] for i in range(config.judged)]))
    best = read_json(kept / "agent.json")["about"]["score"] if (kept / "agent.json").exists() else -np.inf
    if score > best:
        steps = update * config.tracks * config.steps * config.reflex.track.repeat
        expert.about = {"score": score, "update": update, "real_steps": steps, "commit": commit()}
        expert.save(kept)
    return score
