"""C acts: it turns what V sees and M remembers, [z, h], into an action.

Letters: B batch, Z latent, H hidden, A action. Every action is in [-1, 1]; `dreamlap.track.actions` makes it the track's own.
"""

from typing import Annotated, Literal

import torch
from torch import Tensor

from dreamlap.control.actor_critic import ActorCritic
from dreamlap.control.linear import Linear
from dreamlap.settings import least, settings
from dreamlap.track import ActionForm

__all__ = ["ActorCritic", "ControllerConfig", "Linear", "bounded", "build_controller"]


@settings
class ControllerConfig:
    """What C is made of."""

    kind: Literal["linear", "actor-critic"] = "actor-critic"
    """`linear`: the paper's, one matrix, trained by CMA-ES. `actor-critic`: two small networks, trained by PPO."""
    mind: Literal["dream", "awake"] = "dream"
    """Where C is trained: in M's dream, or on the track seen through V and M."""
    sees_memory: bool = True
    """Whether C sees h beside z; without it M only serves as the dream."""
    bias: bool = True
    """Whether a linear C has a bias: 867 numbers for z 32 and h 256 with it, the paper's; 3,840 for z 1024 without."""
    state_dependent_std: bool = False
    """Whether an actor-critic's exploring noise depends on what it sees, or is the same wherever the car is. Where a car stands
    before a corner, steering changes nothing: there noise can grow, and still be small where the car is fast."""
    smoothing: Annotated[float, least(0, 0.99)] = 0.0
    """Share of the last action that stays in the next one: above 0 it drives more calmly, and answers later."""


def build_controller(config: ControllerConfig, latent: int, hidden: int, action: int) -> Linear | ActorCritic:
    """A new C with fresh weights."""
    seen = hidden if config.sees_memory else 0
    if config.kind == "linear":
        return Linear(latent, seen, action, config.bias)
    return ActorCritic(latent, seen, action, state_dependent_std=config.state_dependent_std)


def bounded(action: Tensor, form: ActionForm) -> Tensor:
    """Actions (B, A) as the track would take them."""
    low, high = (torch.from_numpy(limit).to(action.device) for limit in (form.low, form.high))
    return torch.minimum(torch.maximum(action, low), high)
