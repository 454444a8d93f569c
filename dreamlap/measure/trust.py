"""The check of the dream: its predictions beside what the track gives, from the same initial states on.

C exploits what a dream gets wrong: the predicted reward rises while the score falls (Ha & Schmidhuber 2018, section
"Cheating the world model"). There are two checks:

- M is given the actions of a drive. Does it predict the rewards of that drive? This needs no further driving. So every round
  checks it on the drives of C that M has not yet learned from (`predictions`, `compare_rewards`).
- C acts in the dream. Does it earn there what it earns on the track? The end of a run checks good and bad policies
  (`check_policies`).

Letters: P initial states, H steps.
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
"""Steps over which rewards are summed for the calibration: when a single tile counts is a matter of luck."""
EVERY = 10
"""Steps of a drive between the initial states of M's predictions."""
TOLERANCE = 0.3
"""How far the predicted reward of a step may be from the actual one without an alarm. A step of good driving earns 1.4."""
PERTURBATIONS = (0.05, 0.1, 0.2, 0.4, 0.8)
"""Strength of the noise on the weights of a perturbed policy, as a share of each layer's own deviation."""
TRACKS = 8
"""Tracks that each policy drives."""


@dataclass(frozen=True)
class Predictions:
    """What M predicted of drives when given their actions, and the actual values. NaN where rewards were not recorded."""

    reward: np.ndarray  # (P, H)
    off_road: np.ndarray  # (P, H)
    real_reward: np.ndarray  # (P, H)
    real_off_road: np.ndarray  # (P, H)


@torch.no_grad()
def predictions(memory: MDNRNN, latents: Latents, steps: int, burn_in: int, seed: int = 0) -> Predictions:
    """Let M dream `steps` steps along the drives in `latents`, from every tenth of their steps after the burn-in."""
    step = latents.step
    rows = torch.nonzero((step >= burn_in) & (step % EVERY == 0) & (latents.left >= steps))[:, 0]
    along = rows[:, None] + torch.arange(steps, device=rows.device)  # (P, H)
    dreamed = dream_along(memory, latents.mu[rows], remember(memory, latents, rows), latents.action[along], seed)
    told = (dreamed.reward, dreamed.off_road, latents.reward[along], latents.off_road[along + 1])
    return Predictions(*(part.cpu().numpy() for part in told))


def calibration(made: Predictions) -> dict[str, Any]:
    """How the predicted sum of rewards agrees with the actual one, over the first `SUMS` steps.

    Returns:
        By number of steps: the two means, the correlation, and at most 500 pairs to draw; nothing if rewards are not known.
    """
    found = {}
    for steps in SUMS:
        predicted, actual = made.reward[:, :steps].sum(1), made.real_reward[:, :steps].sum(1)
        if made.reward.shape[1] >= steps and len(actual) > 1 and np.isfinite(actual).all():
            pairs = np.stack([predicted, actual], 1)[:: -(-len(actual) // 500)]
            found[str(steps)] = {
                "predicted": float(predicted.mean()),
                "actual": float(actual.mean()),
                "correlation": _correlation(predicted, actual),
                "pairs": pairs.round(2).tolist(),
            }
    return found


def compare_rewards(made: Predictions, off_road_penalty: float) -> dict[str, Any]:
    """Predicted and actual means a step, of C's objective: the reward less the penalty of a step off the road.

    Returns:
        `predicted`, `actual`, how far off the road in both, and `alarm`: they differ by more than `TOLERANCE`. Nothing but
        `alarm`, False, if no drive was long enough.
    """
    if not len(made.reward):
        return {"alarm": False}
    predicted = float((made.reward - off_road_penalty * made.off_road).mean())
    actual = float((made.real_reward - off_road_penalty * made.real_off_road).mean())
    off_road = {"predicted_off_road": float(made.off_road.mean()), "actual_off_road": float(made.real_off_road.mean())}
    return {"predicted": predicted, "actual": actual, **off_road, "alarm": abs(predicted - actual) > TOLERANCE}


def advice(found: Mapping[str, Any]) -> str:
    """What an alarm of `compare_rewards` means, and what to change. C can only exploit a dream that is too optimistic."""
    optimistic = found["predicted"] > found["actual"]
    told = f"M predicted {found['predicted']:.2f} a step, and the track gave {found['actual']:.2f} (reward less the penalty of "
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


def check_policies(
    agent: Agent, controllers: Mapping[str, Mapping[str, Tensor]], driven: int, horizon: int, seed: int
) -> list[dict[str, Any]]:
    """Let policies drive in the real environment, and dream on from their drives -> by policy, the rewards of a step in both.

    Args:
        agent: its V and M are everyone's; what C it has is put back in the end.
        controllers: by name, the weights of a C of the same shape.
        driven: steps that each drives.
        horizon: steps of a dream, and of what is compared with it.
        seed: of the dreams and the tracks, which are training tracks and the same for all.
    """
    own, asked = {name: weights.clone() for name, weights in agent.controller.state_dict().items()}, []
    with meter("policies drive and dream", len(controllers)) as bar:
        for name, weights in controllers.items():
            agent.controller.load_state_dict(weights)
            asked.append({"name": name, **dream_and_track(agent, driven, horizon, seed)})
            bar.advance()
    agent.controller.load_state_dict(own)
    return asked


@torch.no_grad()
def dream_and_track(agent: Agent, driven: int, horizon: int, seed: int) -> Mapping[str, float | None]:
    """C drives without noise, and dreams on from states of that drive -> a step, in both: reward, and how far off the road.

    All are None if no drive was long enough.
    """
    awake = Awake(agent, TRACKS)
    observation = awake.reset([training_track("trust", i, seed=seed) for i in range(TRACKS)])
    states, rewards, off_road, alive = [], [], [], [torch.ones(TRACKS, dtype=torch.bool, device=observation.device)]
    for _ in range(driven):
        states.append(awake.moments)
        step = awake.step(agent.controller.act(observation))
        observation = step.observation
        rewards.append(step.reward)
        off_road.append(step.off_road)
        alive.append(alive[-1] & ~step.terminated & ~step.truncated)
    awake.close()
    lived, burn_in = torch.stack(alive), agent.config.memory.burn_in
    asked = [(t, lived[t + horizon]) for t in range(burn_in, driven - horizon + 1, EVERY)]
    starts = Starts(*(torch.cat([states[t][part][whole] for t, whole in asked]) for part in (0, 1)))
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
    """Of checked policies: Spearman's rank correlation of dream and real returns, and the mean of dream less real."""
    known = [(one["dream"], one["real"]) for one in asked if one["real"] is not None and np.isfinite(one["real"])]
    if len(known) < 3:
        return {}
    dream, real = np.array(known).T
    ranks = (values.argsort().argsort().astype(float) for values in (dream, real))
    return {"rank_correlation": _correlation(*ranks), "bias": float((dream - real).mean())}


def perturbed(controller: nn.Module, strength: float, seed: int) -> dict[str, Tensor]:
    """The weights of a perturbed policy: `controller`'s, with noise of a share `strength` of each tensor's own deviation."""
    chance = generator(seed, "drunk", round(1000 * strength))
    return {
        name: weights + strength * weights.std(correction=0) * torch.randn(weights.shape, generator=chance).to(weights.device)
        for name, weights in controller.state_dict().items()
    }


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a, b)[0, 1]) if a.std() > 0 and b.std() > 0 else 0.0
