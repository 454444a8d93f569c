"""C as one matrix: a = tanh(W [z, h] + b) (Ha & Schmidhuber 2018, section "Controller")."""

import torch
from torch import Tensor, nn


class Linear(nn.Module):
    """867 numbers for z 32, h 256 and three actions; `hidden` 0 makes a C that sees z alone."""

    def __init__(self, latent: int, hidden: int, action: int, bias: bool = True):
        super().__init__()
        self.inputs = latent + hidden
        self.layer = nn.Linear(self.inputs, action, bias)
        for weights in self.layer.parameters():
            nn.init.zeros_(weights)

    def act(self, observation: Tensor) -> Tensor:
        """[z, h] (B, Z + H) -> action (B, A) in [-1, 1]."""
        return torch.tanh(self.layer(observation[..., : self.inputs]))


class Population:
    """Many linear controllers side by side: candidate p drives the rows p of what all of them see."""

    def __init__(self, like: Linear, candidates: Tensor):
        """`candidates` (P, D): the weights and biases of each, flattened as `torch.nn.utils.parameters_to_vector` does."""
        actions = like.layer.out_features
        self.weight = candidates[:, : actions * like.inputs].unflatten(1, (actions, like.inputs))  # (P, A, I)
        bias = candidates[:, actions * like.inputs :]  # (P, A), or (P, 0) of a C without
        self.bias = bias if bias.shape[1] else candidates.new_zeros(len(candidates), actions)
        self.inputs = like.inputs

    def act(self, observation: Tensor) -> Tensor:
        """Observations (P * R, Z + H), candidate by candidate with R rollouts each -> actions (P * R, A)."""
        seen = observation[:, : self.inputs].unflatten(0, (len(self.bias), -1))  # (P, R, I)
        return torch.tanh(torch.baddbmm(self.bias[:, None], seen, self.weight.mT)).flatten(0, 1)
