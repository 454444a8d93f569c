"""Many minds as a vector environment of Stable-Baselines3, whose trainers learn in dreams at the dream's speed.

Raffin et al., *Stable-Baselines3* (2021). The rest does not need it. In the clone,
`pip install -c constraints.txt -e '.[expert]'` brings it.
"""

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from stable_baselines3.common.vec_env import VecEnv

from dreamlap.errors import Refused
from dreamlap.mind.vector import MindVectorEnv


class MindVecEnv(VecEnv):
    """`MindVecEnv(gymnasium.make_vec("dreamlap/Dream-v0", num_envs=1024, agent=PATH))`: for any trainer of Stable-Baselines3.

    Raises:
        Refused: the environments are not ours, or their episodes do not follow one another by themselves.
    """

    def __init__(self, envs: gym.vector.VectorEnv):
        if not isinstance(envs, MindVectorEnv) or envs.mode.value != "SameStep":
            raise Refused('MindVecEnv takes what gymnasium.make_vec("dreamlap/Dream-v0", ...) makes, with autoreset SameStep')
        self.envs = envs
        super().__init__(envs.num_envs, envs.single_observation_space, envs.single_action_space)

    def reset(self) -> np.ndarray:
        """Begin N episodes -> observations (N, Z + H), or (N, S, S, 3)."""
        seeds = None if all(seed is None for seed in self._seeds) else self._seeds
        if any(options != self._options[0] for options in self._options):
            raise Refused("options are the same for all of these environments")
        observation, _ = self.envs.reset(seed=seeds, options=self._options[0])
        self._reset_seeds()
        self._reset_options()
        return observation

    def step_async(self, actions: np.ndarray) -> None:
        """Take the actions (N, A) of the next step."""
        self._actions = actions

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """Make the step -> observations, rewards (N,), ends (N,), what else there is to tell of each."""
        observation, reward, terminated, truncated, info = self.envs.step(self._actions)
        told: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for i in np.flatnonzero(terminated | truncated):
            told[i] = {"terminal_observation": info["final_obs"][i], "TimeLimit.truncated": bool(truncated[i])}
        return observation, reward, terminated | truncated, told

    def close(self) -> None:
        """Close the environments."""
        self.envs.close()

    def get_images(self) -> Sequence[np.ndarray | None]:
        """A frame of each, (S, S, 3) uint8."""
        return self.envs.render() or [None] * self.num_envs

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """An attribute, which all of them share."""
        return [getattr(self.envs, attr_name)] * len(self._chosen(indices))

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Set an attribute of all of them.

        Raises:
            Refused: only of some; they are one environment.
        """
        if len(self._chosen(indices)) != self.num_envs:
            raise Refused("these environments share their attributes: set one for all of them")
        setattr(self.envs, attr_name, value)

    def env_method(self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any) -> list[Any]:
        """Call a method of all of them -> what it gave, for each.

        Raises:
            Refused: of some only; they are one environment.
        """
        if len(self._chosen(indices)) != self.num_envs:
            raise Refused("these environments share their methods: call one for all of them")
        return [getattr(self.envs, method_name)(*method_args, **method_kwargs)] * self.num_envs

    def env_is_wrapped(self, wrapper_class: type[gym.Wrapper], indices: Any = None) -> list[bool]:
        """None of them is."""
        return [False for _ in self._chosen(indices)]

    def _chosen(self, indices: Any) -> list[int]:
        return list(self._get_indices(indices))
