"""Named configurations. A preset is a `Config` with other numbers: ours are here, those of others in `dreamlap.systems`."""

from dataclasses import replace
from typing import NamedTuple

from dreamlap import systems
from dreamlap.config.parts import ControllerConfig, MemoryConfig, TrackConfig
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
QUICK = replace(
    DEMO,
    collect=replace(CHAMPION.collect, correlated=4, autopilot=44, steps=300),
    vision_training=replace(CHAMPION.vision_training, updates=500, kl_warmup=150),
    memory_training=replace(CHAMPION.memory_training, updates=350),
    rounds=RoundsConfig(rounds=5, episodes=16, random_start=0.0, reverse=0.0, memory_updates=80, controller_updates=14),
    selection=SelectionConfig(candidates=1),
)
FRUGAL = replace(
    DEMO,
    collect=replace(DEMO.collect, autopilot=13, correlated=1),
    rounds=replace(DEMO.rounds, episodes=4, more=0),  # rounds that are added would be driven, too
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
LINEAR_FROM_SCRATCH = replace(
    DEMO,
    track=TrackConfig(actions="stock"),
    controller=replace(DEMO.controller, widths=()),
    rounds=replace(DEMO.rounds, restart=(3, 6, 7, 8, 9), restart_updates=36),  # a matrix from scratch is a matter of luck
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

    @property
    def published(self) -> bool:
        """Whether it is a system that others published."""
        return self.source != "our own"


FAST = ("a driving car, soon", "8 min", "929")
"""Title, time and score of `demo` and `sprint`."""

PRESETS: dict[str, Preset] = {
    "demo": Preset("a car that learned in its dream, in eight minutes on two cores", DEMO, "our own", *FAST),
    "sprint": Preset("the demo by its other name: above 900 as soon as possible", DEMO, "our own", *FAST),
    "quick": Preset(
        "the demo with a fifth of its real steps: a car that drives after two minutes",
        QUICK,
        "our own",
        "a car that drives, at once",
        "2 min",
        "725",
    ),
    "frugal": Preset(
        "the demo with an eighth of its driving: 25,000 real steps, as many updates of V, M and C",
        FRUGAL,
        "our own",
        "the demo, 25,000 real steps",
        score="911",
    ),
    "champion": Preset(
        "the demo with more rounds: the best score from the dream alone",
        CHAMPION,
        "our own",
        "the demo with more rounds",
        "31 min",
        "932",
    ),
    "unprivileged": Preset(
        "the champion without the autopilot: V and M saw random-walk drivers, then the agent itself; at the end C restarts",
        UNPRIVILEGED,
        "our own",
        "no driver that knows the track",
        "38 min",
        "928",
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
    "linear-from-scratch": Preset(
        "the demo with the paper's C: one matrix of 867 numbers, which PPO trains in the dream, from nothing",
        LINEAR_FROM_SCRATCH,
        "our own",
        "the demo, and the paper's C",
        score="916",
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
        systems.HA2018_IN_AN_HOUR,
        "Ha & Schmidhuber 2018",
        "the paper's system",
        score="860",
        full=systems.HA2018,
    ),
    "carracing-nvae": Preset(
        "random rollouts, NVAE, MDN-LSTM, linear C by CMA-ES on the track",
        systems.NVAE_IN_AN_HOUR,
        "carracing_nvae",
        "NVAE",
        score="840*",
        full=systems.NVAE,
    ),
    "carracing-nvae-dream": Preset(
        "the dream of carracing-nvae as a track of its own: V, M and C grow up on what is driven in it",
        systems.NVAE_DREAM_IN_AN_HOUR,
        "carracing_nvae",
        "drives in that one's dream",
        score="311",
        full=systems.NVAE_DREAM,
    ),
    "world-model-toy": Preset(
        "20 episodes that a person drove (--data), LSTM 512, linear C evolved in the dream, smoothed when it drives",
        systems.TOY_IN_AN_HOUR,
        "world_model_toy",
        "a person drives (--data)",
        score="841",
        full=systems.TOY,
    ),
    "rl-world-models": Preset(
        "ConvVAE, GRU, an actor-critic by PPO in the dream", systems.RL, "rl_world_models", "ConvVAE, GRU", score="922"
    ),
    "rl-world-models-awake": Preset(
        "rl-world-models, with PPO on the real track",
        systems.RL_AWAKE,
        "rl_world_models",
        "its C learns on the track",
        score="915",
    ),
    "world-models-pytorch": Preset(
        "random rollouts from random tiles, ConvVAE, MDN-LSTM, linear C by CMA-ES on the track",
        systems.PYTORCH_IN_AN_HOUR,
        "world_models_pytorch",
        "ConvVAE, MDN-LSTM",
        score="893*",
        full=systems.PYTORCH,
    ),
    "jk2500": Preset(
        "data of a PPO expert (dreamlap train expert), V with 1,024 numbers and BCE, linear C of 3,840 weights by CMA-ES",
        systems.JK2500_IN_AN_HOUR,
        "jk2500",
        "expert drives, 1,024 latents",
        score="906*",
        full=systems.JK2500,
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
