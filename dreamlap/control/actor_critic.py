"""C as an actor and a critic: two small networks on [z, h], for PPO (Schulman et al. 2017)."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.distributions import Independent, Normal

from dreamlap.clamp import clamp
from dreamlap.tensors import Numbers, beginning

LOG_STD_RANGE = (-3.0, 0.5)
CRITIC = (128, 64)
"""Widths of the critic's hidden layers."""


class ActorCritic(nn.Module):
    """The actor draws actions from a Gaussian around tanh(f(z, h)), the critic estimates the return from [z, h]."""

    def __init__(
        self, latent: int, hidden: int, action: int, widths: Sequence[int] = (128, 64), state_dependent_std: bool = False
    ):
        """`widths`: of the actor's hidden layers; without any it is one matrix, the paper's C. `state_dependent_std`: whether
        the noise depends on [z, h] (as in Haarnoja et al. 2018), or not."""
        super().__init__()
        self.inputs = latent + hidden
        self.actor = network(self.inputs, widths, action, gain=0.01)
        if not widths:
            self.actor.insert(0, Standardised(self.inputs))
        self.critic = network(self.inputs, CRITIC, 1, gain=1.0)
        self.log_std = nn.Parameter(torch.empty(action))
        self.spread = nn.Linear((self.inputs, *widths)[-1], action, bias=False) if state_dependent_std else None
        self.explore(math.exp(-1.0))

    def standardise(self, seen: Tensor) -> None:
        """Let a matrix take its inputs in standard deviations over `seen` (N, Z + H). Hidden layers need no help."""
        for layer in self.actor:
            if isinstance(layer, Standardised):
                layer.measure(seen[:, : self.inputs])

    def explore(self, std: float) -> None:
        """Make `std` the standard deviation of the noise, wherever the car is; what is learned goes on from there."""
        nn.init.constant_(self.log_std, math.log(std))
        if self.spread is not None:
            nn.init.zeros_(self.spread.weight)

    @torch.no_grad()
    def act(self, observation: Numbers) -> Tensor:
        """[z, h] (..., Z + H) -> the mean action (..., A) in [-1, 1], without a gradient (that of `moments` has one).

        Raises:
            Refused: it has another shape.
        """
        return self.moments(observation)[0]

    def moments(self, observation: Numbers) -> tuple[Tensor, Tensor]:
        """[z, h] (..., Z + H) -> mean and standard deviation (..., A) of the actions that PPO explores with."""
        seen = self.actor[:-1](beginning(observation, self.inputs, self.log_std))
        with torch.autocast(seen.device.type, enabled=False):  # the last products are small, and what they give is compared
            seen = seen.float()
            mean = torch.tanh(self.actor[-1](seen))
            log_std = self.log_std if self.spread is None else self.log_std + self.spread(seen)
        return mean, clamp(log_std, *LOG_STD_RANGE).exp().expand_as(mean)

    def policy(self, observation: Numbers) -> Independent:
        """The distribution of actions (..., A) that PPO explores with; a draw outside [-1, 1] is clipped by the mind."""
        return normal(*self.moments(observation))

    def value(self, observation: Numbers) -> Tensor:
        """The expected discounted return from here: (...)."""
        seen = self.critic[:-1](beginning(observation, self.inputs, self.log_std))
        with torch.autocast(seen.device.type, enabled=False):
            return self.critic[-1](seen.float()).squeeze(-1)


class Standardised(nn.Module):
    """Inputs less their mean, in standard deviations.

    Adam moves every weight as far, whatever it is multiplied with. So an input that hardly varies would be learned last. This
    layer does not learn: it and the matrix after it are one matrix.
    """

    centre: Tensor
    deviation: Tensor
    LEAST = 0.02
    """Of a standard deviation: an input that stays the same tells nothing."""

    def __init__(self, inputs: int):
        super().__init__()
        self.register_buffer("centre", torch.zeros(inputs))
        self.register_buffer("deviation", torch.ones(inputs))

    def measure(self, seen: Tensor) -> None:
        """Take centre and deviation from inputs (N, I)."""
        self.centre = seen.mean(0)
        self.deviation = seen.std(0).clamp(min=self.LEAST)

    def forward(self, seen: Tensor) -> Tensor:
        """(..., I) -> (..., I)."""
        return (seen - self.centre) / self.deviation


def normal(mean: Tensor, deviation: Tensor) -> Independent:
    """The distribution of actions (..., A) that are independent of each other."""
    return Independent(Normal(mean, deviation, validate_args=False), 1, validate_args=False)


def network(inputs: int, widths: Sequence[int], outputs: int, gain: float) -> nn.Sequential:
    """An MLP with orthogonal weights (Engstrom et al. 2020 show that PPO depends on it); `gain` scales the last layer."""
    layers: list[nn.Module] = []
    for width in widths:
        layers += [_orthogonal(nn.Linear(inputs, width), 2**0.5), nn.Tanh()]
        inputs = width
    return nn.Sequential(*layers, _orthogonal(nn.Linear(inputs, outputs), gain))


def _orthogonal(layer: nn.Linear, gain: float) -> nn.Linear:
    nn.init.orthogonal_(layer.weight, gain)
    nn.init.zeros_(layer.bias)
    return layer
