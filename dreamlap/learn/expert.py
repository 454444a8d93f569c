"""How an expert is trained: by Stable-Baselines3's PPO, on the frames of the fast track.

Raffin et al., *Stable-Baselines3* (2021). Its own callbacks for checkpoints and evaluation are not used: they keep
models as pickles, and resume neither the chance nor the tracks. `run_updates` does, and the expert is judged as it will drive.
"""

import math
from collections.abc import Callable, Mapping

import torch
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.utils import set_random_seed
from stable_baselines3.common.vec_env import DummyVecEnv
from torch import Tensor, nn

from dreamlap.config.training import ExpertConfig
from dreamlap.expert import Expert, Eyes, Reflex, ReflexConfig
from dreamlap.learn.loop import half_cosine, run_updates
from dreamlap.learn.practice import Practice
from dreamlap.run import Stage
from dreamlap.seeds import derive


class Extractor(BaseFeaturesExtractor):
    """An expert's eyes, as Stable-Baselines3 wants them."""

    def __init__(self, observation_space: spaces.Box, config: ReflexConfig):
        super().__init__(observation_space, config.features)
        self.eyes = Eyes(config)

    def forward(self, observations: Tensor) -> Tensor:
        """Frames (B, K, S, S) in [0, 1] -> features (B, F)."""
        return self.eyes(observations)


def train_expert(stage: Stage, config: ExpertConfig, device: torch.device, judge: Callable[[Expert, int], float]) -> Expert:
    """Train an expert by PPO -> as it is at the end. `judge` scores it after some updates, of which it is told the number."""
    rate, every = config.learning_rate, -(-config.updates // config.evaluations)
    tracks = DummyVecEnv([lambda: Practice(config.reflex, config.practice)] * config.tracks)
    set_random_seed(derive(config.seed, "weights") % 2**32)
    model = build_ppo(config, tracks, lambda _: rate, device)
    expert = expert_of(model, config.reflex)

    def update(i: int) -> dict[str, float]:
        nonlocal rate
        rate = config.learning_rate * half_cosine(i / config.updates)
        restart = i % config.reset_every == 0
        set_random_seed(derive(config.seed, "update", i) % 2**32)  # Stable-Baselines3 draws from the global generators
        if restart:
            tracks.seed(derive(config.seed, "tracks", i) % 2**31)
        model.learn(config.tracks * config.steps, reset_num_timesteps=restart, log_interval=2)  # an update is one: never
        due = (i + 1) % every == 0 or i + 1 == config.updates
        return learned(model) | ({"score": judge(expert, i + 1)} if due else {})

    def good_enough(metrics: Mapping[str, float]) -> bool:
        return metrics.get("score", -math.inf) >= config.threshold

    parts = {"policy": model.policy, "optimizer": model.policy.optimizer}
    run_updates(stage, "the expert practises", config.updates, parts, update, multiple=config.reset_every, enough=good_enough)
    tracks.close()
    return expert


def build_ppo(config: ExpertConfig, tracks: DummyVecEnv, rate: Callable[[float], float], device: torch.device) -> PPO:
    """Stable-Baselines3's PPO with the expert's network."""
    model = PPO(
        "CnnPolicy",
        tracks,
        learning_rate=rate,
        n_steps=config.steps,
        batch_size=config.minibatch,
        n_epochs=config.epochs,
        gamma=config.gamma,
        gae_lambda=config.lam,
        clip_range=config.clip,
        target_kl=config.most_kl,
        policy_kwargs={
            "features_extractor_class": Extractor,
            "features_extractor_kwargs": {"config": config.reflex},
            "net_arch": [],
            "log_std_init": config.log_std,
        },
        device=device,
    )
    model.set_logger(Logger(None, []))
    return model


def expert_of(model: PPO, config: ReflexConfig) -> Expert:
    """The expert that drives by the model's own layers: it learns as they do."""
    extractor, actor = model.policy.features_extractor, model.policy.action_net
    assert isinstance(extractor, Extractor)
    assert isinstance(actor, nn.Linear)
    return Expert(config, Reflex(extractor.eyes, actor))


def learned(model: PPO) -> dict[str, float]:
    """What came of the last update: the mean reward of a decision, as practised (`PracticeConfig`), and PPO's own figures."""
    said = model.logger.name_to_value
    names = {"policy_gradient_loss": "policy_loss", "value_loss": "value_loss", "approx_kl": "kl", "std": "std"}
    earned = {"reward": float(model.rollout_buffer.rewards.mean())}
    return earned | {new: float(said[f"train/{old}"]) for old, new in names.items()}
