"""Whether a dream can be trusted: what it promises beside what the track gives, from the same moments on.

A dream that is wrong about something is exploited: the promise rises while the score falls (Ha & Schmidhuber 2018, section
"Cheating the world model"). Two questions:

- Told what a driver did, does M promise what came of it? Nobody need drive for that, so it is asked in every round, of what C
  has just done and M has not yet learned from (`promises`, `verdict`).
- Left to itself, does C earn in the dream what it earns on the track? Asked of many controllers, good and bad (`population`).

Letters: P moments, H steps.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dreamlap.agent import Agent, Starts
from dreamlap.episodes.latents import Latents
from dreamlap.learn.memory import remember
from dreamlap.measure.memory import dream_along
from dreamlap.memory import MDNRNN
from dreamlap.mind import Awake, Dream, DreamConfig
from dreamlap.progress import meter
from dreamlap.seeds import derive, generator, training_track

SIGHT = 25
"""Steps after which a car at full speed is where the frame at the start ended: what is there then, a dream must invent."""
SUMS = (10, 50)
"""Steps over which rewards are summed to see how well M foretells them: when a single tile counts is a matter of luck."""
EVERY = 10
"""Steps between the moments of a drive from which M is asked."""
TOLERANCE = 0.3
"""How far a step the promise may be from what came, before it is an alarm. A step of good driving earns 1.4."""
DRUNK = (0.05, 0.1, 0.2, 0.4, 0.8)
"""Strength of the noise on the weights of the last C that makes worse controllers of it, as a share of each layer's own."""
TRACKS = 8
"""Tracks that each controller drives."""


@dataclass(frozen=True)
class Promises:
    """What M promised of drives whose actions it was told, beside what the track gave. NaN where rewards were not recorded."""

    reward: np.ndarray  # (P, H)
    off_road: np.ndarray  # (P, H)
    real_reward: np.ndarray  # (P, H)
    real_off_road: np.ndarray  # (P, H)


@torch.no_grad()
def promises(memory: MDNRNN, latents: Latents, steps: int, burn_in: int, seed: int = 0) -> Promises:
    """Let M dream `steps` steps along the drives in `latents`, from every tenth moment once it has seen `burn_in` steps."""
    step = latents.step
    rows = torch.nonzero((step >= burn_in) & (step % EVERY == 0) & (latents.left >= steps))[:, 0]
    along = rows[:, None] + torch.arange(steps, device=rows.device)  # (P, H)
    dreamed = dream_along(memory, latents.mu[rows], remember(memory, latents)[rows], latents.action[along], seed)
    told = (dreamed.reward, dreamed.off_road, latents.reward[along], latents.off_road[along + 1])
    return Promises(*(part.cpu().numpy() for part in told))


def calibration(made: Promises) -> dict[str, Any]:
    """How the promised sum of rewards and the real one go together, over the first `SUMS` steps.

    Returns:
        By number of steps: the two means, the correlation, and at most 500 pairs to draw; nothing if rewards are not known.
    """
    found = {}
    for steps in SUMS:
        promised, given = made.reward[:, :steps].sum(1), made.real_reward[:, :steps].sum(1)
        if made.reward.shape[1] >= steps and len(given) > 1 and np.isfinite(given).all():
            pairs = np.stack([promised, given], 1)[:: -(-len(given) // 500)]
            found[str(steps)] = {
                "promised": float(promised.mean()),
                "given": float(given.mean()),
                "correlation": _correlation(promised, given),
                "pairs": pairs.round(2).tolist(),
            }
    return found


def verdict(made: Promises, off_road_penalty: float) -> dict[str, Any]:
    """Whether promise and truth have parted: means a step, of the reward less the price of leaving the road, as C is taught.

    Returns:
        `promised`, `given`, how far off the road in both, and `alarm`: they differ by more than `TOLERANCE`. Nothing but
        `alarm`, False, if no drive was long enough to ask.
    """
    if not len(made.reward):
        return {"alarm": False}
    promised = float((made.reward - off_road_penalty * made.off_road).mean())
    given = float((made.real_reward - off_road_penalty * made.real_off_road).mean())
    off_road = {"promised_off_road": float(made.off_road.mean()), "given_off_road": float(made.real_off_road.mean())}
    return {"promised": promised, "given": given, **off_road, "alarm": abs(promised - given) > TOLERANCE}


def advice(found: Mapping[str, Any]) -> str:
    """What an alarm of `verdict` means, and what to change. C can only exploit a dream that is too optimistic."""
    optimistic = found["promised"] > found["given"]
    told = f"M predicted {found['promised']:.2f} a step, and the track gave {found['given']:.2f} (reward less the penalty of "
    if optimistic:
        return (
            f"The dream is too optimistic: {told}leaving the road). C may learn to exploit that. If it goes on, give M more to "
            "learn from (--rounds.episodes, --rounds.memory_updates), or C less time to exploit it "
            "(--rounds.controller_updates, --dream.horizon)."
        )
    return (
        f"The dream is too pessimistic: {told}leaving the road). C does not exploit that, but it may learn to avoid what the "
        "track allows. If it goes on, give M more to learn from (--rounds.episodes, --rounds.memory_updates)."
    )


def population(
    agent: Agent, controllers: Mapping[str, Mapping[str, Tensor]], driven: int, horizon: int, seed: int
) -> list[dict[str, Any]]:
    """Let controllers drive awake, and dream on from where that brought them -> by controller, what either earned a step.

    Args:
        agent: its V and M are everyone's; what C it has is put back in the end.
        controllers: by name, the weights of a C of the same shape.
        driven: steps that each drives.
        horizon: steps of a dream, and of what is compared with it.
        seed: of the dreams and the tracks, which are training tracks and the same for all.
    """
    own, asked = {name: weights.clone() for name, weights in agent.controller.state_dict().items()}, []
    with meter("controllers drive and dream", len(controllers)) as bar:
        for name, weights in controllers.items():
            agent.controller.load_state_dict(weights)
            asked.append({"name": name, **promise_and_truth(agent, driven, horizon, seed)})
            bar.advance()
    agent.controller.load_state_dict(own)
    return asked


@torch.no_grad()
def promise_and_truth(agent: Agent, driven: int, horizon: int, seed: int) -> Mapping[str, float | None]:
    """C drives without noise, and dreams on from moments of that drive -> a step, in both: reward, and how far off the road.

    All are None if no drive was long enough.
    """
    awake = Awake(agent, TRACKS)
    observation = awake.reset([training_track("trust", i, seed=seed) for i in range(TRACKS)])
    moments, rewards, off_road, alive = [], [], [], [torch.ones(TRACKS, dtype=torch.bool, device=observation.device)]
    for _ in range(driven):
        moments.append(awake.moments)
        step = awake.step(agent.controller.act(observation))
        observation = step.observation
        rewards.append(step.reward)
        off_road.append(step.off_road)
        alive.append(alive[-1] & ~step.terminated & ~step.truncated)
    awake.close()
    lived, burn_in = torch.stack(alive), agent.config.memory.burn_in
    asked = [(t, lived[t + horizon]) for t in range(burn_in, driven - horizon + 1, EVERY)]
    starts = Starts(*(torch.cat([moments[t][part][whole] for t, whole in asked]) for part in (0, 1)))
    if not len(starts.z):
        return dict.fromkeys(("real", "dream", "real_off_road", "dream_off_road"))
    real = [torch.cat([torch.stack(what[t : t + horizon])[:, whole] for t, whole in asked], 1) for what in (rewards, off_road)]
    dreamed = dream_on(agent, starts, horizon, seed)
    return {"real": float(real[0].mean()), "dream": float(dreamed[0].mean())} | {
        "real_off_road": float(real[1].mean()),
        "dream_off_road": float(dreamed[1].mean()),
    }


@torch.no_grad()
def dream_on(agent: Agent, starts: Starts, steps: int, seed: int, dreams: int = 512) -> tuple[Tensor, Tensor]:
    """Dreams from `starts` in which C acts without noise -> expected rewards and how far off the road, both (steps, dreams)."""
    dream = Dream(agent, dreams, DreamConfig(horizon=steps), starts)
    observation, told = dream.reset([derive(seed, "trust", n) % 2**31 for n in range(dreams)]), []
    for _ in range(steps):
        told.append(dream.step(agent.controller.act(observation)))
        observation = told[-1].observation
    return torch.stack([step.reward for step in told]), torch.stack([step.off_road for step in told])


def agreement(asked: list[dict[str, Any]]) -> dict[str, float]:
    """Of a `population`: Spearman's rank correlation of dream and real returns, and the mean of dream less real."""
    known = [(one["dream"], one["real"]) for one in asked if one["real"] is not None and np.isfinite(one["real"])]
    if len(known) < 3:
        return {}
    dream, real = np.array(known).T
    ranks = (values.argsort().argsort().astype(float) for values in (dream, real))
    return {"rank_correlation": _correlation(*ranks), "bias": float((dream - real).mean())}


def drunk(controller: nn.Module, strength: float, seed: int) -> dict[str, Tensor]:
    """The weights of `controller`, each disturbed by a share `strength` of its tensor's own deviation."""
    chance = generator(seed, "drunk", round(1000 * strength))
    return {
        name: weights + strength * weights.std(correction=0) * torch.randn(weights.shape, generator=chance).to(weights.device)
        for name, weights in controller.state_dict().items()
    }


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a, b)[0, 1]) if a.std() > 0 and b.std() > 0 else 0.0
