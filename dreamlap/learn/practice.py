"""What an expert practises on, and for how long: the track in decisions instead of steps, and all settings of its making."""

from typing import Annotated, Any, Literal

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from dreamlap.expert import ReflexConfig, to_gray
from dreamlap.seeds import SELECTION_SEEDS
from dreamlap.settings import ANY, SEED, SHARE, WORKERS, above, count, least, settings
from dreamlap.track import FastCarRacing, action_form, off_road
from dreamlap.track.config import LIMIT


@settings
class PracticeConfig:
    """How practising differs from driving for a score."""

    random_start: Annotated[float, SHARE] = 0.5
    """Share of the episodes that begin on a random tile of the track."""
    patience: Annotated[int, least(1)] = 100
    """Steps of the track without a new tile after which an episode is lost and ends."""
    lost_price: Annotated[float, least(0)] = 100.0
    """What that costs: as much as leaving the playfield."""
    off_road_price: Annotated[float, least(0)] = 1.0
    """What a step with the car wholly off the road costs. Above 1 it learns to stand still instead of driving."""
    reward_scale: Annotated[float, above(0)] = 0.005
    """Rewards are multiplied by this: with returns far above 1 the critic spoils the features that it shares with the actor."""


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
    """Updates after which all tracks begin anew; checkpoints fall there, so a resumed run meets the same tracks."""
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
    film_steps: Annotated[int, least(1, LIMIT)] = count(1000, least=20)
    """The most steps of the video."""
    workers: Annotated[int, WORKERS] = 2
    """Processes that drive for the score."""


class Practice(gym.Env[np.ndarray, np.ndarray]):
    """The fast track in decisions: an action is held for `track.repeat` steps, of which only the last is drawn.

    Observation (K, S, S) uint8, the frames of the last K decisions; action in the expert's own form. Every track is a
    training track.
    """

    def __init__(self, reflex: ReflexConfig, config: PracticeConfig):
        self.reflex, self.config, seen = reflex, config, reflex.track
        core = FastCarRacing(size=seen.size, bar=seen.bar, repeat=seen.repeat, domain_randomize=seen.randomize)
        self.core, self.track = core, gym.wrappers.TimeLimit(core, seen.decisions(LIMIT))
        self.form = action_form(seen.actions)
        self.action_space = spaces.Box(self.form.low, self.form.high, dtype=np.float32)
        self.observation_space = spaces.Box(0, 255, (reflex.stack, seen.size, seen.size), np.uint8)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin on another track."""
        super().reset(seed=seed)
        start: dict[str, Any] = {"start_tile": "random"} if self.np_random.random() < self.config.random_start else {}
        frame, _ = self.track.reset(seed=int(self.np_random.integers(SELECTION_SEEDS)), options=start)
        self._seen = np.zeros((self.reflex.stack, *frame.shape[:2]), np.uint8)
        self._idle = 0
        return self._look(frame), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Decide: the reward is what the steps earned, less the price of leaving the road, scaled."""
        tiles, steps = self.core.tile_visited_count, self.reflex.track.repeat
        frame, earned, terminated, truncated, _ = self.track.step(self.form.to_stock(action))
        self._idle = 0 if self.core.tile_visited_count > tiles else self._idle + steps
        under = float(off_road(frame[None], self.reflex.track.bar)[0])
        lost = self._idle >= self.config.patience
        objective = float(earned) - self.config.off_road_price * steps * under - self.config.lost_price * lost
        objective *= self.config.reward_scale
        return self._look(frame), objective, terminated or lost, truncated, {}

    def _look(self, frame: np.ndarray) -> np.ndarray:
        self._seen = np.concatenate([self._seen[1:], to_gray(frame)[None]])
        return self._seen

    def close(self) -> None:
        """Close the track."""
        self.track.close()
