"""What V and M make of a drive: the numbers behind the pictures.

Letters: T steps, P places that a dream starts from, H horizon, Z latent, S side of a frame.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dreamlap.agent import Agent
from dreamlap.drivers import AgentDriver
from dreamlap.episodes import Episode
from dreamlap.episodes.record import Tape
from dreamlap.memory.mixture import sample
from dreamlap.mind.world import open_world
from dreamlap.seeds import normals, training_track, uniforms

WARMUP = 16
"""Real steps that M has lived through before it is left to dream."""


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread: for one frame at a time, more of them only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def unseen_drive(agent: Agent, seed: int, steps: int = 400) -> Episode:
    """The agent on a training track that it has all but surely never seen (the fast one: for looks, not for scores)."""
    seen, seed = agent.config.track, training_track("glimpse", seed=seed)
    with closing(open_world(seen)) as track, one_thread():
        frame, _ = track.reset(seed=seed)
        tape, driver = Tape(track, frame, {"track": seed}), AgentDriver(agent, 1)
        for _ in range(steps):
            tape.step(driver.act(tape.frames[-1][None])[0])
    return tape.episode()


@torch.no_grad()
def reconstruct(agent: Agent, frames: np.ndarray) -> np.ndarray:
    """Frames (N, S, S, 3) uint8 -> V's drawings of what it kept of them, the same shape."""
    return agent.vision.decode(_encode(agent, frames)).cpu().numpy()


@dataclass(frozen=True)
class OpenLoop:
    """A dream that is told the actions of a real drive, beside that drive. Index 0 is the last real moment."""

    real: np.ndarray  # (H + 1, S, S, 3) uint8, what the track showed
    dreamed: np.ndarray  # (H + 1, S, S, 3) uint8, what M dreamed, drawn by V
    dream_error: np.ndarray  # (H + 1,) root of the mean squared error in grey levels, over P places
    drawn_error: np.ndarray  # (H + 1,) of V's drawing of the real frame: no dream that V draws can do better
    still_error: np.ndarray  # (H + 1,) of the frame at 0, held: what a world that stands still would get


@torch.no_grad()
def open_loop(agent: Agent, episode: Episode, horizon: int = 100, places: int = 12, seed: int = 0) -> OpenLoop:
    """Dream along the real actions of `episode` from `places` of its moments, and compare; the middle one is shown.

    Raises:
        ValueError: the episode is too short to dream in.
    """
    horizon = min(horizon, len(episode) - WARMUP)
    if horizon < 1:
        raise ValueError(f"an episode of {len(episode)} steps is too short: a dream starts after {WARMUP} real ones")
    z = _encode(agent, episode.frames)  # (T + 1, Z)
    actions = torch.from_numpy(agent.actions.from_stock(episode.actions)).to(z)  # (T, A)
    start = torch.from_numpy(np.linspace(WARMUP, len(episode) - horizon, places).astype(np.int64))
    along = start[:, None] + torch.arange(horizon + 1)  # (P, H + 1)
    with one_thread():
        states = _lived(agent, z, actions)
    dreamed = _dream_along(agent, z[start], states[start], actions[along[:, :-1]], seed)
    real = episode.frames[along.numpy()]  # (P, H + 1, S, S, 3)
    drawn = np.stack([agent.vision.decode(row).cpu().numpy() for row in dreamed])
    best = agent.vision.decode(z).cpu().numpy()[along.numpy()]
    shown = places // 2
    return OpenLoop(real[shown], drawn[shown], _error(drawn, real), _error(best, real), _error(real[:, :1], real))


def _encode(agent: Agent, frames: np.ndarray) -> Tensor:
    return agent.vision.encode(torch.from_numpy(frames).to(agent.state.device)).mu


def _lived(agent: Agent, z: Tensor, actions: Tensor) -> Tensor:
    """M's state before each of the frames z (T + 1, Z), having lived through all before: (T + 1, state)."""
    states = [agent.memory.initial(1)]
    for t in range(len(actions)):
        states.append(agent.memory.step(z[t : t + 1], actions[t : t + 1], states[-1]))
    return torch.cat(states)


def _dream_along(agent: Agent, z: Tensor, state: Tensor, actions: Tensor, seed: int) -> Tensor:
    """From z (P, Z) and M's state there through actions (P, H, A) -> z (P, H + 1, Z), drawn from what M expects."""
    seeds = seed + torch.arange(len(z), device=z.device)
    dreamed = [z]
    for t in range(actions.shape[1]):
        chance = uniforms(seeds, torch.full_like(seeds, t), 2 * agent.memory.latent)
        choice, noise = chance.chunk(2, -1)
        state = agent.memory.step(dreamed[-1], actions[:, t], state)
        expected = agent.memory.predict(agent.memory.h(state))
        dreamed.append(sample(expected.z, choice, normals(noise)))
    return torch.stack(dreamed, 1)


def _error(drawn: np.ndarray, real: np.ndarray) -> np.ndarray:
    """Root mean squared error by step, over places, pixels and channels: two of (P, H + 1, S, S, 3) -> (H + 1,)."""
    steps = range(real.shape[1])
    difference = (drawn[:, t if drawn.shape[1] > 1 else 0].astype(np.float32) - real[:, t] for t in steps)
    return np.array([np.sqrt(np.square(d).mean()) for d in difference])
