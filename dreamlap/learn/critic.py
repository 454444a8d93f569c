"""A critic for CMA-ES: what is still to be earned when a dream is cut off.

M invents what lies beyond the frame that a dream began with, and is soon optimistic: so dreams are short. But what a short
dream earns says nothing of the bend after it, and the car that is too fast for it looks best. PPO has a critic for this. So
can an evolution: the critic learns from what candidates dream, and what it expects at the end of a dream counts for them. Its
targets are those of Schulman et al. (2016), eq. 16.

Letters: T steps, N rollouts, I inputs.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dreamlap.control.actor_critic import CRITIC, network
from dreamlap.learn.ppo import advantages
from dreamlap.mind.interface import Step
from dreamlap.seeds import generator

LAMBDA = 0.95
"""Of the targets: how much of them is what was earned, and how little the critic's own estimate."""
RATE, MINIBATCH, PASSES = 5e-4, 2048, 4
"""Learning rate of Adam, steps of a minibatch, and passes over what a generation dreamed."""
SCALE = 0.1
"""What returns are multiplied by, to have the size of a network's outputs."""


class Trace(NamedTuple):
    """What N rollouts saw and earned."""

    seen: Tensor  # (T, N, I), before each step
    gain: Tensor  # (T, N), what counts of it
    on: Tensor  # (T, N) bool, whether the step counts: not after the rollout's end
    ended: Tensor  # (T, N) bool
    after: Tensor  # (T, N), the critic's estimate where the rollout was cut off; 0 where nothing comes after its end


class Critic:
    """It estimates the discounted return from [z, h]."""

    def __init__(self, inputs: int, gamma: float, seed: int, device: torch.device):
        self.gamma, self.seed, self.lessons = gamma, seed, 0
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed % 2**63)
            self.network = network(inputs, CRITIC, 1, gain=1.0).to(device)
        self.optimizer = torch.optim.Adam(self.network.parameters(), RATE, eps=1e-5)

    @torch.no_grad()
    def value(self, observation: Tensor) -> Tensor:
        """[z, h] (..., I) -> (...). It knows nothing before its first lesson, and says 0."""
        if not self.lessons:
            return observation.new_zeros(observation.shape[:-1])
        with torch.autocast(observation.device.type, enabled=False):  # it decides between candidates that differ little
            return self.network(observation.float()).squeeze(-1) / SCALE

    def learn(self, trace: Trace) -> None:
        """Learn from what a generation dreamed."""
        value = self.value(trace.seen)
        following = torch.where(trace.ended, trace.after, torch.cat([value[1:], value[-1:]]))
        target = value + advantages(trace.gain, value, following, trace.ended, self.gamma, LAMBDA)
        seen, target = trace.seen[trace.on], SCALE * target[trace.on]
        chance = generator(self.seed, "critic", self.lessons)
        for _ in range(PASSES):
            for rows in torch.randperm(len(seen), generator=chance).to(seen.device).split(MINIBATCH):
                error = (self.network(seen[rows]).squeeze(-1) - target[rows]).square().mean()
                self.optimizer.zero_grad()
                (0.5 * error).backward()
                torch.nn.utils.clip_grad_norm_(self.network.parameters(), 0.5)
                self.optimizer.step()
        self.lessons += 1

    def state_dict(self) -> dict[str, Any]:
        """All that a checkpoint keeps."""
        return {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict(), "lessons": self.lessons}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.lessons = state["lessons"]


class Tracer:
    """Keeps what the first rollouts see and earn, for a critic; and asks it where a rollout is cut off."""

    def __init__(self, critic: Critic, count: int):
        self.critic, self.count, self.steps = critic, count, list[Trace]()

    def follow(self, rows: Tensor, seen: Tensor, step: Step, gain: Tensor, over: Tensor, rollouts: int) -> Tensor:
        """One step of some rollouts `rows` (N,), of `rollouts` in all -> what comes after it, (N,): the critic's estimate
        where the clock ended a rollout. `over` (N,): it ended."""
        after = torch.where(step.truncated, self.critic.value(step.final_observation), 0.0)
        here, count = rows < self.count, min(self.count, rollouts)
        at = rows[here]

        def spread(part: Tensor) -> Tensor:
            return part.new_zeros(count, *part.shape[1:]).index_copy(0, at, part[here])

        on = torch.ones_like(over)
        self.steps.append(Trace(*map(spread, (seen, gain, on, over, after))))
        return after

    @property
    def trace(self) -> Trace:
        """All steps."""
        return Trace(*map(torch.stack, zip(*self.steps, strict=True)))


def joined(traces: Sequence[Trace]) -> Trace:
    """The rollouts of several traces as those of one; the shorter ones have ended."""
    steps = max(len(trace.gain) for trace in traces)

    def lengthened(part: Tensor) -> Tensor:
        return torch.cat([part, part.new_zeros(steps - len(part), *part.shape[1:])])

    return Trace(*(torch.cat([lengthened(part) for part in parts], 1) for parts in zip(*traces, strict=True)))
