"""An expert: frames in, actions out, and no V or M between. A network of convolutions, trained by PPO on the track itself.

It shows what the usual way without a world model comes to, and it collects data. To drive, it needs what an agent needs:
`dreamlap.load`, `reset`, `act`.

Letters: N tracks, K frames in a stack, S side of a frame, A action.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from dreamlap.config.parts import ReflexConfig
from dreamlap.control import bounded
from dreamlap.device import known_device
from dreamlap.files import Owned, place, write_json
from dreamlap.named import EXPERT as KIND
from dreamlap.parallel import own_settings
from dreamlap.settings import deviations, from_dict
from dreamlap.track import action_form, seen_by
from dreamlap.weights import FORMAT, checksum_of, load_weights, save_tensors


class Eyes(nn.Module):
    """Gray frames (B, K, S, S) in [0, 1] -> features (B, F). The network of Mnih et al. (2015, table 1), narrower."""

    def __init__(self, config: ReflexConfig):
        super().__init__()
        one, two, three = config.channels
        self.layers = nn.Sequential(
            *(nn.Conv2d(config.stack, one, 8, 4), nn.ReLU()),
            *(nn.Conv2d(one, two, 4, 2), nn.ReLU()),
            *(nn.Conv2d(two, three, 3), nn.ReLU(), nn.Flatten()),
            *(nn.LazyLinear(config.features), nn.ReLU()),
        )
        self.layers(torch.zeros(1, config.stack, config.track.size, config.track.size))  # the lazy layer learns its size

    def forward(self, frames: Tensor) -> Tensor:
        """See the class."""
        return self.layers(frames)


class Reflex(nn.Module):
    """Gray frames (B, K, S, S) in [0, 1] -> the mean action (B, A), which may lie out of bounds."""

    def __init__(self, eyes: Eyes, actor: nn.Linear):
        super().__init__()
        self.eyes, self.actor = eyes, actor

    def forward(self, frames: Tensor) -> Tensor:
        """See the class."""
        return self.actor(self.eyes(frames))


class Expert:
    """The network, and what it has seen of the present episode."""

    def __init__(self, config: ReflexConfig, reflex: Reflex):
        self.config, self.reflex = config, reflex
        self.actions = action_form(config.track.actions)
        self.about: dict[str, Any] = {}
        self.reset()

    def __repr__(self) -> str:
        """What it sees and does, and what it cost to train."""
        size, numbers = self.config.track.size, ", ".join(self.actions.numbers)
        cost = f"{self.about['real_steps']:,} real steps" if "real_steps" in self.about else "unknown"
        return f"Expert({self.config.stack} gray frames ({size}, {size}) -> action ({numbers}); cost {cost})"

    @own_settings()
    def reset(self) -> None:
        """Forget the last episode: to be called before the first frame of every new one."""
        self.state = self.initial(1)

    def act(self, frame: np.ndarray) -> np.ndarray:
        """The stock track's frame (96, 96, 3) uint8 -> the stock track's action (3,) float32. One call a step."""
        with own_settings():
            action, self.state = self.drive(seen_by(frame, self.config.track)[None], self.state)
        return self.actions.to_stock(action[0].cpu().numpy())

    def initial(self, n: int) -> Tensor:
        """The state of `n` drives that are about to begin: zeros (N, 1 + A + K S S).

        The steps for which an action is still to be held, that action, and the frames of the last decisions.
        """
        config, device = self.config, self.reflex.actor.weight.device
        return torch.zeros(n, 1 + self.actions.size + config.stack * config.track.size**2, device=device)

    @torch.no_grad()
    def drive(self, frames: np.ndarray, state: Tensor, steps: int = 1) -> tuple[Tensor, Tensor]:
        """Frames (N, S, S, 3) uint8 and the state -> actions (N, A) for the next `steps` steps, and the state after them.

        It decides again once it has held an action for `track.repeat` steps.
        """
        stack, side = self.config.stack, self.config.track.size
        left, held, past = state.split([1, self.actions.size, stack * side**2], 1)
        due = left <= 0  # (N, 1)
        if due.any():
            new = torch.from_numpy(to_gray(frames)).to(state.device).flatten(1) / 255
            past = torch.where(due, torch.cat([past[:, side**2 :], new], 1), past)
            decided = self.reflex(past.unflatten(1, (stack, side, side)))
            held = torch.where(due, bounded(decided, self.actions), held)
            left = torch.where(due, float(self.config.track.repeat), left)
        return held, torch.cat([left - steps, held, past], 1)

    def to(self, device: torch.device | str) -> "Expert":
        """Move it to a device; the present episode is forgotten.

        Raises:
            Refused: there is no such device.
        """
        self.reflex.to(known_device(device))
        self.reset()
        return self

    def save(self, folder: Path | str) -> None:
        """Write it as an agent's folder; the JSON comes last, so a half-written folder is not an agent."""
        folder = place(folder)
        with Owned(folder):
            save_tensors(folder / "reflex.safetensors", self.reflex.state_dict())
            about = {"format": FORMAT, "kind": KIND, "config": asdict(self.config), "about": self.about}
            write_json(folder / "agent.json", about)

    @property
    def fingerprint(self) -> str:
        """What it is, whatever its folder is called: 32 hex digits of its settings and weights."""
        return checksum_of(self.reflex.state_dict(), json.dumps(deviations(self.config), sort_keys=True))


def build_expert(config: ReflexConfig) -> Expert:
    """An expert with fresh weights."""
    return Expert(config, Reflex(Eyes(config), nn.Linear(config.features, action_form(config.track.actions).size)))


def read_expert(folder: Path, saved: dict[str, Any]) -> Expert:
    """The expert in a folder whose agent.json says `saved`."""
    config = from_dict(ReflexConfig, saved["config"], str(folder / "agent.json"))
    with torch.device("meta"):  # no memory is taken before the files are known to fit
        expert = build_expert(config)
    load_weights(expert.reflex, folder / "reflex.safetensors")
    expert.reset()
    expert.about = saved["about"]
    return expert


def to_gray(frames: np.ndarray) -> np.ndarray:
    """Frames (..., S, S, 3) uint8 -> their luma, (..., S, S) uint8."""
    flat = frames.reshape(-1, frames.shape[-2], 3)
    return cv2.cvtColor(flat, cv2.COLOR_RGB2GRAY).reshape(frames.shape[:-1])
