"""The published systems that are presets: with the numbers that their texts name, and with what an hour allows of them.

Every `..._IN_AN_HOUR` is its system with smaller amounts. `dreamlap.presets` gives both their names.
"""

from dataclasses import replace

from dreamlap.config.parts import ControllerConfig, DriverConfig, MemoryConfig, TrackConfig, VisionConfig
from dreamlap.config.run import CollectConfig, Config, RoundsConfig, SelectionConfig
from dreamlap.config.training import CMAESConfig, MemoryTraining, PPOConfig, VisionTraining

FROM_SCRATCH = CMAESConfig(first_rollouts=2, sigma=0.5, diagonal=True, weight_decay=0.5)
"""How all weights of a linear C are found. Without the decay they grow until C jumps from lock to lock, and drives slowly."""
FRAME_SKIP = TrackConfig(repeat=4)
"""An action lasts four steps: C is evolved on four times as much of the track."""
RANDOM_WALK = CollectConfig(correlated=1600, autopilot=0, steps=150, random_start=1.0)
"""Drives of a random policy, in an hour's share. They are short, as most such cars have left the road after 150 steps."""


def within_an_hour(full: Config, driven: CollectConfig, vision: int, memory: int, budget: int, mean_rate: float) -> Config:
    """The same system with less: what is driven, how often V and M are updated, and how many steps C is evolved on.

    A generation then has few rollouts and says little. So the search mean goes a part of the way, the shorter the fewer
    candidates there are, and sigma falls over the budget: by itself it falls too soon.
    """
    return replace(
        full,
        collect=driven,
        vision_training=replace(full.vision_training, updates=vision, learning_rate=1e-3, kl_warmup=max(1, vision // 10)),
        memory_training=replace(full.memory_training, updates=memory),
        cmaes=replace(full.cmaes, generations=10_000, budget=budget, final_sigma=0.15, mean_rate=mean_rate),
        workers=2,
    )


def in_dream_of(system: Config, dream: str) -> Config:
    """The same system on the dream of an agent, which goes on from where that agent has driven.

    Its rollouts are short, all around the lap. In long ones the road drifts away from what M has seen, and C learns that.
    """
    cmaes = replace(system.cmaes, steps=240)
    return replace(system, track=replace(system.track, dream=dream), rounds=replace(system.rounds, rounds=0), cmaes=cmaes)


HA2018 = Config(
    track=TrackConfig(size=64, bar=False, actions="stock"),
    collect=CollectConfig(random=10_000, correlated=0, autopilot=0, random_start=0.0),
    vision=VisionConfig(kind="conv", latent=32),
    vision_training=VisionTraining(
        updates=100_000,
        batch=100,
        learning_rate=1e-4,
        bar_weight=1.0,
        car_weight=1.0,
        kl_weight=1.0,
        kl_warmup=1,
        free_bits=0.5,
    ),
    memory=MemoryConfig(hidden=256, mixtures=5),
    memory_training=MemoryTraining(
        updates=2000, batch=100, window=1000, reward_weight=0.0, end_weight=0.0, off_road_weight=0.0
    ),
    controller=ControllerConfig(kind="linear", mind="awake"),
    cmaes=replace(FROM_SCRATCH, generations=1800, population=64, rollouts=16, steps=1000),
    rounds=RoundsConfig(rounds=0, random_start=0.0, reverse=0.0),
    selection=SelectionConfig(candidates=1),
)
HA2018_IN_AN_HOUR = within_an_hour(
    HA2018,
    replace(RANDOM_WALK, correlated=800, steps=300, random_start=0.0),
    vision=2500,
    memory=500,
    budget=6_000_000,
    mean_rate=0.8,
)

NVAE = Config(
    track=FRAME_SKIP,
    collect=CollectConfig(random=10_000, correlated=0, autopilot=0, random_start=0.0),
    vision=VisionConfig(kind="nvae", latent=32),
    vision_training=VisionTraining(updates=100_000, kl_weight=0.01, kl_warmup=30_000),
    memory_training=MemoryTraining(updates=20_000),
    controller=ControllerConfig(kind="linear", mind="awake"),
    cmaes=replace(FROM_SCRATCH, generations=1000, population=4, rollouts=4, target=950.0),
    rounds=RoundsConfig(  # M learns what C drives, and how it leaves the road: else a C exploits that dream
        rounds=1,
        episodes=96,
        steps=1000,
        reverse=0.0,
        noise=(0.0, 1.0),
        memory_updates=2000,
        controller_updates=25,
        decay=1.0,
    ),
    selection=SelectionConfig(candidates=1),
    workers=8,
)
NVAE_IN_AN_HOUR = within_an_hour(NVAE, RANDOM_WALK, vision=2500, memory=1000, budget=7_000_000, mean_rate=0.1)
NVAE_DREAM = in_dream_of(NVAE, "runs/carracing-nvae-full/agent")
NVAE_DREAM_IN_AN_HOUR = in_dream_of(
    replace(NVAE_IN_AN_HOUR, cmaes=replace(NVAE_IN_AN_HOUR.cmaes, budget=3_500_000)), "runs/carracing-nvae/agent"
)

TOY = Config(
    track=TrackConfig(actions="stock"),
    collect=CollectConfig(
        correlated=0, autopilot=20, steps=500, random_start=0.0, driver=DriverConfig(noise=(0.0, 0.2), offset=(0.0, 0.0))
    ),
    vision=VisionConfig(kind="conv", latent=32),
    vision_training=VisionTraining(updates=10_000, batch=100, learning_rate=1e-4, kl_warmup=10_000),
    memory=MemoryConfig(hidden=512, mixtures=5),
    memory_training=MemoryTraining(updates=2000, batch=32, window=100, learning_rate=1e-3, clip=5.0),
    controller=ControllerConfig(kind="linear", mind="dream", smoothing=0.3),
    cmaes=CMAESConfig(
        generations=10,
        population=32,
        rollouts=32,
        steps=50,
        budget=500_000,
        gamma=0.99,
        sigma=0.5,
        final_sigma=0.25,
        mean_rate=0.5,
        diagonal=True,
        weight_decay=0.5,
        leaving_penalty=10.0,
        test_every=10,
    ),
    rounds=RoundsConfig(
        rounds=19,
        episodes=16,
        steps=1000,
        random_start=0.0,
        reverse=0.0,
        patience=100,
        memory_updates=300,
        controller_updates=10,
        decay=0.3,
        penalty_growth=12.0,
    ),
    selection=SelectionConfig(candidates=6, tracks=100),
)
TOY_IN_AN_HOUR = replace(TOY, vision_training=replace(TOY.vision_training, updates=3500, kl_warmup=3500))

RL = Config(
    collect=CollectConfig(correlated=300, autopilot=0, steps=300, random_start=0.9),
    vision=VisionConfig(kind="conv", latent=32),
    vision_training=VisionTraining(updates=1500),
    memory=MemoryConfig(kind="gru"),
    controller=ControllerConfig(state_dependent_std=True),
    ppo=PPOConfig(entropy=0.01, leaving_penalty=0.0, off_road_penalty=2.5),
    rounds=RoundsConfig(rounds=12, vision_updates=150, restart=(4, 8), more=6),
    selection=SelectionConfig(candidates=6, tracks=100),
)
RL_AWAKE = replace(
    RL,
    track=FRAME_SKIP,
    collect=replace(RL.collect, correlated=800, random_start=1.0),
    vision_training=replace(RL.vision_training, updates=2500),
    controller=replace(RL.controller, mind="awake"),
    ppo=PPOConfig(
        updates=200,
        num_envs=24,
        steps=128,
        reset_every=5,
        learning_rate=3e-4,
        minibatch=256,
        entropy=0.003,
        leaving_penalty=5.0,
        off_road_penalty=1.0,
    ),
    rounds=RoundsConfig(episodes=1, memory_updates=0, controller_updates=50, penalty_growth=6.0, random_start=0.3, reverse=0.3),
    selection=SelectionConfig(tracks=100),
)

PYTORCH = Config(
    track=FRAME_SKIP,
    collect=CollectConfig(random=1000, correlated=0, autopilot=0, random_start=1.0),
    vision=VisionConfig(kind="conv", latent=32),
    vision_training=VisionTraining(updates=30_000),
    memory_training=MemoryTraining(updates=10_000),
    controller=ControllerConfig(kind="linear", mind="awake"),
    cmaes=replace(FROM_SCRATCH, generations=300, population=16, rollouts=18),
    rounds=RoundsConfig(rounds=0, reverse=0.0),
    selection=SelectionConfig(candidates=1),
)
PYTORCH_IN_AN_HOUR = within_an_hour(PYTORCH, RANDOM_WALK, vision=2500, memory=1000, budget=8_000_000, mean_rate=0.3)

JK2500 = Config(
    track=TrackConfig(actions="stock", repeat=4),
    collect=CollectConfig(correlated=0, autopilot=0, expert=100, random_start=0.0, driver=DriverConfig(noise=(0.0, 0.0))),
    vision=VisionConfig(kind="conv", latent=1024),
    vision_training=VisionTraining(updates=30_000, likelihood="bce"),
    memory=MemoryConfig(mixtures=5),
    memory_training=MemoryTraining(updates=10_000, batch=32, window=32),
    controller=ControllerConfig(kind="linear", mind="awake", bias=False),
    cmaes=replace(FROM_SCRATCH, generations=300, population=32, rollouts=8),
    rounds=RoundsConfig(rounds=0, reverse=0.0),
    selection=SelectionConfig(candidates=1),
)
JK2500_IN_AN_HOUR = within_an_hour(JK2500, JK2500.collect, vision=2500, memory=1000, budget=8_000_000, mean_rate=0.5)
