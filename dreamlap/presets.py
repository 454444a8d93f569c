"""Named configurations: every number of a run in one place. A preset is a `Config` with other numbers."""

from dataclasses import replace
from typing import NamedTuple

from dreamlap.config.parts import ControllerConfig, DriverConfig, MemoryConfig, TrackConfig, VisionConfig
from dreamlap.config.run import CollectConfig, Config, RestartConfig, RoundsConfig, SelectionConfig
from dreamlap.config.training import CMAESConfig, MemoryTraining, PPOConfig, VisionTraining
from dreamlap.errors import Refused

CHAMPION = Config(
    controller=ControllerConfig(state_dependent_std=True),
    memory_training=MemoryTraining(off_road_weight=16.0),
    ppo=PPOConfig(entropy=0.01),
    rounds=RoundsConfig(rounds=12, episodes=32, memory_updates=170, controller_updates=10, penalty_growth=4.0, restart=(4, 9)),
    selection=SelectionConfig(candidates=6, tracks=100),
)
DEMO = replace(
    CHAMPION,
    vision_training=replace(CHAMPION.vision_training, updates=1500),
    memory_training=replace(CHAMPION.memory_training, updates=600),
    rounds=replace(CHAMPION.rounds, rounds=9, restart=(3, 6), restart_updates=12, more=6),
)
UNPRIVILEGED = replace(
    CHAMPION,
    collect=replace(CHAMPION.collect, correlated=300, autopilot=0, steps=300, random_start=0.9),
    vision_training=replace(CHAMPION.vision_training, updates=1500),
    memory_training=MemoryTraining(),
    ppo=replace(CHAMPION.ppo, leaving_penalty=0.0, off_road_penalty=2.5),
    rounds=RoundsConfig(vision_updates=250),
    restarts=RestartConfig(controllers=4),
    selection=SelectionConfig(candidates=5, tracks=100),
)
GROWN = replace(  # V and M of the champion, as they are
    CHAMPION,
    collect=replace(CHAMPION.collect, correlated=0, autopilot=0, expert=2, steps=300),
    vision_training=replace(CHAMPION.vision_training, updates=0),
    memory_training=replace(CHAMPION.memory_training, updates=0),
    start="champion",
)
TUNED = replace(
    GROWN,
    controller=ControllerConfig(mind="awake"),
    ppo=PPOConfig(
        updates=40,
        num_envs=32,
        steps=128,
        reset_every=20,
        learning_rate=1e-4,
        epochs=3,
        entropy=0.0,
        leaving_penalty=0.0,
        off_road_penalty=24.0,
        noise=0.12,
        limit=400,
    ),
    rounds=RoundsConfig(episodes=1, memory_updates=0, controller_updates=40),
    selection=SelectionConfig(tracks=100),
)
LINEAR = replace(
    GROWN,
    collect=replace(GROWN.collect, expert=48, reverse=0.3),
    controller=ControllerConfig(kind="linear"),
    cmaes=CMAESConfig(generations=80, population=24, rollouts=64, steps=120, sigma=0.005, directions=48, off_road_penalty=32.0),
    rounds=replace(CHAMPION.rounds, rounds=0),
    selection=SelectionConfig(candidates=1),
)

FROM_SCRATCH = CMAESConfig(first_rollouts=2, sigma=0.5, diagonal=True, weight_decay=0.5)
"""How all weights of a linear C are found. Without the decay they grow until C jumps from lock to lock, and drives slowly."""
CALM = TrackConfig(repeat=4)
"""An action lasts four steps: C is evolved on four times as much of the track."""


def within_an_hour(full: Config, driven: CollectConfig, vision: int, memory: int, budget: int) -> Config:
    """The same system with less: what is driven, how often V and M are updated, and how many steps C is evolved on."""
    return replace(
        full,
        collect=driven,
        vision_training=replace(full.vision_training, updates=vision, learning_rate=1e-3, kl_warmup=max(1, vision // 10)),
        memory_training=replace(full.memory_training, updates=memory),
        cmaes=replace(full.cmaes, generations=2000, budget=budget),
        workers=2,
    )


def grown_in(system: Config, dream: str) -> Config:
    """The same system on the dream of an agent, which goes on from where that agent has driven."""
    return replace(system, track=replace(system.track, dream=dream), rounds=replace(system.rounds, rounds=0))


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

WANDERED = CollectConfig(correlated=1600, autopilot=0, steps=150, random_start=1.0)
"""Drives of a random policy, in an hour's share. They are short, as most such cars have left the road after 150 steps."""

NVAE = Config(
    track=CALM,
    collect=CollectConfig(random=10_000, correlated=0, autopilot=0, random_start=0.0),
    vision=VisionConfig(kind="nvae", latent=32),
    vision_training=VisionTraining(updates=100_000, kl_weight=0.01, kl_warmup=30_000),
    memory_training=MemoryTraining(updates=20_000),
    controller=ControllerConfig(kind="linear", mind="awake"),
    cmaes=replace(FROM_SCRATCH, generations=1000, population=4, rollouts=4, target=950.0),
    rounds=RoundsConfig(rounds=1, episodes=16, reverse=0.0, memory_updates=0, controller_updates=1),
    selection=SelectionConfig(candidates=1),
    workers=8,
)

NVAE_IN_AN_HOUR = within_an_hour(NVAE, WANDERED, vision=2500, memory=1000, budget=6_000_000)

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
        sigma=0.1,
        diagonal=True,
        weight_decay=0.1,
        leaving_penalty=20.0,
        test_every=10,
    ),
    rounds=RoundsConfig(rounds=19, episodes=16, reverse=0.0, memory_updates=100, controller_updates=10),
    selection=SelectionConfig(candidates=6, tracks=100),
)

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
    track=CALM,
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
    track=CALM,
    collect=CollectConfig(random=1000, correlated=0, autopilot=0, random_start=1.0),
    vision=VisionConfig(kind="conv", latent=32),
    vision_training=VisionTraining(updates=30_000),
    memory_training=MemoryTraining(updates=10_000),
    controller=ControllerConfig(kind="linear", mind="awake"),
    cmaes=replace(FROM_SCRATCH, generations=300, population=16, rollouts=18),
    rounds=RoundsConfig(rounds=0, reverse=0.0),
    selection=SelectionConfig(candidates=1),
)

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

DEBUG = Config(
    collect=CollectConfig(random=1, correlated=1, autopilot=2, steps=120),
    vision_training=VisionTraining(updates=40, batch=32, kl_warmup=10),
    memory=MemoryConfig(hidden=64),
    memory_training=MemoryTraining(updates=40, batch=16, window=32),
    ppo=PPOConfig(updates=4, num_envs=64, steps=25),
    rounds=RoundsConfig(rounds=1, episodes=2, steps=120, memory_updates=20, controller_updates=4),
    selection=SelectionConfig(candidates=2, tracks=2, scored=2, check_steps=120),
)


class Preset(NamedTuple):
    """A configuration with a name."""

    about: str
    """What it is, in a line."""
    config: Config
    source: str
    """The text that it comes from: see docs/presets.md."""
    title: str = ""
    """What it is, in 30 characters."""
    time: str = ""
    """What it took on two cores; empty where nobody measured it at full size."""
    score: str = ""
    """Mean return in the real environment, from the files in scores/; * if an older recipe made it."""
    full: Config | None = None
    """With the amounts of its text (`--full`), if `config` has smaller ones, to be done on a laptop within the hour."""


FAST = ("a driving car, soon", "8 min", "929")
"""Title, time and score of `demo` and `sprint`."""

PRESETS: dict[str, Preset] = {
    "demo": Preset("a car that learned in its dream, in eight minutes on two cores", DEMO, "our own", *FAST),
    "sprint": Preset("the demo by its other name: above 900 as soon as possible", DEMO, "our own", *FAST),
    "champion": Preset(
        "the demo with more rounds: the best score from the dream alone",
        CHAMPION,
        "our own",
        "the demo with more rounds",
        "31 min",
        "927*",
    ),
    "unprivileged": Preset(
        "the same without the autopilot: V and M saw random-walk drivers, then the agent itself; at the end C restarts",
        UNPRIVILEGED,
        "our own",
        "no driver that knows the track",
        "78 min",
        "911",
    ),
    "champion-tuned": Preset(
        "the champion, fine-tuned in the real environment: not from the dream alone any more",
        TUNED,
        "our own",
        "champion's C learns on track",
        "48 min",
        "931",
    ),
    "linear": Preset(
        "the champion with the paper's C: one matrix, first distilled from the champion's, then by CMA-ES in its dream",
        LINEAR,
        "our own",
        "champion, and the paper's C",
        "6 min",
        "926",
    ),
    "debug": Preset(
        "a smoke test: everything, as small as it gets, to see that it runs; the car does not learn to drive",
        DEBUG,
        "our own",
        "a smoke test: it runs, no more",
        "1 min",
    ),
    "ha2018": Preset(
        "the paper's system: random rollouts, ConvVAE, MDN-LSTM, linear C by CMA-ES on the track; --full: to the letter",
        within_an_hour(
            HA2018, replace(WANDERED, correlated=800, steps=300, random_start=0.0), vision=2500, memory=500, budget=7_000_000
        ),
        "Ha & Schmidhuber 2018",
        "the paper's system",
        full=HA2018,
    ),
    "carracing-nvae": Preset(
        "random rollouts, NVAE, MDN-LSTM, linear C by CMA-ES on the track",
        NVAE_IN_AN_HOUR,
        "carracing_nvae",
        "NVAE",
        full=NVAE,
    ),
    "carracing-nvae-dream": Preset(
        "the dream of carracing-nvae as a track of its own: V, M and C grow up on what is driven in it",
        grown_in(NVAE_IN_AN_HOUR, "runs/carracing-nvae/agent"),
        "carracing_nvae",
        "drives in that one's dream",
        full=grown_in(NVAE, "runs/carracing-nvae-full/agent"),
    ),
    "world-model-toy": Preset(
        "20 episodes that a person drove (--data), LSTM 512, linear C evolved in the dream, smoothed when it drives",
        replace(TOY, vision_training=replace(TOY.vision_training, updates=6000, kl_warmup=6000)),
        "world_model_toy",
        "a person drives (--data)",
        full=TOY,
    ),
    "rl-world-models": Preset("ConvVAE, GRU, an actor-critic by PPO in the dream", RL, "rl_world_models", "ConvVAE, GRU"),
    "rl-world-models-awake": Preset(
        "the same, with PPO on the real track",
        RL_AWAKE,
        "rl_world_models",
        "the same on the real track",
    ),
    "world-models-pytorch": Preset(
        "random rollouts from random tiles, ConvVAE, MDN-LSTM, linear C by CMA-ES on the track",
        within_an_hour(PYTORCH, WANDERED, vision=2500, memory=1000, budget=8_000_000),
        "world_models_pytorch",
        "ConvVAE, MDN-LSTM",
        full=PYTORCH,
    ),
    "jk2500": Preset(
        "data of a PPO expert (dreamlap train expert), V with 1,024 numbers and BCE, linear C of 3,840 weights by CMA-ES",
        within_an_hour(JK2500, JK2500.collect, vision=2500, memory=1000, budget=8_000_000),
        "jk2500",
        "expert drives, 1,024 latents",
        full=JK2500,
    ),
}
"""Name -> preset."""


def settings_of(name: str, full: bool = False) -> Config:
    """The settings of a preset; with `full`, the amounts that its text names.

    Raises:
        Refused: there are no others than its own.
    """
    preset = PRESETS[name]
    if full and preset.full is None:
        both = ", ".join(each for each, other in PRESETS.items() if other.full)
        raise Refused(f"--full: {name} has one size, its full one. Two sizes have {both}")
    return preset.full if full and preset.full else preset.config
