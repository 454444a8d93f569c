"""M: the MDN-RNN, which predicts the next latent, the reward, the end of the episode and how far the car is off the road.

Ha & Schmidhuber (2018), section "MDN-RNN": P(z_{t+1} | a_t, z_t, h_t). The reward and the end make M a world of its own;
how far the car leaves the road (read off the next frame) lets C's objective set a penalty for it.

Letters: B batch, T time, Z latent, A action, H hidden, K mixtures, S state. The recurrent state is one tensor (B, S) that
begins with h, so that whoever carries it about need not know what kind of M it belongs to.
"""

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor, nn

from dreamlap.memory import mixture
from dreamlap.memory.mixture import Mixture
from dreamlap.tensors import Numbers, read


class Prediction(NamedTuple):
    """What M predicts of the step that it has just been told of."""

    z: Mixture  # of z_{t+1}: (..., K, Z)
    reward: Tensor  # (...), expected r_t
    end: Tensor  # (...), logit of the probability that the episode ends with this step
    off_road: Tensor  # (...), logit of how far the car is off the road in the next frame, 0 to 1


class MDNRNN(nn.Module, ABC):
    """Linear heads on h_{t+1}; subclasses only say how h_{t+1} comes of (z_t, a_t) and the state."""

    state_size: int
    """S: numbers in the recurrent state of one sequence."""

    def __init__(self, latent: int, action: int, hidden: int = 256, mixtures: int = 5):
        super().__init__()
        self.latent, self.action, self.hidden, self.mixtures = latent, action, hidden, mixtures
        self.add_core()
        self.z_head = nn.Linear(hidden, 3 * mixtures * latent)
        self.scalar_head = nn.Linear(hidden, 3)

    @abstractmethod
    def add_core(self) -> None:
        """Make what carries the state on: from Z + A numbers to H."""

    @abstractmethod
    def unroll(self, z: Tensor, action: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Go over sequences: z (B, T, Z), action (B, T, A), state (B, S) -> h after each step (B, T, H), last state."""

    @abstractmethod
    def cell(self, z: Tensor, action: Tensor, state: Tensor) -> Tensor:
        """One step: z (B, Z), action (B, A), state (B, S) -> state (B, S)."""

    def forward(self, z: Numbers, action: Numbers, state: Numbers) -> tuple[Tensor, Tensor]:
        """Go over sequences: z (B, T, Z), action (B, T, A), state (B, S) -> h after each step (B, T, H), last state.

        Raises:
            Refused: they have other shapes.
        """
        return self.unroll(*self._read(z, action, state, "B", "T"))

    @torch.no_grad()
    def step(self, z: Numbers, action: Numbers, state: Numbers) -> Tensor:
        """One step: z (B, Z), action (B, A), state (B, S) -> state (B, S), without a gradient (that of `cell` has one).

        Raises:
            Refused: they have other shapes.
        """
        return self.cell(*self._read(z, action, state, "B"))

    def _read(self, z: Numbers, action: Numbers, state: Numbers, *axes: str) -> list[Tensor]:
        told = {
            "z": (z, (*axes, self.latent)),
            "action": (action, (*axes, self.action)),
            "state": (state, ("B", self.state_size)),
        }
        return read(self.z_head.weight, **told)

    def initial(self, batch: int) -> Tensor:
        """The state before the first frame of an episode: zeros (B, S)."""
        return self.z_head.weight.new_zeros(batch, self.state_size)

    def h(self, state: Numbers) -> Tensor:
        """The part of the state (..., S) that C sees: (..., H)."""
        (state,) = read(self.z_head.weight, state=(state, (..., self.state_size)))
        return state[..., : self.hidden]

    @torch.no_grad()
    def foresee(self, state: Numbers) -> Prediction:
        """What M predicts of the step that led to `state` (..., S), without a gradient (that of `predict` has one)."""
        return self.predict(self.h(state))

    def predict(self, h: Numbers) -> Prediction:
        """Read the heads off h_{t+1} (..., H)."""
        (h,) = read(self.z_head.weight, h=(h, (..., self.hidden)))
        reward, end, off_road = self.scalar_head(h).float().unbind(-1)
        return Prediction(mixture.from_raw(self.z_head(h).float(), self.mixtures), reward, end, off_road)


class MDNLSTM(MDNRNN):
    """The paper's M. Its state is h and the cell c: S = 2H."""

    def add_core(self) -> None:
        """See `MDNRNN.add_core`."""
        self.state_size = 2 * self.hidden
        self.lstm = nn.LSTM(self.latent + self.action, self.hidden, batch_first=True)

    def unroll(self, z: Tensor, action: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """See `MDNRNN.unroll`."""
        return _sequence(self.lstm, z, action, state)

    def cell(self, z: Tensor, action: Tensor, state: Tensor) -> Tensor:
        """See `MDNRNN.cell`."""
        return _step(self.lstm, z, action, state)


class MDNReservoir(MDNLSTM):
    """A control: it foresees as an LSTM that learns, while C sees the h of another that never does (Jaeger 2001, *The "echo
    state" approach*). What is lost beside `MDNLSTM` is what a *learned* memory is worth to C. S = 4H, the untrained half first.
    """

    def __init__(self, latent: int, action: int, hidden: int = 256, mixtures: int = 5):
        super().__init__(latent, action, hidden, mixtures)
        self.state_size = 4 * hidden
        self.untrained = nn.LSTM(latent + action, hidden, batch_first=True).requires_grad_(False)

    @torch.no_grad()
    def foresee(self, state: Numbers) -> Prediction:
        """See `MDNRNN.foresee`: of the learned half."""
        (state,) = read(self.z_head.weight, state=(state, (..., self.state_size)))
        return self.predict(state.chunk(2, -1)[1][..., : self.hidden])

    def unroll(self, z: Tensor, action: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """See `MDNRNN.unroll`; h is what learns, not what C sees."""
        untrained, learned = state.chunk(2, -1)
        hs, learned = super().unroll(z, action, learned)
        return hs, torch.cat([_sequence(self.untrained, z, action, untrained)[1], learned], -1)

    def cell(self, z: Tensor, action: Tensor, state: Tensor) -> Tensor:
        """See `MDNRNN.cell`."""
        untrained, learned = state.chunk(2, -1)
        return torch.cat([_step(self.untrained, z, action, untrained), super().cell(z, action, learned)], -1)


class MDNGRU(MDNRNN):
    """M with gated recurrent units (Cho et al. 2014), which need no cell: S = H, and a quarter fewer weights in the core."""

    def add_core(self) -> None:
        """See `MDNRNN.add_core`."""
        self.state_size = self.hidden
        self.gru = nn.GRU(self.latent + self.action, self.hidden, batch_first=True)

    def unroll(self, z: Tensor, action: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """See `MDNRNN.unroll`."""
        hs, h = self.gru(torch.cat([z, action], -1), state.unsqueeze(0).contiguous())
        return hs, h[0]

    def cell(self, z: Tensor, action: Tensor, state: Tensor) -> Tensor:
        """See `MDNRNN.cell`."""
        return torch.gru_cell(torch.cat([z, action], -1), state, *self.gru.all_weights[0])


def _sequence(lstm: nn.LSTM, z: Tensor, action: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """An LSTM goes over z (B, T, Z) and action (B, T, A) from its state [h, c] (B, 2H) -> h (B, T, H), last state."""
    h, c = (part.unsqueeze(0).contiguous() for part in state.chunk(2, -1))
    hs, (h, c) = lstm(torch.cat([z, action], -1), (h, c))
    return hs, torch.cat([h[0], c[0]], -1)


def _step(lstm: nn.LSTM, z: Tensor, action: Tensor, state: Tensor) -> Tensor:
    """One step of an LSTM, by hand: a sequence of one costs several times as much."""
    h, c = state.chunk(2, -1)
    x = torch.cat([z, action, h], -1)
    w_input, w_hidden, b_input, b_hidden = lstm.all_weights[0]  # torch's names: weight_ih_l0, ...
    gates = torch.addmm(b_input + b_hidden, x, torch.cat([w_input, w_hidden], -1).T)
    i, f, g, o = gates.chunk(4, -1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.cat([torch.sigmoid(o) * torch.tanh(c), c], -1)
