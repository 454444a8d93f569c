"""The agent: V, M and C together, as a thing to keep, give away and drive with.

A folder of safetensors and one JSON; nothing in it is ever unpickled. `dreamlap.load(path)` is all that is needed to drive a
stock `CarRacing-v3`:

    agent = dreamlap.load("runs/demo/agent")
    frame, _ = track.reset(seed=1)
    agent.reset()
    frame, reward, terminated, truncated, _ = track.step(agent.act(frame))
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from dreamlap.control import ActorCritic, ControllerConfig, Linear, build_controller
from dreamlap.memory import MDNRNN, MemoryConfig, build_memory
from dreamlap.run import read_json, replacing, write_json
from dreamlap.seeds import derive
from dreamlap.settings import from_dict
from dreamlap.track import TrackConfig, action_form, to_frame
from dreamlap.vision import VAE, VisionConfig, build_vision

FORMAT = 1


class Starts(NamedTuple):
    """Real moments from which a dream can go on."""

    z: Tensor  # (P, Z), latents of real frames
    state: Tensor  # (P, state), M's memory of the real steps before


@dataclass(frozen=True)
class AgentConfig:
    """What an agent is made of: enough to build its parts before their weights are read."""

    track: TrackConfig = TrackConfig()
    vision: VisionConfig = VisionConfig()
    memory: MemoryConfig = MemoryConfig()
    controller: ControllerConfig = ControllerConfig()


class Agent:
    """V, M and C, and where the three stand in the present episode.

    `agent.vision.encode(frames)` and `agent.memory.step(z, action, state)` are usable alone.
    """

    def __init__(self, config: AgentConfig, vision: VAE, memory: MDNRNN, controller: Linear | ActorCritic):
        self.config, self.vision, self.memory, self.controller = config, vision, memory, controller
        self.actions = action_form(config.track.actions)
        self.starts: Starts | None = None
        self.about: dict[str, Any] = {}
        self.reset()

    def reset(self) -> None:
        """Forget the last episode: to be called before the first frame of every new one."""
        self.state = self.memory.initial(1)
        self.action = self.state.new_zeros(1, self.actions.size)
        self._held = 0

    @torch.no_grad()
    def act(self, frame: np.ndarray) -> np.ndarray:
        """The stock track's frame (96, 96, 3) uint8 -> the stock track's action (3,) float32. One call a step.

        An agent whose actions last several steps (`track.repeat`) looks up only when the next one is due.
        """
        if frame.shape != (96, 96, 3) or frame.dtype != np.uint8:
            raise ValueError(f"an agent sees the stock track's frames, (96, 96, 3) uint8, not {frame.shape} {frame.dtype}")
        if self._held == 0:
            seen = to_frame(frame, self.config.track.size, self.config.track.bar)
            z, observation = self.perceive(seen[None], self.state)
            self.action = self.execute(self.controller.act(observation), self.action)
            self.state = self.memory.step(z, self.action, self.state)
        self._held = (self._held + 1) % self.config.track.repeat
        return self.actions.to_stock(self.action[0].cpu().numpy())

    @torch.no_grad()
    def perceive(self, frames: np.ndarray, state: Tensor) -> tuple[Tensor, Tensor]:
        """Frames (N, S, S, 3) uint8, M's state (N, state) -> z (N, Z), and what C sees: [z, h] (N, Z + H)."""
        z = self.vision.encode(torch.from_numpy(frames).to(state.device)).mu
        return z, torch.cat([z, self.memory.h(state)], -1)

    def execute(self, wish: Tensor, last: Tensor) -> Tensor:
        """What is done of wished actions (N, A) after the actions `last` (N, A): M is told what was done, not what was wished.

        A share `controller.smoothing` of the last action stays; then it is bounded as the track would.
        """
        alpha = self.config.controller.smoothing
        action = wish if alpha == 0 else (1 - alpha) * wish + alpha * last
        if self.actions.name == "discrete":
            return F.one_hot(action.argmax(-1), self.actions.size).to(action)
        low, high = (torch.from_numpy(limit).to(action.device) for limit in (self.actions.low, self.actions.high))
        return torch.minimum(torch.maximum(action, low), high)

    def to(self, device: torch.device | str) -> "Agent":
        """Move all parts to a device; the present episode is forgotten."""
        for part in (self.vision, self.memory, self.controller):
            part.to(device)
        self.reset()
        return self

    def save(self, folder: Path) -> None:
        """Write the agent; the JSON comes last, so a half-written folder is not an agent."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, part in self._parts().items():
            _save_tensors(folder / f"{name}.safetensors", part.state_dict())
        if self.starts is not None:
            _save_tensors(folder / "starts.safetensors", {"z": self.starts.z, "state": self.starts.state})
        write_json(folder / "agent.json", {"format": FORMAT, "config": asdict(self.config), "about": self.about})

    def _parts(self) -> Mapping[str, nn.Module]:
        return {"vision": self.vision, "memory": self.memory, "controller": self.controller}


def build_agent(config: AgentConfig, seed: int = 0) -> Agent:
    """An agent with fresh weights, the same for the same seed."""
    actions = action_form(config.track.actions).size
    with torch.random.fork_rng():
        torch.manual_seed(derive(seed, "weights"))
        vision = build_vision(config.vision, config.track.size)
        memory = build_memory(config.memory, config.vision.latent, actions)
        controller = build_controller(config.controller, config.vision.latent, config.memory.hidden, actions)
    return Agent(config, vision, memory, controller)


def load(path: Path | str, device: torch.device | str = "cpu") -> Agent:
    """Load an agent from its folder (a run's folder will do)."""
    folder = Path(path)
    if not (folder / "agent.json").exists() and (folder / "agent" / "agent.json").exists():
        folder = folder / "agent"
    if not (folder / "agent.json").exists():
        raise FileNotFoundError(f"no agent in {path}: an agent is a folder with an agent.json, such as runs/demo/agent")
    saved = read_json(folder / "agent.json")
    if saved.get("format") != FORMAT:
        raise ValueError(f"{folder} holds an agent of format {saved.get('format')}, this dreamlap reads format {FORMAT}")
    agent = build_agent(from_dict(AgentConfig, saved["config"], str(folder / "agent.json")))
    for name, part in agent._parts().items():
        _load_weights(part, folder / f"{name}.safetensors")
    if (folder / "starts.safetensors").exists():
        starts = _load_tensors(folder / "starts.safetensors")
        agent.starts = Starts(starts["z"].to(device), starts["state"].to(device))
    agent.about = saved["about"]
    return agent.to(device)


def _save_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    with replacing(path) as partial:
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, str(partial))


def _load_tensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(str(path))
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} cannot be read ({error}): copy the agent again, or train it again") from error


def _load_weights(part: nn.Module, path: Path) -> None:
    try:
        part.load_state_dict(_load_tensors(path))
    except RuntimeError as error:
        raise ValueError(f"{path} does not fit what agent.json describes: {error}") from error
