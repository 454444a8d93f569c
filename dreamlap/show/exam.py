"""The robustness exam to look at: scores beside the published ones, and a picture of what is seen in it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from dreamlap.config.parts import EXAM
from dreamlap.scores import lost_drives, told

PUBLISHED = {
    "AttentionAgent": ("866 ± 112", "900 ± 35", "898 ± 53"),
    "World Models (Ha & Schmidhuber 2018)": ("655", "166 ± 137", "446"),
    "PPO": ("505", "615 ± 217", "855 ± 172"),
}
"""Who -> the scores of colours, bars and blob, as Tang, Nguyen & Ha (2020) tell them, on CarRacing-v0."""


def beside_published(made: Mapping[str, dict[str, Any]]) -> Table:
    """The scores of the exam by variant, beside the published ones."""
    table = Table("who", *EXAM, title="robustness exam, without any training on it")
    table.add_row("this agent", *(told(made[variant]) for variant in EXAM))
    table.add_row("  lost drives", *(lost_drives(made[variant]).split(",")[0] for variant in EXAM))
    for who, scores in PUBLISHED.items():
        table.add_row(who, *scores)
    return table


def draw_exam(path: Path, seed: int, steps: int = 90) -> None:
    """A PNG of one moment of a track, as it is and as the exam shows it: on the stock track above, on the fast one below."""
    import gymnasium as gym
    from PIL import Image

    from dreamlap.protocol import TRACKS

    rows = []
    for kind in ("stock", "fast"):
        frames = []
        for track in (kind, *(f"{kind}-{variant}" for variant in EXAM)):
            name, told = TRACKS[track]
            env = gym.make(name, **told)
            frame, _ = env.reset(seed=seed)
            for _ in range(steps):
                frame = env.step(np.array([0.0, 0.2, 0.0], np.float32))[0]
            env.close()
            frames.append(np.pad(frame, ((0, 2), (0, 2), (0, 0)), constant_values=255))
        rows.append(np.concatenate(frames, 1))
    picture = Image.fromarray(np.concatenate(rows))
    picture.resize((picture.width * 3, picture.height * 3), Image.Resampling.NEAREST).save(path)
