"""What an expert practises on, and for how long: the track in decisions instead of steps, and all settings of its making."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from dreamlap.config.parts import LIMIT
from dreamlap.config.training import PracticeConfig
from dreamlap.expert import ReflexConfig, to_gray
from dreamlap.protocol import SELECTION_SEEDS
from dreamlap.track import FastCarRacing, action_form, off_road


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
        """Decide: the reward is what the steps earned, less the penalty of leaving the road, scaled."""
        tiles, steps = self.core.tile_visited_count, self.reflex.track.repeat
        frame, earned, terminated, truncated, _ = self.track.step(self.form.to_stock(action))
        self._idle = 0 if self.core.tile_visited_count > tiles else self._idle + steps
        under = float(off_road(frame[None], self.reflex.track.bar)[0])
        lost = self._idle >= self.config.patience
        objective = float(earned) - self.config.off_road_penalty * steps * under - self.config.lost_penalty * lost
        objective *= self.config.reward_scale
        return self._look(frame), objective, terminated or lost, truncated, {}

    def _look(self, frame: np.ndarray) -> np.ndarray:
        self._seen = np.concatenate([self._seen[1:], to_gray(frame)[None]])
        return self._seen

    def close(self) -> None:
        """Close the track."""
        self.track.close()
