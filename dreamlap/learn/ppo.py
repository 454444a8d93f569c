"""How an actor-critic is trained: proximal policy optimization on [z, h], in whatever mind it is given.

Schulman et al., *Proximal Policy Optimization Algorithms* (2017), eq. 7; advantages by Schulman et al. (2016), eq. 16.

Letters: T steps of a rollout, N minds.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, NamedTuple

import torch
from torch import Tensor

from dreamlap.control import ActorCritic
from dreamlap.errors import Refused
from dreamlap.learn.loop import descend, run_updates, set_rate
from dreamlap.mind.interface import Mind
from dreamlap.run import Stage
from dreamlap.seeds import SELECTION_SEEDS, derive, generator
from dreamlap.settings import SHARE, SIZE, above, count, least, settings
from dreamlap.track.config import LIMIT


@settings
class PPOConfig:
    """How PPO trains C."""

    updates: Annotated[int, least(1)] = count(25, least=1)
    """Rounds of rolling out and learning from it."""
    minds: Annotated[int, SIZE] = 512
    """Minds side by side (dreams, or tracks when awake)."""
    steps: Annotated[int, SIZE] = 50
    """Steps of each mind an update."""
    reset_every: Annotated[int, least(1)] = 2
    """Updates after which all minds begin anew; checkpoints fall there, so a resumed run meets the same minds."""
    learning_rate: Annotated[float, above(0)] = 5e-4
    """Of Adam."""
    gamma: Annotated[float, SHARE] = 0.99
    """Discount a step."""
    lam: Annotated[float, SHARE] = 0.95
    """Lambda of the generalized advantage estimate."""
    clip: Annotated[float, above(0)] = 0.2
    """How far the policy's ratio may move before its gain is clipped."""
    epochs: Annotated[int, least(1)] = 5
    """Passes over what was rolled out."""
    minibatch: Annotated[int, least(2)] = 2048
    """Steps a gradient step."""
    entropy: Annotated[float, least(0)] = 1e-3
    """Weight of the entropy bonus; through the rounds it falls as the learning rate does."""
    off_road_price: Annotated[float, least(0)] = 16.0
    """What a step wholly off the road costs C while it learns (never in a score): missing one tile costs the lap."""
    noise: Annotated[float | None, above(0)] = None
    """Standard deviation of the exploring noise that C begins with; none: as C brings it along, 0.37 if it is a fresh one."""
    limit: Annotated[int, least(1, LIMIT)] = 1000
    """The most steps of an episode when awake: after the lap nothing is left to earn, which a critic cannot see coming."""
    reward_scale: Annotated[float, above(0)] = 0.1
    """Rewards are multiplied by this, so that returns have the size of a network's outputs."""

    def __post_init__(self) -> None:
        """Refuse a minibatch of a single step: its advantage cannot be normalised."""
        if self.minds * self.steps % self.minibatch == 1:
            raise Refused(
                f"--ppo.minibatch {self.minibatch}: of {self.minds} x {self.steps} steps (--ppo.minds, --ppo.steps) one is "
                f"left over. Use --ppo.minibatch {self.minds * self.steps + 1}, or another --ppo.steps"
            )

    def at(self, share: float, **other: Any) -> "PPOConfig":
        """The same with a share of the learning rate and of the bonus on entropy, and with `other` settings."""
        return replace(self, learning_rate=self.learning_rate * share, entropy=self.entropy * share, **other)


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
    mind: Mind,
    course: Sequence[PPOConfig],
    seed: int,
    previous: Stage | None = None,
) -> None:
    """Train `controller` in place in `mind`, dreaming or awake: the lessons of `course`, one after the other."""
    first = course[0]
    if first.noise is not None:
        controller.explore(first.noise)
    optimizer = torch.optim.Adam(controller.parameters(), first.learning_rate, eps=1e-5)
    lessons = [lesson for lesson in course for _ in range(lesson.updates)]
    observation = torch.empty(0)

    def update(i: int) -> dict[str, float]:
        nonlocal observation
        config = lessons[i]
        set_rate(optimizer, config.learning_rate)
        if i % first.reset_every == 0 or not len(observation):  # a training that was lengthened may go on in between
            track = derive(seed, "mind", i)
            observation = mind.reset([(track + n) % SELECTION_SEEDS for n in range(mind.num_envs)])  # tracks to train on
        chance = generator(seed, "ppo", i, device=observation.device)
        rollout, observation, metrics = roll_out(mind, controller, observation, config, chance)
        return metrics | improve(controller, optimizer, rollout, config, chance)

    parts = {"controller": controller, "optimizer": optimizer}
    run_updates(stage, "C learns to drive", len(lessons), parts, update, previous, first.reset_every)


@torch.no_grad()
def roll_out(
    mind: Mind, controller: ActorCritic, observation: Tensor, config: PPOConfig, chance: torch.Generator
) -> tuple[Rollout, Tensor, dict[str, float]]:
    """Let C act for T steps -> what happened, the observation to go on from, and what it earned a step."""
    seen, actions, log_probs, values, objectives, ended, bootstraps, rewards, off_road = ([] for _ in range(9))
    for _ in range(config.steps):
        policy = controller.policy(observation)
        noise = torch.randn(policy.mean.shape, generator=chance, device=observation.device)
        action = policy.mean + policy.stddev * noise
        seen.append(observation)
        actions.append(action)
        log_probs.append(policy.log_prob(action))
        values.append(controller.value(observation))
        step = mind.step(action)
        observation = step.observation
        rewards.append(step.reward)
        off_road.append(step.off_road)
        objectives.append(config.reward_scale * (step.reward - config.off_road_price * step.off_road))
        ended.append(step.terminated | step.truncated)
        bootstraps.append(torch.where(step.terminated, 0.0, controller.value(step.final_observation)))
    value = torch.stack(values)
    following, over = torch.stack(bootstraps), torch.stack(ended)
    advantage = advantages(torch.stack(objectives), value, following, over, config.gamma, config.lam)
    target = advantage + value
    rollout = Rollout(torch.stack(seen), torch.stack(actions), torch.stack(log_probs), advantage, target)
    metrics = {"reward": torch.stack(rewards).mean().item(), "off_road": torch.stack(off_road).mean().item()}
    return rollout, observation, metrics


def advantages(reward: Tensor, value: Tensor, next_value: Tensor, ended: Tensor, gamma: float, lam: float) -> Tensor:
    """Generalized advantage estimates, all (T, N).

    A_t = delta_t + gamma lam (1 - ended_t) A_{t+1},  delta_t = r_t + gamma V(s_{t+1}) - V(s_t)

    `next_value` is V of the state that step t led to (before an auto-reset), and 0 if that state was terminal.
    """
    delta = reward + gamma * next_value - value
    result, following = torch.empty_like(delta), torch.zeros_like(delta[0])
    for t in range(len(delta) - 1, -1, -1):
        following = delta[t] + gamma * lam * torch.where(ended[t], 0.0, following)
        result[t] = following
    return result


def improve(
    controller: ActorCritic, optimizer: torch.optim.Optimizer, rollout: Rollout, config: PPOConfig, chance: torch.Generator
) -> dict[str, float]:
    """Learn from a rollout in shuffled minibatches -> the losses of the last pass, averaged."""
    flat = Rollout(*(part.flatten(0, 1) for part in rollout))
    total = len(flat.target)
    metrics: list[Tensor] = []
    for _ in range(config.epochs):
        order = torch.randperm(total, generator=chance, device=chance.device)
        metrics = []
        for chosen in order.split(config.minibatch):
            loss, parts = ppo_loss(controller, Rollout(*(part[chosen] for part in flat)), config)
            descend(loss, optimizer, controller.parameters(), 0.5)
            metrics.append(parts)
    policy_loss, value_loss, entropy, kl = torch.stack(metrics).mean(0).tolist()
    return {"policy_loss": policy_loss, "value_loss": value_loss, "entropy": entropy, "kl": kl}


def ppo_loss(controller: ActorCritic, batch: Rollout, config: PPOConfig) -> tuple[Tensor, Tensor]:
    """The clipped surrogate (eq. 7) with the critic's error and an entropy bonus -> loss, (policy, value, entropy, KL)."""
    policy = controller.policy(batch.observation)
    log_ratio = policy.log_prob(batch.action) - batch.log_prob
    ratio = log_ratio.exp()
    advantage = (batch.advantage - batch.advantage.mean()) / (batch.advantage.std() + 1e-8)
    clipped = ratio.clamp(1 - config.clip, 1 + config.clip)
    policy_loss = -torch.minimum(ratio * advantage, clipped * advantage).mean()
    value_loss = 0.5 * (controller.value(batch.observation) - batch.target).square().mean()
    entropy = policy.entropy().mean()
    loss = policy_loss + 0.5 * value_loss - config.entropy * entropy
    kl = ((ratio - 1) - log_ratio).mean()
    return loss, torch.stack([policy_loss, value_loss, entropy, kl]).detach()
