"""The settings of a whole run: its own, and those of every part. Counts marked with `count` are what `--scale` shrinks."""

from dataclasses import replace
from typing import Annotated, Literal

from dreamlap.cluster import check_address
from dreamlap.config.parts import (
    LIMIT,
    MOST_AWAKE,
    AgentConfig,
    AgentName,
    ControllerConfig,
    DriverConfig,
    MemoryConfig,
    TrackConfig,
    VisionConfig,
    WorldModelName,
)
from dreamlap.config.training import CMAESConfig, DreamConfig, MemoryTraining, PPOConfig, VisionTraining
from dreamlap.errors import Refused
from dreamlap.settings import SEED, SHARE, WORKERS, above, count, least, renamed, settings, shown, span

Address = Annotated[str, shown("ray|auto|ADDRESS")]
"""A cluster that drives, as `dreamlap.cluster.on_cluster` takes it; empty: none."""


@settings
class CollectConfig:
    """What V and M see before there is an agent."""

    random: Annotated[int, least(0)] = count(0, least=0)
    """Episodes of independent uniform actions, the paper's."""
    correlated: Annotated[int, least(0)] = count(8, least=0)
    """Episodes of a random-walk policy (Ornstein-Uhlenbeck noise): they leave the road and show what that is like."""
    autopilot: Annotated[int, least(0)] = count(104, least=0)
    """Episodes of the noisy autopilot (privileged: it sees the track's geometry; C never learns from its actions)."""
    expert: Annotated[int, least(0)] = count(0, least=0)
    """Episodes of an agent that is there already: the PPO expert, or any other."""
    expert_folder: AgentName = ""
    """Folder of that agent, such as the `runs/expert` that `dreamlap train expert` leaves; empty: the agent that the run begins
    with (`start`), or else the included expert."""
    steps: Annotated[int, least(1, LIMIT)] = count(1000, least=40)
    """The most steps of an episode."""
    random_start: Annotated[float, SHARE] = 0.5
    """Share of the episodes that begin on a random tile of the track."""
    reverse: Annotated[float, SHARE] = 0.0
    """Share of the episodes that drive the lap the other way round."""
    driver: DriverConfig = DriverConfig()
    """How the autopilot drives."""


@renamed(price="penalty_growth")
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
    patience: Annotated[int, least(0)] = 0
    """Steps of the track without a reward after which such an episode ends; 0: it goes on. Dreams begin with moments of these
    episodes: of a car that stands in the grass until the end, most of them would be useless."""
    memory_updates: Annotated[int, least(0)] = count(250, least=0)
    """Gradient steps of M a round."""
    controller_updates: Annotated[int, least(1)] = count(15, least=1)
    """Updates (generations, for CMA-ES) of C a round."""
    decay: Annotated[float, above(0, 1)] = 0.1
    """Learning rates of M and C, and PPO's bonus on entropy, in the last round, as a share of those in the first; they fall by
    equal factors. That of CMA-ES is `cmaes.mean_rate`, with `cmaes.final_sigma`; without it, it adapts its own."""
    penalty_growth: Annotated[float, above(0, 100)] = 1.0
    """The penalty of leaving the road in the last round, as a multiple of that in the first. It grows by equal factors: C first
    learns to drive, then not to miss a tile. (CMA-ES from scratch has the first round's.)"""
    vision_updates: Annotated[int, least(0)] = count(0, least=0)
    """Gradient steps of V a round; 0 leaves V as it was first trained."""
    restart: Annotated[tuple[int, ...], least(1)] = ()
    """The rounds in which C is trained from scratch. What it learned in the first, poor dreams it may never unlearn (Nikishin
    et al. 2022, *The Primacy Bias in Deep Reinforcement Learning*)."""
    restart_updates: Annotated[int, least(1)] = count(25, least=1)
    """Updates of PPO in each of its three stages: learning rate and penalty go from those of round 0 to those of this round.
    (CMA-ES has as many generations as in the first round.)"""
    more: Annotated[int, least(0, 1000)] = count(0, least=0)
    """Rounds that are added, C from scratch in the first of them, while the agent that was chosen loses more drives than
    `selection.lost`; up to twice. Some trainings end badly, and nothing but the drives tells which."""

    def rate(self, number: int) -> float:
        """The share of the learning rates that is left in round `number`."""
        return self.decay ** (number / max(1, self.rounds))

    def penalty(self, number: int) -> float:
        """The penalty of leaving the road in round `number`, as a multiple of that in the first."""
        return self.penalty_growth ** (number / max(1, self.rounds))

    def from_scratch(self, number: int) -> bool:
        """Whether C is trained from scratch in round `number`."""
        return number == 0 or number in self.restart

    def curriculum(self, ppo: PPOConfig, number: int) -> list[PPOConfig]:
        """How PPO trains C in round `number`, one stage after the other."""
        rate, penalty = self.rate(number), self.penalty(number)
        if not self.from_scratch(number):
            return [ppo.at(rate, updates=self.controller_updates, noise=None, leaving_penalty=ppo.leaving_penalty * penalty)]
        shares, updates = ((0.0, 0.5, 1.0), self.restart_updates) if number else ((0.0,), ppo.updates)
        return [ppo.at(rate**s, updates=updates, leaving_penalty=ppo.leaving_penalty * penalty**s) for s in shares]

    def evolution(self, cmaes: CMAESConfig, number: int) -> CMAESConfig:
        """How CMA-ES goes on in round `number`."""
        penalty = cmaes.leaving_penalty * self.penalty(number)
        return replace(cmaes, generations=self.controller_updates, leaving_penalty=penalty)


@renamed(off_road_price="off_road_penalty")
@settings
class RestartConfig:
    """Restarts after the rounds: C is trained from scratch in the dream of the last round.

    What a C learned in the first, poor dreams, such as to stand still before a corner, it may never unlearn (Nikishin et al.
    2022, *The Primacy Bias in Deep Reinforcement Learning*).
    """

    controllers: Annotated[int, least(0, 9)] = count(0, least=0)
    """How many, each with other weights and other dreams; nothing is driven and neither V nor M learn in between."""
    updates: Annotated[int, least(1)] = count(18, least=1)
    """Updates of each of the eight stages of a controller's curriculum."""
    off_road_penalty: Annotated[float, least(0)] = 8.0
    """Penalty in the last three stages: the ones before teach to find the way round, these not to miss a tile."""

    def curriculum(self, ppo: PPOConfig) -> list[PPOConfig]:
        """Eight stages: five with `ppo`'s penalty, whose rates fall to a tenth by equal factors. Then the last three of them
        again, with the higher penalty.
        """
        shares = [0.1 ** (n / 4) for n in range(5)]
        stages = [(share, ppo.off_road_penalty) for share in shares] + [(share, self.off_road_penalty) for share in shares[2:]]
        return [ppo.at(share, updates=self.updates, off_road_penalty=penalty) for share, penalty in stages]


@renamed(weighed="check_steps", film_steps="video_steps")
@settings
class SelectionConfig:
    """How the agent that a run leaves behind is chosen among its rounds, and scored."""

    candidates: Annotated[int, least(1, 10)] = 4
    """The last agents to choose from, restarts among them; at most 10 by the protocol."""
    tracks: Annotated[int, least(1, 1000)] = count(32, least=2)
    """Selection tracks, of the fast track. All candidates drive a quarter of them, the better half another quarter, and the
    better half of these all. The best has the highest mean where all that is above 900 counts as 900."""
    lost: Annotated[float, SHARE] = 0.02
    """Share of its drives that the chosen agent may lose; if it loses more, `rounds.more` are added."""
    scored: Annotated[int, least(2, 1000)] = count(20, least=2)
    """Other selection tracks that the chosen agent drives at the end, on the stock track."""
    check_steps: Annotated[int, least(1, LIMIT)] = count(400, least=60)
    """Steps that each policy drives when the dream is checked at the end."""
    video_steps: Annotated[int, least(1, LIMIT)] = count(1000, least=20)
    """The most steps of the videos."""


@renamed(anew="restarts")
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
    restarts: RestartConfig = RestartConfig()
    selection: SelectionConfig = SelectionConfig()
    start: WorldModelName = ""
    """Folder or name of an agent that the run begins with instead of fresh weights; its V and M stay as they are if
    `vision_training.updates`, `memory_training.updates` and `rounds.memory_updates` are 0. A linear C first learns to do as
    that agent's does, in the dream."""
    seed: Annotated[int, SEED] = 0
    """All chance comes from it: the same seed on the same machine gives the same agent."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where V, M and C are trained."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the matrix products while V, M and C are trained, dreams included; `auto` takes bfloat16 where the hardware has it."""
    workers: Annotated[int, WORKERS] = 2
    """Processes that drive tracks; it changes the time, not the result."""
    cluster: Address = ""
    """Let a cluster drive, by Ray: `auto` is the one that this machine is part of, 10.0.0.1:6379 the one with that head, and
    `ray` a new one of this machine alone. V, M and C are trained here. Empty: processes of this machine drive."""

    def __post_init__(self) -> None:
        """Refuse settings that cannot go together."""
        _ = self.agent  # which checks that this V can see these frames
        check_address(self.cluster)
        awake, linear = self.controller.mind == "awake", self.controller.kind == "linear"
        if self.restarts.controllers and linear:
            raise Refused("only an actor-critic can be restarted: --restarts.controllers 0, or --controller.kind actor-critic")
        if self.restarts.controllers and self.rounds.more:
            raise Refused(
                "rounds can be added (--rounds.more), or C restarted after the rounds (--restarts.controllers), not both: "
                "add --rounds.more 0 or --restarts.controllers 0"
            )
        name, environments = ("cmaes.rollouts", self.cmaes.rollouts) if linear else ("ppo.num_envs", self.ppo.num_envs)
        if awake and environments > MOST_AWAKE:
            raise Refused(
                f"--{name} is {environments}: at most {MOST_AWAKE} real environments fit in one process. Use --{name} 16"
            )
        if not awake and self.selection.check_steps <= self.memory.burn_in:
            raise Refused(
                f"--selection.check_steps {self.selection.check_steps}: the burn-in of M takes {self.memory.burn_in} steps "
                f"(--memory.burn_in), and dream and track are compared after it. Use {self.memory.burn_in + 100}"
            )

    @property
    def drives(self) -> list[tuple[DriverConfig, int]]:
        """Who drives in round 0, and how many episodes."""
        first = self.collect
        kinds = {"random": first.random, "correlated": first.correlated, "autopilot": first.autopilot}
        kinds[first.expert_folder or self.start or "expert"] = first.expert
        return [(replace(first.driver, kind=kind), n) for kind, n in kinds.items() if n]

    def check_drives(self) -> None:
        """Find out whether somebody drives in round 0, and far enough for M to remember anything.

        Raises:
            Refused: the message names the flag and the remedy.
        """
        first, burn_in = self.collect, self.memory.burn_in
        if not self.drives:
            raise Refused(
                "--collect.random, --collect.correlated, --collect.autopilot and --collect.expert are all 0: nobody drives, so "
                "there is nothing to learn from. Give one of them episodes, or give --data"
            )
        lengths = {"collect": first.steps} | ({"rounds": self.rounds.steps} if self.rounds.rounds else {})
        for name, steps in lengths.items():
            if self.track.decisions(steps) <= burn_in:
                raise Refused(
                    f"--{name}.steps {steps}: the burn-in of M takes {burn_in} steps of an episode (--memory.burn_in), so "
                    f"episodes must be longer. Use --{name}.steps {(burn_in + 24) * self.track.repeat}, or a smaller "
                    "--memory.burn_in"
                )

    @property
    def last(self) -> int:
        """The number of the last C: of the last round, or of the restarts after it."""
        return self.rounds.rounds + self.restarts.controllers

    @property
    def agent(self) -> AgentConfig:
        """What the agent is made of."""
        return AgentConfig(self.track, self.vision, self.memory, self.controller)
