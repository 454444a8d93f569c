"""How fast this machine is, as it is now: a second of each kind of work that a run consists of."""

import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from dreamlap.agent import Starts, build_agent
from dreamlap.config.run import Config
from dreamlap.control import ActorCritic
from dreamlap.device import choose_autocast, choose_device
from dreamlap.episodes.latents import Windows
from dreamlap.estimate import Pace
from dreamlap.learn.memory import memory_losses
from dreamlap.learn.ppo import Rollout, ppo_loss
from dreamlap.mind import Dream
from dreamlap.mind.world import open_world
from dreamlap.parallel import own_settings
from dreamlap.vision.vae import pixels, reconstruction_error

FRAMES, DREAMS, WINDOW = 16, 64, 32
"""What is tried at once: frames and windows of a shard, dreams, and steps of a window."""
STEPS = 60


@own_settings()
def measure(config: Config) -> Pace:
    """The pace of one core, or of the device, at the work that `config` asks for."""
    device = choose_device(config.device)
    autocast, agent = choose_autocast(config.precision, device), build_agent(config.agent).to(device)
    latent, actions = agent.memory.latent, agent.memory.action
    track = open_world(config.track)
    track.reset(seed=0)  # the first one reads what later ones find
    reset = _seconds(lambda: track.reset(seed=1), device, warm=False)
    still = np.zeros(3, np.float32)
    step = _seconds(lambda: [track.step(still) for _ in range(STEPS)], device, warm=False) / STEPS / config.track.repeat
    frames = torch.zeros(FRAMES, config.track.size, config.track.size, 3, dtype=torch.uint8, device=device)
    z, state = torch.zeros(DREAMS, latent, device=device), agent.memory.initial(DREAMS)
    agent.starts = Starts(z, state)
    mind = Dream(agent, DREAMS)
    seen, action = mind.reset(range(DREAMS)), torch.zeros(DREAMS, actions, device=device)

    def act() -> None:
        with torch.no_grad():
            _, observation = agent.perceive(frames[:8].cpu().numpy(), state[:8])
            agent.memory.step(observation[:, :latent], agent.controller.act(observation)[:, :actions], state[:8])

    def see() -> None:
        with autocast():
            terms = agent.vision.terms(frames, torch.Generator().manual_seed(0))
        weight = torch.ones(config.track.size, config.track.size, device=device)
        reconstruction_error(terms.logits, pixels(frames), weight, config.vision_training.likelihood).backward()

    def look() -> None:
        with torch.no_grad(), autocast():
            agent.vision.encode(frames)

    def dream() -> None:
        with autocast():
            mind.step(action)

    zeros = torch.zeros(FRAMES, WINDOW, device=device)
    mu = torch.zeros(FRAMES, WINDOW + 1, latent, device=device)
    batch = Windows(mu, mu, torch.zeros(FRAMES, WINDOW, actions, device=device), zeros, zeros, zeros, zeros + 1)

    def expect() -> None:
        total: Tensor = sum(memory_losses(agent.memory, batch, mu, autocast).values(), zeros[0, 0])
        total.backward()

    rows = torch.zeros(16 * DREAMS, device=device)
    rollout = Rollout(seen.repeat(16, 1), action.repeat(16, 1), rows, rows, rows)

    def learn() -> None:
        if isinstance(agent.controller, ActorCritic):
            with autocast():
                loss, _ = ppo_loss(agent.controller, rollout, config.ppo)
            loss.backward()

    tried = {act: 8, see: FRAMES, look: FRAMES, expect: FRAMES * WINDOW, dream: DREAMS, learn: 16 * DREAMS}
    return Pace(reset, step, *(_seconds(work, device) / units for work, units in tried.items()))


def _seconds(work: Callable[[], object], device: torch.device, warm: bool = True) -> float:
    """What `work` takes: the better of two, after one that does not count."""
    taken = []
    for _ in range(3 if warm else 1):
        began = time.perf_counter()
        work()
        torch.zeros(1, device=device).item()  # a device answers when it has done what it was asked before
        taken.append(time.perf_counter() - began)
    return min(taken[-2:])
