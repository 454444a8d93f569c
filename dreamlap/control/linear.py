"""C as one matrix: a = tanh(W [z, h] + b) (Ha & Schmidhuber 2018, section "Controller")."""

import torch
from torch import Tensor, nn

from dreamlap.tensors import Numbers, beginning


class Linear(nn.Module):
    """867 numbers for z 32, h 256 and three actions; `hidden` 0 makes a C that sees z alone."""

    def __init__(self, latent: int, hidden: int, action: int, bias: bool = True):
        super().__init__()
        self.latent, self.inputs = latent, latent + hidden
        self.layer = nn.Linear(self.inputs, action, bias)
        for weights in self.layer.parameters():
            nn.init.zeros_(weights)

    @torch.no_grad()
    def act(self, observation: Numbers) -> Tensor:
        """[z, h] (..., Z + H) -> action (..., A) in [-1, 1], without a gradient.

        Raises:
            Refused: it has another shape.
        """
        return torch.tanh(self.layer(beginning(observation, self.inputs, self.layer.weight)))


class Population:
    """Many linear controllers side by side, one for each row of what they see."""

    def __init__(self, like: Linear, candidates: Tensor, rollouts: int = 1):
        """`candidates` (P, D): the weights and biases of each, flattened as `torch.nn.utils.parameters_to_vector` does. Each
        drives `rollouts` rows, candidate by candidate."""
        actions = like.layer.out_features
        weight = candidates[:, : actions * like.inputs].unflatten(1, (actions, like.inputs))
        bias = candidates[:, actions * like.inputs :]  # (P, A), or (P, 0) of a C without
        bias = bias if bias.shape[1] else candidates.new_zeros(len(candidates), actions)
        self.weight = weight.repeat_interleave(rollouts, 0)  # (N, A, I)
        self.bias = bias.repeat_interleave(rollouts, 0)[..., None]  # (N, A, 1)

    def act(self, observation: Tensor) -> Tensor:
        """Observations (N, Z + H) -> actions (N, A)."""
        return act(self.weight, self.bias, observation)

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows alone: a mask (N,)."""
        self.weight, self.bias = self.weight[rows], self.bias[rows]


def act(weight: Tensor, bias: Tensor, observation: Tensor) -> Tensor:
    """Each row has a C of its own: weights (N, A, I), biases (N, A, 1), observations (N, Z + H) -> actions (N, A)."""
    seen = observation[:, : weight.shape[-1], None].float()
    with torch.autocast(seen.device.type, enabled=False):  # it is small, and what candidates do is compared
        return torch.tanh(torch.baddbmm(bias, weight, seen)).squeeze(-1)
