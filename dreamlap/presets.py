"""Named configurations: every number of a run in one place.

`Config` holds the settings of every part; a preset is a `Config` with other numbers. Counts marked with `count` are what
`--scale` shrinks in proportion.
"""

from dataclasses import replace
from typing import Annotated, Literal, NamedTuple

from dreamlap.config.parts import (
    LIMIT,
    MOST_AWAKE,
    AgentConfig,
    ControllerConfig,
    DriverConfig,
    MemoryConfig,
    TrackConfig,
    VisionConfig,
)
from dreamlap.config.training import CMAESConfig, DreamConfig, MemoryTraining, PPOConfig, VisionTraining
from dreamlap.errors import Refused
from dreamlap.settings import SEED, SHARE, WORKERS, above, count, least, settings, span


@settings
class CollectConfig:
    """What V and M see before there is an agent."""

    random: Annotated[int, least(0)] = count(0, least=0)
    """Episodes of independent uniform actions, the paper's."""
    correlated: Annotated[int, least(0)] = count(8, least=0)
    """Episodes of wandering actions: they leave the road and show what that is like."""
    autopilot: Annotated[int, least(0)] = count(104, least=0)
    """Episodes of the noisy autopilot (privileged: it sees the track's geometry; C never learns from its actions)."""
    expert: Annotated[int, least(0)] = count(0, least=0)
    """Episodes of an agent that is there already: the PPO expert, or any other."""
    expert_folder: str = ""
    """Folder of that agent, such as the `runs/expert` that `dreamlap train expert` leaves; empty: the agent that the run begins
    with (`start`), or else the expert that comes along."""
    steps: Annotated[int, least(1, LIMIT)] = count(1000, least=40)
    """The most steps of an episode."""
    random_start: Annotated[float, SHARE] = 0.5
    """Share of the episodes that begin on a random tile of the track."""
    reverse: Annotated[float, SHARE] = 0.0
    """Share of the episodes that drive the lap the other way round."""
    driver: DriverConfig = DriverConfig()
    """How the autopilot drives."""


@settings
class RoundsConfig:
    """What happens again and again once there is an agent: collect with it, train M on, train C on."""

    rounds: Annotated[int, least(0, 10_000)] = count(8, least=0)
    """Rounds after the first."""
    episodes: Annotated[int, least(1)] = count(48, least=1)
    """Episodes that the agent drives at the start of a round."""
    steps: Annotated[int, least(1, LIMIT)] = count(300, least=40)
    """The most steps of such an episode."""
    random_start: Annotated[float, SHARE] = 0.5
    """Share of them that begin on a random tile of the track."""
    reverse: Annotated[float, SHARE] = 0.5
    """Share of them that drive the lap the other way round: stock tracks turn left, and what is lost is lost in sharp right
    turns, which are rare on them."""
    noise: Annotated[tuple[float, float], span(0, 100)] = (0.0, 0.3)
    """Standard deviation of the noise on the agent's actions, drawn for every episode between the two."""
    memory_updates: Annotated[int, least(0)] = count(250, least=0)
    """Gradient steps of M a round."""
    controller_updates: Annotated[int, least(1)] = count(15, least=1)
    """Updates (generations, for CMA-ES) of C a round."""
    decay: Annotated[float, above(0, 1)] = 0.1
    """Learning rates of M and C, and PPO's bonus on entropy, in the last round, as a share of those in the first; they fall by
    equal factors. (CMA-ES has none: it goes on with the sigma and the covariance that it has found.)"""
    price: Annotated[float, above(0, 100)] = 1.0
    """PPO's price of leaving the road in the last round, as a multiple of that in the first; it changes by equal factors: C
    first learns to drive, then not to miss a tile."""
    vision_updates: Annotated[int, least(0)] = count(0, least=0)
    """Gradient steps of V a round; 0 leaves V as it was first trained."""

    def rate(self, number: int) -> float:
        """The share of the learning rates that is left in round `number`."""
        return self.decay ** (number / max(1, self.rounds))

    def price_factor(self, number: int) -> float:
        """The multiple of PPO's price of leaving the road in round `number`."""
        return self.price ** (number / max(1, self.rounds))


@settings
class AnewConfig:
    """Controllers that begin anew once the rounds are over, in the dream that they have made.

    What a C learned in the first, poor dreams, such as to stand still before a corner, it may never unlearn (Nikishin et al.
    2022, *The Primacy Bias in Deep Reinforcement Learning*).
    """

    controllers: Annotated[int, least(0, 9)] = count(0, least=0)
    """How many, each with other weights and other dreams; nothing is driven and neither V nor M learn in between."""
    updates: Annotated[int, least(1)] = count(18, least=1)
    """Updates of each of a controller's eight lessons."""
    off_road_price: Annotated[float, least(0)] = 8.0
    """Price of the last three lessons: those before are to find the way round, these not to miss a tile."""

    def course(self, ppo: PPOConfig) -> list[PPOConfig]:
        """Eight lessons: five at `ppo`'s price, whose rates fall to a tenth by equal factors, and the last three of them again
        at the higher price.
        """
        shares = [0.1 ** (n / 4) for n in range(5)]
        lessons = [(share, ppo.off_road_price) for share in shares] + [(share, self.off_road_price) for share in shares[2:]]
        return [ppo.at(share, updates=self.updates, off_road_price=price) for share, price in lessons]


@settings
class SelectionConfig:
    """How the agent that a run leaves behind is chosen among its rounds, and scored."""

    candidates: Annotated[int, least(1, 10)] = 4
    """The last agents to choose from, those that began anew among them; at most 10 by the protocol."""
    tracks: Annotated[int, least(1, 1000)] = count(32, least=2)
    """Selection tracks that each candidate drives, on the fast track."""
    scored: Annotated[int, least(2, 1000)] = count(20, least=2)
    """Other selection tracks that the chosen agent drives at the end, on the stock track."""
    weighed: Annotated[int, least(1, LIMIT)] = count(400, least=60)
    """Steps that each controller drives when dream and track are compared at the end."""
    film_steps: Annotated[int, least(1, LIMIT)] = count(1000, least=20)
    """The most steps of the videos."""


@settings
class Config:
    """Everything that a run depends on."""

    track: TrackConfig = TrackConfig()
    collect: CollectConfig = CollectConfig()
    vision: VisionConfig = VisionConfig()
    vision_training: VisionTraining = VisionTraining()
    memory: MemoryConfig = MemoryConfig()
    memory_training: MemoryTraining = MemoryTraining()
    controller: ControllerConfig = ControllerConfig()
    dream: DreamConfig = DreamConfig()
    ppo: PPOConfig = PPOConfig()
    cmaes: CMAESConfig = CMAESConfig()
    rounds: RoundsConfig = RoundsConfig()
    anew: AnewConfig = AnewConfig()
    selection: SelectionConfig = SelectionConfig()
    start: str = ""
    """Folder or name of an agent that the run begins with instead of fresh weights; its V and M stay as they are if
    `vision_training.updates`, `memory_training.updates` and `rounds.memory_updates` are 0. A linear C first learns to do as
    that agent's does, in the dream."""
    seed: Annotated[int, SEED] = 0
    """All chance comes from it: the same seed on the same machine gives the same agent."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where V, M and C are trained."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the matrix products while V and M are trained; `auto` takes bfloat16 where the hardware has it."""
    workers: Annotated[int, WORKERS] = 2
    """Processes that drive tracks; it changes the time, not the result."""

    def __post_init__(self) -> None:
        """Refuse settings that cannot go together."""
        _ = self.agent  # which checks that this V can see these frames
        awake, linear = self.controller.mind == "awake", self.controller.kind == "linear"
        if self.anew.controllers and linear:
            raise Refused("only an actor-critic can begin anew: --anew.controllers 0, or --controller.kind actor-critic")
        name, environments = ("cmaes.rollouts", self.cmaes.rollouts) if linear else ("ppo.minds", self.ppo.minds)
        if awake and environments > MOST_AWAKE:
            raise Refused(
                f"--{name} is {environments}: at most {MOST_AWAKE} real environments fit in one process. Use --{name} 16"
            )
        if not awake and self.selection.weighed <= self.memory.warmup:
            raise Refused(
                f"--selection.weighed {self.selection.weighed}: M is believed after {self.memory.warmup} steps "
                f"(--memory.warmup), and only beyond can dream and track be compared. Use {self.memory.warmup + 100}"
            )

    @property
    def last(self) -> int:
        """The number of the last C: of the last round, or of those that begin anew after it."""
        return self.rounds.rounds + self.anew.controllers

    @property
    def agent(self) -> AgentConfig:
        """What the agent is made of."""
        return AgentConfig(self.track, self.vision, self.memory, self.controller)


CHAMPION = Config(
    collect=CollectConfig(driver=DriverConfig(turning=0.3)),
    controller=ControllerConfig(state_dependent_std=True),
    memory_training=MemoryTraining(batch=32, window=128, off_road_weight=16.0),
    ppo=PPOConfig(entropy=0.01),
    rounds=RoundsConfig(rounds=12, episodes=32, memory_updates=170, controller_updates=10, price=12.0),
)
DEMO = replace(CHAMPION, rounds=replace(CHAMPION.rounds, rounds=6), selection=SelectionConfig(candidates=3))
UNPRIVILEGED = replace(
    CHAMPION,
    collect=replace(CHAMPION.collect, correlated=300, autopilot=0, steps=300, random_start=0.9),
    vision_training=replace(CHAMPION.vision_training, updates=1500),
    memory_training=MemoryTraining(),
    ppo=replace(CHAMPION.ppo, leaving_price=0.0, off_road_price=2.5),
    rounds=RoundsConfig(vision_updates=250),
    anew=AnewConfig(controllers=4),
    selection=SelectionConfig(candidates=5, tracks=64),
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
        minds=32,
        steps=128,
        reset_every=20,
        learning_rate=1e-4,
        epochs=3,
        entropy=0.0,
        leaving_price=0.0,
        off_road_price=24.0,
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
    cmaes=CMAESConfig(generations=80, population=24, rollouts=64, steps=120, sigma=0.005, directions=48, off_road_price=32.0),
    rounds=replace(CHAMPION.rounds, rounds=0),
    selection=SelectionConfig(candidates=1),
)

HA2018 = Config(
    track=TrackConfig(size=64, bar=False, actions="stock"),
    collect=CollectConfig(random=10_000, correlated=0, autopilot=0, random_start=0.0),
    vision=VisionConfig(kind="conv", latent=32),
    vision_training=VisionTraining(
        updates=100_000, batch=100, learning_rate=1e-4, bar_weight=1.0, kl_weight=1.0, kl_warmup=1, free_bits=0.5
    ),
    memory=MemoryConfig(hidden=256, mixtures=5),
    memory_training=MemoryTraining(
        updates=2000, batch=100, window=1000, reward_weight=0.0, end_weight=0.0, off_road_weight=0.0
    ),
    controller=ControllerConfig(kind="linear", mind="awake"),
    cmaes=CMAESConfig(generations=1800, population=64, rollouts=16, steps=1000, sigma=0.1),
    rounds=RoundsConfig(rounds=0),
    selection=SelectionConfig(candidates=1),
)

NVAE = Config(
    track=TrackConfig(actions="stock"),
    collect=CollectConfig(random=10_000, correlated=0, autopilot=0, random_start=0.0),
    vision=VisionConfig(kind="nvae", latent=32),
    vision_training=VisionTraining(updates=100_000, kl_weight=0.01, kl_warmup=30_000),
    memory_training=MemoryTraining(updates=20_000),
    controller=ControllerConfig(kind="linear", mind="awake"),
    cmaes=CMAESConfig(generations=1000, population=4, rollouts=4, target=950.0),
    rounds=RoundsConfig(rounds=0),
    selection=SelectionConfig(candidates=1),
    workers=8,
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
    cmaes=CMAESConfig(generations=200, population=32, rollouts=16, steps=50, sigma=0.1, test_every=10),
    rounds=RoundsConfig(rounds=0),
    selection=SelectionConfig(candidates=1),
)

RL = Config(
    collect=CollectConfig(correlated=100, autopilot=0),
    vision=VisionConfig(kind="conv", latent=32),
    memory=MemoryConfig(kind="gru"),
    memory_training=CHAMPION.memory_training,
    dream=DreamConfig(horizon=100),
    rounds=RoundsConfig(rounds=4, reverse=0.0, decay=1.0),
)

PYTORCH = Config(
    track=TrackConfig(actions="stock"),
    collect=CollectConfig(random=1000, correlated=0, autopilot=0, random_start=1.0),
    vision=VisionConfig(kind="conv", latent=32),
    vision_training=VisionTraining(updates=30_000),
    memory_training=MemoryTraining(updates=10_000),
    controller=ControllerConfig(kind="linear", mind="awake"),
    cmaes=CMAESConfig(generations=300, population=16, rollouts=18),
    rounds=RoundsConfig(rounds=0),
    selection=SelectionConfig(candidates=1),
)

JK2500 = Config(
    track=TrackConfig(actions="stock"),
    collect=CollectConfig(correlated=0, autopilot=0, expert=100, random_start=0.0, driver=DriverConfig(noise=(0.0, 0.0))),
    vision=VisionConfig(kind="conv", latent=1024),
    vision_training=VisionTraining(updates=30_000, likelihood="bce"),
    memory=MemoryConfig(mixtures=5),
    memory_training=MemoryTraining(updates=10_000, batch=32, window=32),
    controller=ControllerConfig(kind="linear", mind="awake", bias=False),
    cmaes=CMAESConfig(generations=300, population=32, rollouts=8, diagonal=True),
    rounds=RoundsConfig(rounds=0),
    selection=SelectionConfig(candidates=1),
)

DEBUG = Config(
    collect=CollectConfig(random=1, correlated=1, autopilot=2, steps=120),
    vision_training=VisionTraining(updates=40, batch=32, kl_warmup=10),
    memory=MemoryConfig(hidden=64),
    memory_training=MemoryTraining(updates=40, batch=16, window=32),
    ppo=PPOConfig(updates=4, minds=64, steps=25),
    rounds=RoundsConfig(rounds=1, episodes=2, steps=120, memory_updates=20, controller_updates=4),
    selection=SelectionConfig(candidates=2, tracks=2, scored=2, weighed=120),
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


FAST = ("above 900 as soon as possible", "16 min", "919")
"""Title, time and score of `demo` and `sprint`."""

PRESETS: dict[str, Preset] = {
    "demo": Preset("a car that learned in its dream, in a quarter of an hour on two cores", DEMO, "our own", *FAST),
    "sprint": Preset("the demo by its other name: above 900 as soon as possible", DEMO, "our own", *FAST),
    "champion": Preset(
        "the demo with twice the rounds: the best score from the dream alone",
        CHAMPION,
        "our own",
        "the demo with twice the rounds",
        "31 min",
        "927*",
    ),
    "unprivileged": Preset(
        "the same without the autopilot: V and M saw wandering drivers and then the agent itself; at the end C begins anew",
        UNPRIVILEGED,
        "our own",
        "no driver that knows the track",
        "78 min",
        "911",
    ),
    "champion-tuned": Preset(
        "the champion, whose C goes on learning on the track itself: not from the dream alone any more",
        TUNED,
        "our own",
        "champion's C learns on track",
        "48 min",
        "931",
    ),
    "linear": Preset(
        "the champion with the paper's C: one matrix, first by imitating the champion's, then by CMA-ES in its dream",
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
        "the paper's system to the letter: 10,000 random rollouts, ConvVAE, MDN-LSTM, linear C by CMA-ES on the track",
        HA2018,
        "Ha & Schmidhuber 2018",
        "the paper's system",
    ),
    "carracing-nvae": Preset(
        "10,000 random rollouts, NVAE, MDN-LSTM, linear C by CMA-ES on the track", NVAE, "carracing_nvae", "NVAE"
    ),
    "carracing-nvae-dream": Preset(
        "the dream of carracing-nvae as a track of its own: V, M and C grow up on what is driven in it",
        replace(NVAE, track=replace(NVAE.track, dream="runs/carracing-nvae/agent")),
        "carracing_nvae",
        "drives in that one's dream",
    ),
    "world-model-toy": Preset(
        "20 episodes that a person drove (--data), LSTM 512, linear C evolved in the dream, smoothed when it drives",
        TOY,
        "world_model_toy",
        "a person drives (--data)",
    ),
    "rl-world-models": Preset("ConvVAE, GRU, an actor-critic by PPO in the dream", RL, "rl_world_models", "ConvVAE, GRU"),
    "rl-world-models-awake": Preset(
        "the same, with PPO on the real track",
        replace(
            RL,
            controller=ControllerConfig(mind="awake"),
            ppo=PPOConfig(updates=400, minds=16, steps=128, reset_every=10),
            rounds=RoundsConfig(rounds=0, random_start=0.0, reverse=0.0),
            selection=SelectionConfig(candidates=1),
        ),
        "rl_world_models",
        "the same on the real track",
    ),
    "world-models-pytorch": Preset(
        "random rollouts from random tiles, ConvVAE, MDN-LSTM, linear C by CMA-ES on the track",
        PYTORCH,
        "world_models_pytorch",
        "ConvVAE, MDN-LSTM",
    ),
    "jk2500": Preset(
        "data of a PPO expert (dreamlap train expert), V with 1,024 numbers and BCE, linear C of 3,840 weights by CMA-ES",
        JK2500,
        "jk2500",
        "expert drives, 1,024 latents",
    ),
}
"""Name -> preset."""
