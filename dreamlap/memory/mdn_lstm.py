"""M: the MDN-LSTM, which predicts the next latent, the reward, the end of the episode and the grass under the car.

Ha & Schmidhuber (2018), section "MDN-RNN": P(z_{t+1} | a_t, z_t, h_t). The reward and the end make M a world of its own;
the grass (how far the car has left the road, read off the next frame) lets C's objective price what it really costs.

Letters: B batch, T time, Z latent, A action, H hidden, K mixtures. The recurrent state is one tensor (B, 2H): first h, then
the cell c, so that whoever carries it about need not know what kind of M it belongs to.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from dreamlap.memory import mixture
from dreamlap.memory.mixture import Mixture


class Prediction(NamedTuple):
    """What M expects of the step that it has just been told of."""

    z: Mixture  # of z_{t+1}: (..., K, Z)
    reward: Tensor  # (...), expected r_t
    end: Tensor  # (...), logit of the probability that the episode ends with this step
    grass: Tensor  # (...), logit of the share of grass around the car in the next frame, 0 to 1


class MDNLSTM(nn.Module):
    """An LSTM over (z_t, a_t) with linear heads on h_{t+1}."""

    def __init__(self, latent: int, action: int, hidden: int = 256, mixtures: int = 5):
        super().__init__()
        self.latent, self.action, self.hidden, self.mixtures = latent, action, hidden, mixtures
        self.lstm = nn.LSTM(latent + action, hidden, batch_first=True)
        self.z_head = nn.Linear(hidden, 3 * mixtures * latent)
        self.scalar_head = nn.Linear(hidden, 3)

    @property
    def state_size(self) -> int:
        """Numbers in the recurrent state of one sequence: 2H."""
        return 2 * self.hidden

    def initial(self, batch: int) -> Tensor:
        """The state before the first frame of an episode: zeros (B, 2H)."""
        return self.z_head.weight.new_zeros(batch, self.state_size)

    def h(self, state: Tensor) -> Tensor:
        """The part of the state that C sees: (B, H)."""
        return state[..., : self.hidden]

    def forward(self, z: Tensor, action: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Go over sequences: z (B, T, Z), action (B, T, A), state (B, 2H) -> h after each step (B, T, H), last state."""
        h, c = (part.unsqueeze(0).contiguous() for part in state.chunk(2, -1))
        hs, (h, c) = self.lstm(torch.cat([z, action], -1), (h, c))
        return hs, torch.cat([h[0], c[0]], -1)

    def step(self, z: Tensor, action: Tensor, state: Tensor) -> Tensor:
        """One step: z (B, Z), action (B, A), state (B, 2H) -> state (B, 2H)."""
        h, c = state.chunk(2, -1)
        x = torch.cat([z, action, h], -1)
        weight = torch.cat([self.lstm.weight_ih_l0, self.lstm.weight_hh_l0], -1)
        gates = torch.addmm(self.lstm.bias_ih_l0 + self.lstm.bias_hh_l0, x, weight.T)
        i, f, g, o = gates.chunk(4, -1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.cat([torch.sigmoid(o) * torch.tanh(c), c], -1)

    def predict(self, h: Tensor) -> Prediction:
        """Read the heads off h_{t+1} (..., H)."""
        reward, end, grass = self.scalar_head(h).unbind(-1)
        return Prediction(mixture.from_raw(self.z_head(h), self.mixtures), reward, end, grass)
