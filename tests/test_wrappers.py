"""Gymnasium's wrappers over our environments: every one that applies, and a test that none is forgotten."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from gymnasium import wrappers
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers import vector as vector_wrappers

from tests.test_gymnasium import MINDS, environment, vector

SINGLE: dict[str, Callable[[Any], Any]] = {
    "AddRenderObservation": wrappers.AddRenderObservation,
    "Autoreset": wrappers.Autoreset,
    "ClipAction": wrappers.ClipAction,
    "ClipReward": lambda env: wrappers.ClipReward(env, -1, 1),
    "DelayObservation": lambda env: wrappers.DelayObservation(env, 2),
    "DtypeObservation": lambda env: wrappers.DtypeObservation(env, np.float64),
    "FlattenObservation": wrappers.FlattenObservation,
    "FrameStackObservation": lambda env: wrappers.FrameStackObservation(env, 4),
    "MaxAndSkipObservation": lambda env: wrappers.MaxAndSkipObservation(env, 2),
    "NormalizeObservation": wrappers.NormalizeObservation,
    "NormalizeReward": wrappers.NormalizeReward,
    "NumpyToTorch": lambda env: wrappers.NumpyToTorch(env),
    "OrderEnforcing": wrappers.OrderEnforcing,
    "PassiveEnvChecker": wrappers.PassiveEnvChecker,
    "RecordEpisodeStatistics": wrappers.RecordEpisodeStatistics,
    "RenderCollection": wrappers.RenderCollection,
    "RescaleAction": lambda env: wrappers.RescaleAction(env, np.float32(-1), np.float32(1)),
    "RescaleObservation": lambda env: wrappers.RescaleObservation(env, np.float32(0), np.float32(1)),
    "StickyAction": lambda env: wrappers.StickyAction(env, 0.5),
    "TimeAwareObservation": lambda env: wrappers.TimeAwareObservation(env, flatten=False),
    "TimeLimit": lambda env: wrappers.TimeLimit(env, 20),
    "TransformAction": lambda env: wrappers.TransformAction(env, lambda action: action, env.action_space),
    "TransformObservation": lambda env: wrappers.TransformObservation(env, lambda seen: seen, env.observation_space),
    "RepeatAction": lambda env: wrappers.RepeatAction(env, 2),
    "AddWhiteNoise": lambda env: wrappers.AddWhiteNoise(env, 0.3),
    "ObstructView": lambda env: wrappers.ObstructView(env, 0.3, 5),
    "TransformReward": lambda env: wrappers.TransformReward(env, lambda reward: 2 * float(reward)),
    "GrayscaleObservation": wrappers.GrayscaleObservation,
    "ResizeObservation": lambda env: wrappers.ResizeObservation(env, (32, 32)),
    "ReshapeObservation": lambda env: wrappers.ReshapeObservation(env, (64 * 64 * 3,)),
}
PIXELS = ("GrayscaleObservation", "ResizeObservation", "ReshapeObservation", "RescaleObservation")
"""Wrappers of pictures, or of bounded numbers."""
LEFT_OUT = {
    "HumanRendering", "RecordVideo",  # a window, and moviepy
    "ArrayConversion", "JaxToNumpy", "JaxToTorch",  # jax
    "AtariPreprocessing", "DiscretizeAction", "DiscretizeObservation", "FilterObservation",
}  # fmt: skip
"""The last ones are for Atari, for few numbers, and for dictionaries."""
VECTOR_LEFT_OUT = (LEFT_OUT - {"AtariPreprocessing", "DiscretizeAction", "DiscretizeObservation"}) | {
    "VectorizeTransformAction", "VectorizeTransformObservation", "VectorizeTransformReward",  # what others are made of
}  # fmt: skip


def test_no_wrapper_is_forgotten():
    assert set(wrappers.__all__) - {"vector"} == SINGLE.keys() | LEFT_OUT
    assert set(vector_wrappers.__all__) == VECTOR.keys() | VECTOR_LEFT_OUT


@pytest.mark.parametrize("name", [*MINDS, "dreamlap/CarRacing-v3"])
@pytest.mark.parametrize("wrapper", sorted(SINGLE))
@pytest.mark.filterwarnings("ignore")
def test_gymnasiums_wrappers_work(name: str, wrapper: str, path: str):
    if wrapper == "NumpyToTorch":
        pytest.importorskip("array_api_compat", reason="gymnasium[array-api] is not installed")
    settings: dict[str, Any] = {"size": 64} if "Car" in name else {"observation": "frame"} if wrapper in PIXELS else {}
    env = SINGLE[wrapper](environment(name, path, render_mode="rgb_array", max_episode_steps=8, **settings))
    observation, _ = env.reset(seed=1)
    terminated = truncated = False
    for _ in range(8):
        observation, reward, terminated, truncated, _ = env.step(env.action_space.sample())
        assert np.isfinite(float(reward))
        if wrapper != "NumpyToTorch":
            assert env.observation_space.contains(observation)
        if terminated or truncated:
            break
    assert truncated
    env.close()


VECTOR: dict[str, Callable[[Any], Any]] = {
    "ClipAction": vector_wrappers.ClipAction,
    "ClipReward": lambda envs: vector_wrappers.ClipReward(envs, -1, 1),
    "TransformAction": lambda envs: vector_wrappers.TransformAction(envs, lambda action: action, envs.action_space),
    "TransformObservation": lambda envs: vector_wrappers.TransformObservation(envs, lambda seen: seen, envs.observation_space),
    "DictInfoToList": vector_wrappers.DictInfoToList,
    "DtypeObservation": lambda envs: vector_wrappers.DtypeObservation(envs, np.float64),
    "FlattenObservation": vector_wrappers.FlattenObservation,
    "NormalizeObservation": vector_wrappers.NormalizeObservation,
    "NormalizeReward": vector_wrappers.NormalizeReward,
    "NumpyToTorch": lambda envs: vector_wrappers.NumpyToTorch(envs),
    "RecordEpisodeStatistics": vector_wrappers.RecordEpisodeStatistics,
    "RescaleAction": lambda envs: vector_wrappers.RescaleAction(envs, -1.0, 1.0),
    "RescaleObservation": lambda envs: vector_wrappers.RescaleObservation(envs, np.float32(0), np.float32(1)),
    "TransformReward": lambda envs: vector_wrappers.TransformReward(envs, lambda reward: 2 * reward),
    "GrayscaleObservation": vector_wrappers.GrayscaleObservation,
    "ResizeObservation": lambda envs: vector_wrappers.ResizeObservation(envs, (32, 32)),
    "ReshapeObservation": lambda envs: vector_wrappers.ReshapeObservation(envs, (64 * 64 * 3,)),
}


@pytest.mark.parametrize("name", MINDS)
@pytest.mark.parametrize("wrapper", sorted(VECTOR))
@pytest.mark.filterwarnings("ignore")
def test_gymnasiums_vector_wrappers_work(name: str, wrapper: str, path: str):
    settings = {"observation": "frame"} if wrapper in PIXELS else {}
    if wrapper == "NumpyToTorch":
        pytest.importorskip("array_api_compat", reason="gymnasium[array-api] is not installed")
    settings["autoreset_mode"] = "NextStep"  # wrappers of observations take no other but Disabled
    envs = VECTOR[wrapper](vector(name, path, num_envs=2, max_episode_steps=4, **settings))
    envs.reset(seed=1)
    for _ in range(9):
        observation, reward, *_ = envs.step(np.zeros((2, 2), np.float32))
        assert np.isfinite(np.asarray(reward)).all()
        assert tuple(observation.shape) == envs.observation_space.shape
    envs.close()


@pytest.mark.parametrize("mode", [AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP])
def test_statistics_of_episodes_are_right(mode: AutoresetMode, path: str):
    envs = vector_wrappers.RecordEpisodeStatistics(vector("dreamlap/Dream-v0", path, horizon=4, autoreset_mode=mode))
    envs.reset(seed=1)
    total, wanted, told = np.zeros(3), [], []
    for _ in range(20):
        _, reward, terminated, truncated, info = envs.step(np.zeros((3, 2), np.float32))
        total += reward
        ended = terminated | truncated
        wanted += list(total[ended])
        total[ended] = 0
        if "episode" in info:
            told += list(info["episode"]["r"][info["_episode"]])
            assert (info["episode"]["l"][info["_episode"]] == 4).all()
    assert len(told) == 12 + 3 * (mode == AutoresetMode.SAME_STEP)
    np.testing.assert_allclose(told, wanted, atol=1e-4)


def test_a_window_shows_the_vector(path: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    envs = vector_wrappers.HumanRendering(vector("dreamlap/Dream-v0", path, render_mode="rgb_array"))
    envs.reset(seed=1)
    envs.step(np.zeros((3, 2), np.float32))
    assert envs.window is not None
    envs.close()
