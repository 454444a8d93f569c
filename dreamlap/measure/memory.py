"""What M has learned, measured on episodes that it was never shown: how likely it held the truth, how far its dreams stray.

The error of a dream is told in z, and in pixels, so that agents with different V and M can be compared. Beside it stand what V
alone would get, which no dream can better, and the copy-last-frame baseline.

Letters: T steps, P places that a dream starts from, H horizon, Z latent, S side of a frame.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from dreamlap.agent import Agent
from dreamlap.device import choose_autocast
from dreamlap.episodes import Episode, EpisodeFile
from dreamlap.episodes.latents import encode_episodes, windows
from dreamlap.errors import Refused
from dreamlap.learn.memory import counted, memory_losses
from dreamlap.memory import MDNRNN
from dreamlap.memory.mixture import sample
from dreamlap.parallel import own_settings
from dreamlap.progress import meter
from dreamlap.seeds import generator, normals, uniforms

HORIZONS = (1, 5, 10, 25, 50, 100)
"""Steps into a dream at which its error is told."""
EPISODES = 16
"""Episodes to measure on, at most."""
PLACES = 4
"""Places in each of them that a dream starts from."""
TOGETHER = 100
"""Frames that V draws at once."""


@torch.no_grad()
def foresight(agent: Agent, episodes: Sequence[EpisodeFile], seed: int = 0) -> dict[str, Any]:
    """Measure M on some of `episodes`, which it must not have learned from. All chance comes from `seed`.

    Returns:
        `nll_per_dim`: -log P(z_{t+1}) a step and latent dimension, in nats, z drawn from V's posterior. `reward_rmse`: of a
        step, if rewards were recorded. `pixels`, in grey levels, and `z`, in its own units: the error (RMS) of the `dream`,
        of V alone, the `floor`, and of the copy-last-frame baseline, `still`, by dream steps, as far as episodes reach.
    """
    chosen = episodes[:: -(-len(episodes) // EPISODES)]
    errors = []
    with meter("M is measured", len(chosen)) as bar:
        likelihood = _likelihood(agent, chosen, seed)
        for i, file in enumerate(chosen):
            if len(file) > agent.config.memory.burn_in:
                errors.append(open_loop(agent, file.episode(), HORIZONS[-1], PLACES, seed + i))
            bar.advance()
    return {
        **likelihood,
        **{
            space: {who: _by_horizon([getattr(dream, space)[who] for dream in errors]) for who in ("dream", "floor", "still")}
            for space in ("pixels", "z")
        },
    }


def _likelihood(agent: Agent, episodes: Sequence[EpisodeFile], seed: int) -> dict[str, float]:
    """M told of whole episodes, one after the other; every step counts the same."""
    latents = encode_episodes(agent.vision, episodes, agent.actions, agent.config.track.bar)
    device, first = latents.mu.device, torch.zeros(1, dtype=torch.int64, device=latents.mu.device)
    lost: dict[str, list[float]] = {"z": [], "reward": []}
    for i, length in enumerate(latents.length.tolist()):
        batch = windows(latents, first + i, first, length)
        noise = torch.randn(batch.mu.shape, generator=generator(seed, "held out", i)).to(device)
        losses = memory_losses(agent.memory, batch, noise, choose_autocast("float32", device))
        for name, values in lost.items():
            values += [losses[name].item()] * length if counted(batch)[name] else []
    measured = {"nll_per_dim": float(np.mean(lost["z"])) / agent.memory.latent}
    return measured | ({"reward_rmse": float(np.mean(lost["reward"])) ** 0.5} if lost["reward"] else {})


def _by_horizon(errors: Sequence[np.ndarray]) -> dict[str, float]:
    """Root of the mean square over those of the errors (H + 1,) that reach as far."""
    reaching = {steps: [error[steps] for error in errors if len(error) > steps] for steps in HORIZONS}
    return {str(steps): float(np.sqrt(np.square(known).mean())) for steps, known in reaching.items() if known}


@dataclass(frozen=True)
class OpenLoop:
    """A dream that is told the actions of a real drive, beside that drive. Index 0 is the last real moment.

    An error is the root of the mean square over P places, (H + 1,), of the `dream`; of the `floor`, which is what V alone gets
    of the real frame (its reconstruction; the deviation of its posterior); and of the frame at 0, held `still`.
    """

    real: np.ndarray  # (H + 1, S, S, 3) uint8, what the track showed
    dreamed: np.ndarray  # (H + 1, S, S, 3) uint8, what M dreamed, drawn by V
    pixels: dict[str, np.ndarray]  # errors in grey levels
    z: dict[str, np.ndarray]  # errors in the units of z


@torch.no_grad()
def open_loop(agent: Agent, episode: Episode, horizon: int = 100, places: int = 12, seed: int = 0) -> OpenLoop:
    """Dream along the real actions of `episode` from `places` of its moments, and compare; the middle one is shown.

    Raises:
        ValueError: the episode is too short to dream in.
    """
    burn_in = agent.config.memory.burn_in
    horizon = min(horizon, len(episode) - burn_in)
    if horizon < 1:
        raise Refused(f"an episode of {len(episode)} steps is too short: a dream starts after {burn_in} real ones")
    z, states, actions = lived(agent, episode)
    start = torch.from_numpy(np.linspace(burn_in, len(episode) - horizon, places).astype(np.int64))
    along = start[:, None] + torch.arange(horizon + 1)  # (P, H + 1)
    dreamed = dream_along(agent.memory, z[start], states[start], actions[along[:, :-1]], seed).z
    real, drawn = episode.frames[along.numpy()], draw(agent, dreamed)  # both (P, H + 1, S, S, 3)
    needed, place = along.unique(return_inverse=True)
    best = draw(agent, z[needed])[place.numpy()]
    spread = agent.vision.encode(torch.from_numpy(episode.frames[needed.numpy()]).to(z.device)).log_sigma.exp()[place]
    pixels = {"dream": _error(drawn, real), "floor": _error(best, real), "still": _error(real[:, :1], real)}
    truth, guess = z[along].cpu().numpy(), dreamed.cpu().numpy()
    floor = _error(spread.cpu().numpy(), np.zeros_like(truth))
    latent = {"dream": _error(guess, truth), "floor": floor, "still": _error(truth[:, :1], truth)}
    shown = places // 2
    return OpenLoop(real[shown], drawn[shown], pixels, latent)


@torch.no_grad()
def lived(agent: Agent, episode: Episode) -> tuple[Tensor, Tensor, Tensor]:
    """An episode as V and M live through it: z (T + 1, Z), M's state before each frame (T + 1, state), actions (T, A)."""
    z = see(agent, episode.frames)
    actions = torch.from_numpy(agent.actions.from_stock(episode.actions)).to(z)
    states = [agent.memory.initial(1)]
    with own_settings():
        for t in range(len(actions)):
            states.append(agent.memory.step(z[t : t + 1], actions[t : t + 1], states[-1]))
    return z, torch.cat(states), actions


class Along(NamedTuple):
    """Dreams that were told the actions of real drives."""

    z: Tensor  # (P, H + 1, Z), drawn from what M expected; the first is the last real one
    reward: Tensor  # (P, H), expected
    off_road: Tensor  # (P, H), how far off the road it predicts the car, 0 to 1


@torch.no_grad()
def dream_along(memory: MDNRNN, z: Tensor, state: Tensor, actions: Tensor, seed: int) -> Along:
    """From z (P, Z) and M's state there through actions (P, H, A)."""
    seeds = seed + torch.arange(len(z), device=z.device)
    dreamed, reward, off_road = [z], z.new_zeros(actions.shape[:2]), z.new_zeros(actions.shape[:2])
    for t in range(actions.shape[1]):
        chance = uniforms(seeds, torch.full_like(seeds, t), 2 * memory.latent)
        choice, noise = chance.chunk(2, -1)
        state = memory.step(dreamed[-1], actions[:, t], state)
        expected = memory.foresee(state)
        dreamed.append(sample(expected.z, choice, normals(noise)))
        reward[:, t], off_road[:, t] = expected.reward, expected.off_road.sigmoid()
    return Along(torch.stack(dreamed, 1), reward, off_road)


@torch.no_grad()
def see(agent: Agent, frames: np.ndarray) -> Tensor:
    """Frames (N, S, S, 3) uint8 -> z (N, Z), the means of V's posterior."""
    return agent.vision.encode(torch.from_numpy(frames).to(agent.state.device)).mu


@torch.no_grad()
def draw(agent: Agent, z: Tensor) -> np.ndarray:
    """z (..., Z) -> V's reconstructions (..., S, S, 3) uint8."""
    drawn = [agent.vision.decode(part).cpu().numpy() for part in z.flatten(0, -2).split(TOGETHER)]
    return np.concatenate(drawn).reshape(*z.shape[:-1], *drawn[0].shape[1:])


def _error(drawn: np.ndarray, real: np.ndarray) -> np.ndarray:
    """Root mean squared error by step, over places and whatever makes up a step: two of (P, H + 1, ...) -> (H + 1,)."""
    steps = range(real.shape[1])
    difference = (drawn[:, t if drawn.shape[1] > 1 else 0].astype(np.float32) - real[:, t] for t in steps)
    return np.array([np.sqrt(np.square(d).mean()) for d in difference])
