"""How the parts are trained: V, M, the dream, C by PPO or by CMA-ES, and the expert."""

from dataclasses import replace
from typing import Annotated, Any, Literal

from dreamlap.config.parts import LIMIT, ReflexConfig
from dreamlap.errors import Refused
from dreamlap.settings import ANY, SEED, SHARE, SIZE, WORKERS, above, count, least, renamed, settings


@settings
class VisionTraining:
    """How V is trained."""

    updates: Annotated[int, least(0)] = count(3000, least=0)
    """Gradient steps."""
    batch: Annotated[int, SIZE] = 64
    """Frames a step."""
    learning_rate: Annotated[float, above(0)] = 1e-3
    """Of Adam, at the start; it falls to a tenth along a half cosine."""
    likelihood: Literal["mse", "bce"] = "mse"
    """Error summed over pixels: squared (the paper's), or binary cross-entropy."""
    bar_weight: Annotated[float, least(0)] = 5.0
    """Weight of the rows of the instrument bar: above 1 the speed survives in z."""
    car_weight: Annotated[float, least(0)] = 10.0
    """Weight of the pixels around the car: above 1 z tells more exactly whether the wheels are on the road."""
    kl_weight: Annotated[float, least(0)] = 0.1
    """Weight of the KL divergence (beta): at 1, the paper's, z keeps 16 nats of these frames and the road is blurred."""
    kl_warmup: Annotated[int, least(1)] = count(100, least=1)
    """Updates over which the weight of the KL divergence rises from 0 (annealing)."""
    free_bits: Annotated[float, least(0)] = 0.0
    """Nats a latent dimension may hold before its KL divergence costs anything (Kingma et al. 2016)."""
    alone: Annotated[float, SHARE] = 0.5
    """Of NVAE: share of the frames that are drawn from z alone, as a dream is; 0 is its paper's."""
    spectral_weight: Annotated[float, least(0)] = 0.01
    """Of NVAE: weight of its spectral regularisation (lambda), which keeps the KL divergence bounded."""


@settings
class MemoryTraining:
    """How M is trained."""

    updates: Annotated[int, least(0)] = count(1200, least=0)
    """Gradient steps."""
    batch: Annotated[int, SIZE] = 64
    """Windows a step."""
    window: Annotated[int, least(1, LIMIT)] = 64
    """Steps in a window."""
    learning_rate: Annotated[float, above(0)] = 1e-3
    """Of Adam."""
    reward_weight: Annotated[float, least(0)] = 1.0
    """Weight of the squared error of the reward, beside the negative log-likelihood of z."""
    end_weight: Annotated[float, least(0)] = 1.0
    """Weight of the cross-entropy of the episode's end."""
    off_road_weight: Annotated[float, least(0)] = 1.0
    """Weight of the cross-entropy of how far off the road the car is."""
    from_start: Annotated[float, SHARE] = 0.1
    """Share of the windows that begin with the first frame of an episode."""
    fresh: Annotated[float, SHARE] = 0.5
    """Share of the windows taken from the latest round's episodes, once there are any."""
    clip: Annotated[float, above(0)] = 10.0
    """Norm to which a longer gradient is shortened."""


@settings
class DreamConfig:
    """How M dreams."""

    horizon: Annotated[int, least(1)] = 30
    """Steps until a dream is cut off, and C's own estimate stands for the rest. At full speed the car is by then where the real
    frame ended that the dream began with: what M invents beyond is too optimistic. (A branched rollout: Janner et al. 2019,
    *When to Trust Your Model*, section 4.2.)"""
    temperature: Annotated[float, above(0, 100)] = 1.0
    """Tau: above 1 the dream is less certain than M is, which makes it harder to cheat."""
    from_start: Annotated[float, SHARE] = 0.1
    """Share of the dreams that begin with the first frame of an episode; the others begin after the burn-in (--memory.burn_in).
    Training draws the agent's initial states by it; a `Dream` of given initial states takes a share of its own."""


@renamed(minds="num_envs", leaving_price="leaving_penalty", off_road_price="off_road_penalty")
@settings
class PPOConfig:
    """How PPO trains C."""

    updates: Annotated[int, least(1)] = count(25, least=1)
    """Rounds of rolling out and learning from it."""
    num_envs: Annotated[int, SIZE] = 512
    """Environments side by side: dreams, or real tracks."""
    steps: Annotated[int, SIZE] = 50
    """Steps of each environment an update."""
    reset_every: Annotated[int, least(1)] = 2
    """Updates after which all environments are reset. Checkpoints fall there, so a resumed run meets the same ones."""
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
    leaving_penalty: Annotated[float, least(0)] = 30.0
    """Penalty of leaving the road, once, in training alone (never in a score): a tile that is missed costs the lap."""
    off_road_penalty: Annotated[float, least(0)] = 0.2
    """Further penalty of every step wholly off the road. A high one makes C give up: if it expects to leave the road for long,
    ending the episode saves most."""
    noise: Annotated[float | None, above(0)] = None
    """Standard deviation of the exploring noise that C begins with; none: as C brings it along, 0.37 if it is a fresh one."""
    limit: Annotated[int, least(1, LIMIT)] = 1000
    """The most steps of an episode in the real environment: after the lap nothing is left to earn, which no critic foresees."""
    reward_scale: Annotated[float, above(0)] = 0.1
    """Rewards are multiplied by this, so that returns have the size of a network's outputs."""

    def __post_init__(self) -> None:
        """Refuse a minibatch of a single step: its advantage cannot be normalised."""
        if self.num_envs * self.steps % self.minibatch == 1:
            raise Refused(
                f"--ppo.minibatch {self.minibatch}: of {self.num_envs} x {self.steps} steps (--ppo.num_envs, --ppo.steps) one "
                f"is left over. Use --ppo.minibatch {self.num_envs * self.steps + 1}, or another --ppo.steps"
            )

    def at(self, share: float, **other: Any) -> "PPOConfig":
        """The same with a share of the learning rate and of the bonus on entropy, and with `other` settings."""
        return replace(self, learning_rate=self.learning_rate * share, entropy=self.entropy * share, **other)


@renamed(off_road_price="off_road_penalty")
@settings
class CMAESConfig:
    """How CMA-ES trains C."""

    generations: Annotated[int, least(1)] = count(100, least=1)
    """Generations."""
    population: Annotated[int, least(3, 65536)] = count(64, least=4)
    """Candidates a generation."""
    rollouts: Annotated[int, SIZE] = count(16, least=1)
    """Rollouts a candidate, on the same tracks or dreams for all."""
    first_rollouts: Annotated[int, least(0, 2**24)] = 0
    """Rollouts a candidate in the first generation, in the real environment. There are more, up to `rollouts`, when chance has
    a larger part in the order of the candidates than they have. 0: `rollouts` from the beginning."""
    steps: Annotated[int, least(1)] = count(1000, least=20)
    """The most steps of a rollout."""
    budget: Annotated[int, least(0)] = count(0, least=1)
    """The most steps of all rollouts together: the generation in which they are reached is the last. 0: no limit."""
    patience: Annotated[int, least(1)] = 100
    """Steps of the track without a reward after which a rollout ends, for all candidates alike."""
    gamma: Annotated[float, above(0, 1)] = 1.0
    """Discount a step. Below 1, as of PPO (0.99), a critic learns from what is dreamed, and its estimate stands for what comes
    after the last step of a dream. 1: nothing counts but the rollout itself."""
    sigma: Annotated[float, above(0)] = 1.0
    """Initial standard deviation along each coordinate: a step of 1 changes an action, before tanh, by 1 on average. Along all
    weights, it is that of z, of h and of the bias as a whole."""
    final_sigma: Annotated[float, least(0)] = 0.0
    """Where `sigma` falls to while the `budget` is used up, whatever the candidates earn. Later rounds of the search stay
    there. 0: CMA-ES adapts it, which ends a search early if rollouts are noisy."""
    mean_rate: Annotated[float, above(0, 1)] = 1.0
    """Share of the way to the mean of the best candidates that the mean of the search goes; with `final_sigma`, half of it away
    from the worst. Below 1 the chance of a few noisy candidates averages out over generations."""
    test_every: Annotated[int, least(0)] = 0
    """Generations after which the mean of all candidates drives the real (fast) track, to be seen in the curve; 0: never."""
    tests: Annotated[int, least(1, 128)] = 4
    """Training tracks that such a test drives."""
    final_tracks: Annotated[int, least(1, 128)] = count(48, least=1)
    """Training tracks that decide what C becomes: the last mean of the search, the last generation's best candidate, or the
    average of the latest third of all means."""
    directions: Annotated[int, least(0)] = 0
    """Search along so many principal directions of what C sees, [z, h], and along the bias: much fewer numbers, and those that
    matter. 0: along all weights, as the paper. C is the same matrix either way."""
    diagonal: bool = False
    """Adapt variances only: for thousands of weights, where a whole covariance matrix costs too much."""
    weight_decay: Annotated[float, least(0)] = 0.0
    """What a candidate loses for the square of each of its coordinates: large weights steer from lock to lock."""
    leaving_penalty: Annotated[float, least(0)] = 0.0
    """What leaving the road costs C once, while it learns (never in a score)."""
    off_road_penalty: Annotated[float, least(0)] = 0.0
    """What a step with the car wholly off the road costs C besides."""
    target: Annotated[float | None, ANY] = None
    """Mean return of the best candidate at which evolution stops early."""

    def __post_init__(self) -> None:
        """Refuse a fall of sigma that has no end."""
        if self.final_sigma and not self.budget:
            raise Refused(f"--cmaes.final_sigma {self.final_sigma:g}: it is reached when --cmaes.budget ends. Give a budget")


@renamed(off_road_price="off_road_penalty", lost_price="lost_penalty")
@settings
class PracticeConfig:
    """How practising differs from driving for a score."""

    random_start: Annotated[float, SHARE] = 0.5
    """Share of the episodes that begin on a random tile of the track."""
    patience: Annotated[int, least(1)] = 100
    """Steps of the track without a new tile after which an episode is lost and ends."""
    lost_penalty: Annotated[float, least(0)] = 100.0
    """Penalty of a lost episode: as much as leaving the playfield."""
    off_road_penalty: Annotated[float, least(0)] = 1.0
    """Penalty of a step with the car wholly off the road. Above 1 it learns to stand still instead of driving."""
    reward_scale: Annotated[float, above(0)] = 0.005
    """Rewards are multiplied by this: with returns far above 1 the critic spoils the features that it shares with the actor."""


@renamed(film_steps="video_steps")
@settings
class ExpertConfig:
    """How an expert is made."""

    reflex: ReflexConfig = ReflexConfig()
    practice: PracticeConfig = PracticeConfig()
    updates: Annotated[int, least(1)] = count(400, least=2)
    """Rounds of driving and learning from it."""
    tracks: Annotated[int, least(1, 128)] = 16
    """Tracks driven side by side."""
    steps: Annotated[int, least(2)] = 128
    """Decisions on each track an update."""
    reset_every: Annotated[int, least(1)] = 20
    """Updates after which all tracks are reset. Checkpoints fall there, so a resumed run meets the same tracks."""
    epochs: Annotated[int, least(1)] = 6
    """Passes over what was driven."""
    minibatch: Annotated[int, least(2)] = 128
    """Decisions a gradient step."""
    learning_rate: Annotated[float, above(0)] = 2e-4
    """Of Adam, at the start; it falls to a tenth along a half cosine."""
    gamma: Annotated[float, SHARE] = 0.99
    """Discount a decision."""
    lam: Annotated[float, SHARE] = 0.95
    """Lambda of the generalized advantage estimate."""
    clip: Annotated[float, above(0)] = 0.2
    """How far the policy's ratio may move before its gain is clipped."""
    most_kl: Annotated[float, above(0)] = 0.03
    """KL divergence from the policy that drove at which the passes of an update end early."""
    log_std: Annotated[float, least(-20, 5)] = -1.7
    """Logarithm of the standard deviation of the exploring noise, at the start: 0.4 of steering is the wheels' full lock."""
    seed: Annotated[int, SEED] = 0
    """All chance comes from it."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where the network is trained."""
    evaluations: Annotated[int, least(1, 10)] = 10
    """How often the expert is judged on selection tracks; the best one is kept. At most 10 by the protocol."""
    judged: Annotated[int, least(1, 100)] = count(10, least=2)
    """Selection tracks that it drives then, on the fast track."""
    threshold: Annotated[float, ANY] = 900.0
    """Mean return there at which the training stops early."""
    scored: Annotated[int, least(2, 1000)] = count(20, least=2)
    """Other selection tracks that the kept expert drives at the end, on the stock track."""
    video_steps: Annotated[int, least(1, LIMIT)] = count(1000, least=20)
    """The most steps of the video."""
    workers: Annotated[int, WORKERS] = 2
    """Processes that drive for the score."""
