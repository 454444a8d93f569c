"""How an actor-critic is trained: proximal policy optimization on [z, h], in whatever mind it is given.

Schulman et al., *Proximal Policy Optimization Algorithms* (2017), eq. 7; advantages by Schulman et al. (2016), eq. 16.

Letters: T steps of a rollout, N minds, B steps of a minibatch.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from dreamlap.agent import Agent
from dreamlap.config.training import PPOConfig
from dreamlap.control import ActorCritic
from dreamlap.control.actor_critic import normal
from dreamlap.device import Autocast
from dreamlap.learn.loop import descend, numbers, run_updates, set_rate, shards
from dreamlap.mind import Dream, DreamConfig, Mind
from dreamlap.mind.shards import cut
from dreamlap.parallel import side_by_side
from dreamlap.protocol import SELECTION_SEEDS
from dreamlap.recorded import Recorded
from dreamlap.run import Stage
from dreamlap.seeds import derive, generator

SHARDS = 2
"""Into how many shards a minibatch, and what is dreamed, is cut, to be worked on side by side: C is small, and half of the time
goes by between its products."""


class Rollout(NamedTuple):
    """T steps of N minds."""

    observation: Tensor  # (T, N, Z + H)
    action: Tensor  # (T, N, A)
    log_prob: Tensor  # (T, N)
    advantage: Tensor  # (T, N)
    target: Tensor  # (T, N), the return that the critic is to predict


def train_ppo(
    stage: Stage,
    controller: ActorCritic,
    minds: Sequence[Mind],
    curriculum: Sequence[PPOConfig],
    seed: int,
    autocast: Autocast,
    previous: Stage | None = None,
) -> None:
    """Train `controller` in place in `minds`, dreaming or awake: the stages of `curriculum`, one after the other. The minds are
    lived in side by side.
    """
    first, firsts = curriculum[0], np.cumsum([0, *(mind.num_envs for mind in minds)]).tolist()
    if first.noise is not None:
        controller.explore(first.noise)
    optimizer = torch.optim.Adam(controller.parameters(), first.learning_rate, eps=1e-5, fused=True)
    updates = [stage_config for stage_config in curriculum for _ in range(stage_config.updates)]
    observations = [torch.empty(0)] * len(minds)
    learner = Learner(controller, minds, optimizer, autocast)

    def update(i: int) -> dict[str, float]:
        config, begins = updates[i], i % first.reset_every == 0
        set_rate(optimizer, config.learning_rate)

        def prepare(part: int) -> Tensor:
            mind = minds[part]
            if begins or not len(observations[part]):  # a training that was lengthened may go on in between
                begin = derive(seed, "mind", i) + firsts[part]
                tracks = [(begin + n) % SELECTION_SEEDS for n in range(mind.num_envs)]  # tracks to train on
                observations[part] = mind.reset(tracks)
            chance = generator(seed, "ppo", i, part, device=mind.device)
            return torch.randn(config.steps, mind.num_envs, mind.action_size, generator=chance, device=mind.device)

        noises, chance = list(side_by_side(prepare, range(len(minds)), minds[0].device)), generator(seed, "ppo", i)
        steps = config.steps * firsts[-1]
        order = torch.stack([torch.randperm(steps, generator=chance) for _ in range(config.epochs)])
        observations[:], told = learner(config, observations, noises, order.to(minds[0].device))
        return numbers(told)

    parts = {"controller": controller, "optimizer": optimizer}
    run_updates(stage, "C learns to drive", len(updates), parts, update, previous, first.reset_every)


def dreams(agent: Agent, count: int, config: DreamConfig) -> list[Dream]:
    """`count` dreams, in shards to be dreamed side by side."""
    return cut(agent, count, config, min(shards(SHARDS, agent.state.device), count))


class Learner:
    """Updates of PPO: C acts in the minds, side by side, and learns from what came of it.

    In a dream on a GPU, a whole update is recorded and replayed: see `dreamlap.recorded`.
    """

    def __init__(self, controller: ActorCritic, minds: Sequence[Mind], optimizer: torch.optim.Optimizer, autocast: Autocast):
        self.controller, self.minds, self.optimizer, self.autocast = controller, minds, optimizer, autocast
        self._recorded: dict[PPOConfig, Recorded[Any]] = {}

    def __call__(
        self, config: PPOConfig, observations: Sequence[Tensor], noises: Sequence[Tensor], order: Tensor
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        """One update. Of each mind: what it sees, (N, Z + H), and the noise of its actions, (T, N, A); `order` (epochs, T N):
        in what order all steps are learned from -> what each mind sees then, and figures ()."""
        mind = self.minds[0]
        if len(self.minds) > 1 or not isinstance(mind, Dream):
            return self.update(config, observations, noises, order)
        if config not in self._recorded:
            self._recorded[config] = Recorded(partial(self._dreamed, config, mind))
        observed, told, mind.present = self._recorded[config](order, noises[0], observations[0], *mind.present)
        return observed, told

    def _dreamed(
        self, config: PPOConfig, mind: Dream, order: Tensor, noise: Tensor, observation: Tensor, *present: Tensor
    ) -> tuple[list[Tensor], dict[str, Tensor], tuple[Tensor, ...]]:
        mind.present = present
        return *self.update(config, [observation], [noise], order), mind.present

    def update(
        self, config: PPOConfig, observations: Sequence[Tensor], noises: Sequence[Tensor], order: Tensor
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        """See `__call__`; nothing is recorded."""

        def live(part: int) -> tuple[Rollout, Tensor, dict[str, Tensor]]:
            with self.autocast():
                return roll_out(self.minds[part], self.controller, observations[part], config, noises[part])

        lived = side_by_side(live, range(len(self.minds)), self.minds[0].device)
        rollouts, observed, told = zip(*lived, strict=True)
        rollout = Rollout(*(torch.cat(parts, 1).flatten(0, 1) for parts in zip(*rollouts, strict=True)))
        figures = {name: torch.cat([part[name] for part in told], 1).mean() for name in told[0]}
        return list(observed), figures | improve(self.controller, self.optimizer, rollout, config, order, self.autocast)


@torch.no_grad()
def roll_out(
    mind: Mind, controller: ActorCritic, observation: Tensor, config: PPOConfig, noise: Tensor
) -> tuple[Rollout, Tensor, dict[str, Tensor]]:
    """Let C act for T steps, with standard normal noise (T, N, A) -> what happened, the observation to go on from, and what
    each step earned (T, N)."""
    seen, means, deviations, actions, steps = [observation], [], [], [], []
    for kick in noise:
        mean, deviation = controller.moments(seen[-1])
        actions.append(mean + deviation * kick)
        step = mind.step(actions[-1])
        seen.append(step.observation)
        means.append(mean)
        deviations.append(deviation)
        steps.append(step)
    value = controller.value(torch.stack(seen))
    reward, off_road = torch.stack([step.reward for step in steps]), torch.stack([step.off_road for step in steps])
    terminated, ended = (torch.stack([s.terminated for s in steps]), torch.stack([s.terminated | s.truncated for s in steps]))
    final, following = torch.stack([step.final_observation for step in steps]), value[1:].clone()
    if ended.device.type != "cpu":  # to ask which ones ended would take longer than to look at all
        following = torch.where(ended, controller.value(final), following)
    elif ended.any():
        following[ended] = controller.value(final[ended])
    following = following.masked_fill(terminated, 0.0)
    leaving = newly(off_road, ended)
    objective = config.reward_scale * (reward - config.off_road_penalty * off_road - config.leaving_penalty * leaving)
    advantage = advantages(objective, value[:-1], following, ended, config.gamma, config.lam)
    action = torch.stack(actions)
    log_prob = normal(torch.stack(means), torch.stack(deviations)).log_prob(action)
    observation, kind = torch.stack(seen[:-1]), value.device.type
    if torch.is_autocast_enabled(kind):  # products would make it so each time
        observation = observation.to(torch.get_autocast_dtype(kind))
    rollout = Rollout(observation, action, log_prob, advantage, advantage + value[:-1])
    return rollout, seen[-1], {"reward": reward, "off_road": off_road}


def newly(off_road: Tensor, ended: Tensor) -> Tensor:
    """How far the car leaves the road in each step, (T, N): how far off it is now, as far as it was on the road a step before.

    The first step of an episode, and of the rollout, has nothing before it: it counts as if the car had been there already.
    """
    before = torch.cat([off_road[:1], torch.where(ended[:-1], off_road[1:], off_road[:-1])])
    return off_road * (1 - before)


def advantages(reward: Tensor, value: Tensor, next_value: Tensor, ended: Tensor, gamma: float, lam: float) -> Tensor:
    """Generalized advantage estimates, all (T, N).

    A_t = delta_t + gamma lam (1 - ended_t) A_{t+1},  delta_t = r_t + gamma V(s_{t+1}) - V(s_t)

    `next_value` is V of the state that step t led to (before an auto-reset), and 0 if that state was terminal.
    """
    delta = reward + gamma * next_value - value
    result, following = torch.empty_like(delta), torch.zeros_like(delta[0])
    for t in range(len(delta) - 1, -1, -1):
        following = delta[t] + gamma * lam * following.masked_fill(ended[t], 0.0)
        result[t] = following
    return result


def improve(
    controller: ActorCritic,
    optimizer: torch.optim.Optimizer,
    rollout: Rollout,
    config: PPOConfig,
    order: Tensor,
    autocast: Autocast,
) -> dict[str, Tensor]:
    """Learn from a rollout (T N, ...) in minibatches, in the given order (epochs, T N) -> the losses of the last pass,
    averaged."""
    parameters, told = list(controller.parameters()), list[dict[str, Tensor]]()
    parts = shards(SHARDS, rollout.target.device)
    for shuffled in order:
        told = []
        for chosen in shuffled.split(config.minibatch):
            advantage = rollout.advantage[chosen]
            advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)

            def loss(shard: int, chosen: Tensor = chosen, advantage: Tensor = advantage) -> tuple[Tensor, dict[str, Tensor]]:
                rows = chosen[shard::parts]
                batch = Rollout(*(part.index_select(0, rows) for part in rollout))._replace(advantage=advantage[shard::parts])
                share = len(rows) / len(chosen)
                with autocast():
                    whole, figures = ppo_loss(controller, batch, config)
                return share * whole, {name: share * value for name, value in figures.items()}

            told.append(descend(loss, parts, parameters, optimizer, 0.5))
    return {name: torch.stack([figures[name] for figures in told]).mean() for name in told[0] if name != "gradient"}


def ppo_loss(controller: ActorCritic, batch: Rollout, config: PPOConfig) -> tuple[Tensor, dict[str, Tensor]]:
    """The clipped surrogate (eq. 7) with the critic's error and an entropy bonus, of B steps with normalised advantages ->
    loss, its parts and the KL divergence from the policy that acted."""
    policy = controller.policy(batch.observation)
    log_ratio = policy.log_prob(batch.action) - batch.log_prob
    ratio = log_ratio.exp()
    clipped = ratio.clamp(1 - config.clip, 1 + config.clip)
    policy_loss = -torch.minimum(ratio * batch.advantage, clipped * batch.advantage).mean()
    value_loss = 0.5 * (controller.value(batch.observation) - batch.target).square().mean()
    entropy = policy.entropy().mean()
    loss = policy_loss + 0.5 * value_loss - config.entropy * entropy
    kl = ((ratio - 1) - log_ratio).mean()
    return loss, {"policy_loss": policy_loss, "value_loss": value_loss, "entropy": entropy, "kl": kl}
