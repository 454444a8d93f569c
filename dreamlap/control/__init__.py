"""C acts: it turns what V sees and M remembers, [z, h], into an action.

Letters: B batch, Z latent, H hidden, A action. Every action is in [-1, 1]; `dreamlap.track.actions` makes it the track's own.
"""

from functools import cache

import torch
from torch import Tensor

from dreamlap.config.parts import ControllerConfig
from dreamlap.control.actor_critic import ActorCritic
from dreamlap.control.linear import Linear
from dreamlap.track import ActionForm

__all__ = ["ActorCritic", "ControllerConfig", "Linear", "bounded", "build_controller"]


def build_controller(config: ControllerConfig, latent: int, hidden: int, action: int) -> Linear | ActorCritic:
    """A new C with fresh weights."""
    seen = hidden if config.sees_memory else 0
    if config.kind == "linear":
        return Linear(latent, seen, action, config.bias)
    return ActorCritic(latent, seen, action, config.widths, config.state_dependent_std)


def bounded(action: Tensor, form: ActionForm) -> Tensor:
    """Actions (B, A) as the track would take them."""
    low, high = (_on(action.device, tuple(limit.tolist())) for limit in (form.low, form.high))
    return torch.minimum(torch.maximum(action, low), high)


@cache
def _on(device: torch.device, numbers: tuple[float, ...]) -> Tensor:
    """Numbers that are brought to a device once: a step of many dreams takes less time than to bring them there."""
    return torch.tensor(numbers, dtype=torch.float32, device=device)
