"""The agent: V, M and C together, as a thing to keep, give away and drive with.

A folder of safetensors and one JSON; nothing in it is ever unpickled. `dreamlap.load(path)` is all that is needed to drive a
stock `CarRacing-v3`:

    agent = dreamlap.load("unprivileged")
    frame, _ = track.reset(seed=1)
    agent.reset()
    frame, reward, terminated, truncated, _ = track.step(agent.act(frame))
"""

import copy
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypedDict, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dreamlap.config.parts import AgentConfig
from dreamlap.control import ActorCritic, Linear, bounded, build_controller
from dreamlap.device import known_device
from dreamlap.errors import UPGRADE, Refused
from dreamlap.expert import KIND, Expert, read_expert
from dreamlap.files import Owned, place, read_object, write_json
from dreamlap.memory import MDNRNN, build_memory
from dreamlap.named import NO_WORLD_MODEL, agent_folder
from dreamlap.parallel import own_settings
from dreamlap.progress import counted
from dreamlap.scores import score_beside, told
from dreamlap.seeds import derive
from dreamlap.settings import deviations, from_dict, typed
from dreamlap.track import action_form, seen_by
from dreamlap.vision import VAE, build_vision
from dreamlap.weights import FORMAT, checksum_of, load_tensors, load_weights, save_tensors

Item = TypeVar("Item")
Result = TypeVar("Result")

PARTS = ("vision", "memory", "controller")
"""What an agent is made of, in the order in which it is trained."""


class About(TypedDict, total=False):
    """What others read of `about` in agent.json: how an agent came to be. Whatever else is there is for people."""

    trained: list[str]
    """Those of `PARTS` that are trained; all, if it does not say."""
    real_steps: int
    dream_steps: int
    awake_steps: int
    seconds: float
    start: str
    score: float
    """Of an expert, when it was chosen."""


class Starts(NamedTuple):
    """Real moments from which a dream can go on."""

    z: Tensor  # (P, Z), latents of real frames
    state: Tensor  # (P, state), M's memory of the real steps before


class Agent:
    """V, M and C, and where the three stand in the present episode.

    `agent.vision.encode(frames)` and `agent.memory.step(z, action, state)` are usable alone. `act` drives from frames;
    `decide` acts where the observation is [z, h]: in a dream, or in the real environment seen through V and M.
    """

    def __init__(self, config: AgentConfig, vision: VAE, memory: MDNRNN, controller: Linear | ActorCritic):
        self.config, self.vision, self.memory, self.controller = config, vision, memory, controller
        self.actions = action_form(config.track.actions)
        self.starts: Starts | None = None
        self.about: dict[str, Any] = {}
        self.origin: tuple[Path, str] | None = None
        """The folder that it was loaded from, and its fingerprint then."""
        self.reset()

    def __repr__(self) -> str:
        """Its parts, its score, and what it cost to train."""
        vision, memory, controller, size = self.config.vision, self.config.memory, self.config.controller, self.vision.size
        where = "the dream" if controller.mind == "dream" else "the real environment"
        made, numbers = self.score, ", ".join(self.actions.numbers)
        scored = f"{told(made)} on {counted(len(made['seeds']), made['kind'] + ' track')}" if made else "unknown"
        return (
            "Agent(\n"
            f"  V      {vision.kind}: frames ({size}, {size}, 3) -> z ({vision.latent},)\n"
            f"  M      {memory.kind}: z, action -> h ({memory.hidden},), and the next z, reward and end\n"
            f"  C      {controller.kind}, trained in {where}: [z, h] -> action ({numbers})\n"
            f"  score  {scored}\n"
            f"  cost   {_cost(self.about)}\n)"
        )

    @property
    def score(self) -> dict[str, Any] | None:
        """The score that is kept with the folder that it was loaded from, as `dreamlap.evaluate` gives it, or None.

        None, too, once its weights have changed: then it is another agent.
        """
        return score_beside(*self.origin) if self.origin and self.origin[1] == self.fingerprint else None

    @own_settings()
    def reset(self) -> None:
        """Forget the last episode: to be called before the first frame of every new one."""
        self.state = self.memory.initial(1)
        self.action = self.state.new_zeros(1, self.actions.size)
        self._held = 0

    @torch.no_grad()
    def act(self, frame: np.ndarray) -> np.ndarray:
        """The stock track's frame (96, 96, 3) uint8 -> the stock track's action (3,) float32. One call a step.

        An agent whose actions last several steps (`track.repeat`) looks up only when the next one is due.

        Raises:
            Refused: it is no such frame, or the agent's action is not finite.
        """
        seen = seen_by(frame, self.config.track)
        if self._held == 0:
            with own_settings():
                z, observation = self.perceive(seen[None], self.state)
                self.action = self.execute(self.controller.act(observation), self.action)
                self.state = self.memory.step(z, self.action, self.state)
        self._held = (self._held + 1) % self.config.track.repeat
        return self.actions.to_stock(self.action[0].cpu().numpy())  # refuses what is no number

    @torch.no_grad()
    def decide(self, observation: np.ndarray) -> np.ndarray:
        """What C sees, [z, h] (N, Z + H) or (Z + H,) -> its actions (N, A) or (A,), float32, in the agent's own form.

        The observations and actions of `dreamlap/Dream-v0` and `dreamlap/Awake-v0`. Nothing is kept from call to call.

        Raises:
            Refused: it is no such observation.
        """
        size, seen = self.config.vision.latent + self.config.memory.hidden, np.asarray(observation)
        if seen.dtype.kind != "f" or seen.ndim not in (1, 2) or seen.shape[-1] != size:
            found = f"{seen.shape} {seen.dtype}"
            raise Refused(
                f"C sees [z, h], arrays (N, {size}) or ({size},) of floats, not {found}. `act` takes the track's frames"
            )
        with np.errstate(over="ignore"):  # refused below
            seen = seen.astype(np.float32)
        if not np.isfinite(seen).all():
            raise Refused("C sees [z, h], and this one holds what is no finite number of float32")
        with own_settings():
            return self.controller.act(torch.from_numpy(seen).to(self.state.device)).cpu().numpy()

    @torch.no_grad()
    def perceive(self, frames: np.ndarray, state: Tensor) -> tuple[Tensor, Tensor]:
        """Frames (N, S, S, 3) uint8, M's state (N, state) -> z (N, Z), and what C sees: [z, h] (N, Z + H)."""
        z = self.vision.encode(frames).mu
        return z, torch.cat([z, self.memory.h(state)], -1)

    def execute(self, wish: Tensor, last: Tensor) -> Tensor:
        """What is done of wished actions (N, A) after the actions `last` (N, A): M is told what was done, not what was wished.

        A share `controller.smoothing` of the last action stays; then it is bounded as the track would.
        """
        alpha = self.config.controller.smoothing
        action = wish if alpha == 0 else (1 - alpha) * wish + alpha * last
        if self.actions.discrete:
            return F.one_hot(action.argmax(-1), self.actions.size).to(action)
        return bounded(action, self.actions)

    def to(self, device: torch.device | str) -> "Agent":
        """Move all parts to a device; the present episode is forgotten.

        Raises:
            Refused: there is no such device.
        """
        device = known_device(device)
        for part in (self.vision, self.memory, self.controller):
            part.to(device)
        if self.starts is not None:
            self.starts = Starts(*(part.to(device) for part in self.starts))
        self.reset()
        return self

    @property
    def fingerprint(self) -> str:
        """What it is, whatever its folder is called: 32 hex digits of its settings and the weights of V, M and C."""
        weights = {f"{name}.{key}": value for name, part in self._parts().items() for key, value in part.state_dict().items()}
        return checksum_of(weights, json.dumps(deviations(self.config), sort_keys=True))

    @property
    def dream_fingerprint(self) -> str:
        """What its dream is: 32 hex digits of what it is, and of the moments that its dream goes on from."""
        return checksum_of(self.starts._asdict() if self.starts else {}, self.fingerprint)

    def save(self, folder: Path | str) -> None:
        """Write the agent; the JSON comes last, so a half-written folder is not an agent.

        Raises:
            Refused: a weight is NaN or infinite, or another process is writing into the folder.
        """
        folder = place(folder)
        with Owned(folder):
            for name, part in self._parts().items():
                save_tensors(folder / f"{name}.safetensors", part.state_dict())
            if self.starts is not None:
                save_tensors(folder / "starts.safetensors", self.starts._asdict())
            else:
                (folder / "starts.safetensors").unlink(missing_ok=True)  # another agent's, whose place this one takes
            write_json(folder / "agent.json", {"format": FORMAT, "config": asdict(self.config), "about": self.about})

    def _parts(self) -> Mapping[str, nn.Module]:
        return {"vision": self.vision, "memory": self.memory, "controller": self.controller}


def _cost(about: Mapping[str, Any]) -> str:
    """What a run noted of how it came to its agent, in words."""
    names = {"real_steps": "real steps", "dream_steps": "dream steps", "awake_steps": "steps of C in the real environment"}
    parts = [f"{about[key]:,} {name}" for key, name in names.items() if key in about]
    parts += [counted(round(about["seconds"] / 60), "minute")] if "seconds" in about else []
    parts += [f"all of it after {about['start']}"] if "start" in about else []
    return ", ".join(parts) or "unknown"


def build_agent(config: AgentConfig, seed: int = 0) -> Agent:
    """An agent with fresh weights, the same for the same seed."""
    actions = action_form(config.track.actions).size
    with torch.random.fork_rng():
        torch.manual_seed(derive(seed, "weights"))
        vision = build_vision(config.vision, config.track.size)
        memory = build_memory(config.memory, config.vision.latent, actions)
        controller = build_controller(config.controller, config.vision.latent, config.memory.hidden, actions)
    return Agent(config, vision, memory, controller)


def load(path: Path | str, device: torch.device | str = "cpu") -> Agent | Expert:
    """Load an agent from its folder (a run's folder will do), or an expert: both drive by `reset` and `act`.

    Agents included in the package go by their names: `load("expert")`.

    Raises:
        FileNotFoundError: there is none.
        Refused: its files are broken, changed, of a newer version, not what they say, or its C is not trained yet.
    """
    return _load(path, device, PARTS)


@own_settings()
def _load(path: Path | str, device: torch.device | str, needed: Sequence[str]) -> Agent | Expert:
    """An agent or an expert, whose parts `needed` must be trained."""
    loaded = copy.deepcopy(_brought[str(path)]) if str(path) in _brought else _read(path)
    trained = loaded.about.get("trained", PARTS)
    if missing := [part for part in needed if part not in trained]:
        names = {"vision": "V", "memory": "M", "controller": "C"}
        raise Refused(
            f"{path} has no trained {' and no trained '.join(names[part] for part in missing)} yet: train it further by "
            f"`dreamlap train {missing[-1]}` or `dreamlap run`, with the preset that it was begun with"
        )
    return loaded.to(device)


def _read(path: Path | str) -> Agent | Expert:
    """An agent or an expert, as its files describe it."""
    folder = agent_folder(path)
    saved = _told(folder)
    return (read_expert if saved.get("kind") == KIND else _read_agent)(folder, saved)


def _told(folder: Path) -> dict[str, Any]:
    """What agent.json in a folder says."""
    saved = read_object(folder / "agent.json")
    if (form := saved.get("format")) != FORMAT:
        newer = f": a newer version of dreamlap wrote it ({UPGRADE})"
        raise Refused(
            f"{folder} holds an agent of format {form!r:.20}, and this dreamlap reads format {FORMAT}"
            + newer * (isinstance(form, int) and form > FORMAT)
        )
    for name in ("config", "about"):
        if not isinstance(saved.setdefault(name, {} if name == "about" else None), dict):
            raise Refused(f"{folder / 'agent.json'} lacks its {name!r}: copy the agent again")
    typed(About, saved["about"], f"{folder / 'agent.json'}, about", "copy the agent again")
    return saved


_brought: dict[str, Agent | Expert] = {}
"""Agents that were sent along with what a process is to do, by their folders."""


def bringing(function: Callable[[Item], Result], *folders: Path | str) -> Callable[[Item], Result]:
    """The same function, for whatever machine: where it loads an agent from one of these folders, it finds it as it is now."""
    return partial(_with_brought, {str(folder): _load(folder, "cpu", ()) for folder in folders if folder}, function)


def _with_brought(agents: Mapping[str, Agent | Expert], function: Callable[[Item], Result], item: Item) -> Result:
    with _at_hand(agents):
        return function(item)


@contextmanager
def _at_hand(agents: Mapping[str, Agent | Expert]) -> Iterator[None]:
    before = dict(_brought)
    _brought.update(agents)
    try:
        yield
    finally:
        _brought.clear()
        _brought.update(before)


def about_of(path: Path | str) -> About:
    """What an agent or an expert says of how it came to be. Its weights are not read.

    Raises:
        FileNotFoundError: there is none.
        Refused: its agent.json is broken or of a newer version.
    """
    return _told(agent_folder(path))["about"]


def trained_parts(path: Path | str) -> tuple[str, ...]:
    """Which parts of an agent are trained: all, unless its training ended before C.

    Raises:
        FileNotFoundError, Refused: as `about_of`.
    """
    return tuple(about_of(path).get("trained", PARTS))


def load_agent(path: Path | str, device: torch.device | str = "cpu", needed: Sequence[str] = ("vision", "memory")) -> Agent:
    """Load an agent that has V, M and C, for whatever needs more of it than driving.

    `needed`: the parts that must be trained. By default V and M, which a dream is made of.

    Raises:
        FileNotFoundError: there is none.
        Refused: it is an expert, a part of `needed` is not trained yet, or its files are broken, changed, of a newer version or
            not what they say.
    """
    loaded = _load(path, device, needed)
    if not isinstance(loaded, Agent):
        raise Refused(NO_WORLD_MODEL.format(path=path))
    return loaded


def _read_agent(folder: Path, saved: dict[str, Any]) -> Agent:
    """Built without memory for its weights, which only files of the right sizes then fill."""
    config = from_dict(AgentConfig, saved["config"], str(folder / "agent.json"))
    with torch.device("meta"):
        agent = build_agent(config)
    for name, part in agent._parts().items():
        load_weights(part, folder / f"{name}.safetensors")
    agent.reset()
    if (path := folder / "starts.safetensors").exists():
        sizes = {"z": config.vision.latent, "state": agent.memory.state_size}
        starts = load_tensors(path, {name: torch.empty(0, size) for name, size in sizes.items()})
        if len(starts["z"]) != len(starts["state"]) or not len(starts["z"]):
            found = f"{len(starts['z'])} z and {len(starts['state'])} states"
            raise Refused(f"{path} does not fit what agent.json describes: it holds {found}. Copy the agent again")
        agent.starts = Starts(**starts)
    agent.about, agent.origin = saved["about"], (folder, agent.fingerprint)
    return agent
