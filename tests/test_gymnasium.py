"""The environments among other people's tools: Gymnasium's vector contract and wrappers, its workers, Stable-Baselines3."""

import copy
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.envs.registration import EnvSpec
from gymnasium.error import ClosedEnvironmentError, ResetNeeded
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from dreamlap.agent import Agent, AgentConfig, Starts, build_agent, load_agent
from dreamlap.errors import Refused
from dreamlap.mind.shards import Shards
from dreamlap.track import FastCarRacing, TrackConfig
from tests.conftest import never_end

MINDS = ("dreamlap/Dream-v0", "dreamlap/Awake-v0")


def environment(name: str, path: str, **settings: Any) -> Any:
    settings |= {} if "Car" in name else {"agent": path}
    return gym.make(name, **settings)


def vector(name: str, agent: str | Agent, num_envs: int = 3, **settings: Any) -> Any:
    return gym.make_vec(name, num_envs=num_envs, agent=agent, **settings)


def idle(envs: Any) -> np.ndarray:
    return np.zeros(envs.action_space.shape, np.float32)


# Auto-reset


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_what_follows_an_end_is_as_in_gymnasium(mode: AutoresetMode, path: str):
    """Observations of the first episodes, flags, rewards, and the keys and masks of info, step by step."""
    name, settings = "dreamlap/Dream-v0", {"horizon": 3}
    ours = vector(name, path, autoreset_mode=mode, **settings)
    theirs = SyncVectorEnv([lambda: environment(name, path, **settings)] * 3, autoreset_mode=mode)
    assert ours.metadata["autoreset_mode"] == theirs.metadata["autoreset_mode"] == mode
    seen = [envs.reset(seed=5)[0] for envs in (ours, theirs)]
    np.testing.assert_allclose(*seen, atol=1e-5)
    for t in range(1, 9):
        if mode == AutoresetMode.DISABLED and t in (4, 7):
            for envs in (ours, theirs):
                with pytest.raises((ResetNeeded, AssertionError)):
                    envs.step(idle(envs))
                envs.reset(seed=[5, 6, 7], options={"reset_mask": np.ones(3, bool)})
        (o, r, te, tr, info), (o2, r2, te2, tr2, info2) = (envs.step(idle(envs)) for envs in (ours, theirs))
        np.testing.assert_array_equal(te, te2)
        np.testing.assert_array_equal(tr, tr2)
        assert (o.dtype, r.dtype, te.dtype, tr.dtype) == (o2.dtype, r2.dtype, te2.dtype, tr2.dtype)
        if t <= 3 or mode == AutoresetMode.DISABLED:
            np.testing.assert_allclose(r, r2, atol=1e-5)
        if t < 3 or mode == AutoresetMode.DISABLED:
            np.testing.assert_allclose(o, o2, atol=1e-5)
        assert info.keys() == info2.keys() or mode == AutoresetMode.NEXT_STEP
        if "final_obs" in info:
            np.testing.assert_array_equal(info["_final_obs"], info2["_final_obs"])
            np.testing.assert_array_equal(info["final_info"]["_off_road"], info2["final_info"]["_off_road"])
            if t == 3:
                np.testing.assert_allclose(info["final_obs"], np.stack(info2["final_obs"]), atol=1e-5)
    with pytest.raises(Refused, match="autoreset_mode is one of NextStep, SameStep, Disabled"):
        vector(name, path, autoreset_mode="Sometimes")


@pytest.mark.parametrize("name", MINDS)
def test_next_step_ignores_the_action_and_pays_nothing(name: str, path: str):
    envs = vector(name, path, num_envs=2, autoreset_mode="NextStep", max_episode_steps=4)
    begun, _ = envs.reset(seed=1)
    for t in range(1, 11):
        observation, reward, _, truncated, _ = envs.step(np.full((2, 2), 0.5, np.float32))
        assert truncated.all() == (t in (4, 9))
        if t in (5, 10):
            assert (reward == 0).all()
            assert not np.array_equal(observation, begun)
    envs.close()


@pytest.mark.parametrize("name", MINDS)
def test_a_reset_mask_begins_some_and_leaves_the_others(name: str, path: str):
    envs = vector(name, path, autoreset_mode=AutoresetMode.DISABLED)
    with pytest.raises(ResetNeeded):
        envs.reset(options={"reset_mask": np.array([True, False, False])})
    begun, _ = envs.reset(seed=[1, 2, 3])
    before, *_ = envs.step(idle(envs))
    after, _ = envs.reset(seed=[9, 2, 9], options={"reset_mask": np.array([False, True, False])})
    np.testing.assert_array_equal(after[[0, 2]], before[[0, 2]])
    np.testing.assert_allclose(after[1], begun[1], atol=1e-6)
    for mask in (np.zeros(3, bool), np.ones(2, bool), np.ones(3), [1, 0, 1], None):
        with pytest.raises(Refused, match="reset_mask"):
            envs.reset(options={"reset_mask": mask})
    envs.close()


def test_episodes_in_shards_are_those_of_one_batch(path: str):
    agent = load_agent(path)
    many, few = (vector("dreamlap/Dream-v0", agent, count, horizon=3) for count in (300, 3))
    assert isinstance(many.mind, Shards)
    actions = np.random.default_rng(0).uniform(-1, 1, (8, 300, 2)).astype(np.float32)
    o = np.zeros(0)
    a, b = many.reset(seed=7)[0], few.reset(seed=[7 + 100, 7 + 299, 7])[0]
    rows = [100, 299, 0]
    np.testing.assert_allclose(a[rows], b, atol=1e-5)
    for action in actions:
        (o, r, *_), (o2, r2, *_) = many.step(action), few.step(action[rows])
        np.testing.assert_allclose(o[rows], o2, atol=1e-4)
        np.testing.assert_allclose(r[rows], r2, atol=1e-4)
    mask = np.arange(300) % 2 == 0
    again, _ = many.reset(seed=7, options={"reset_mask": mask})
    np.testing.assert_allclose(again[mask], a[mask], atol=1e-6)
    np.testing.assert_array_equal(again[~mask], o[~mask])
    assert many.mind.render().shape == (300, 64, 64, 3)


# Seeds


@pytest.mark.parametrize("name", [*MINDS, "dreamlap/CarRacing-v3"])
def test_the_seed_that_gymnasium_drew_begins_the_episode_again(name: str, path: str):
    env = environment(name, path)
    first, _ = env.reset()
    second, _ = env.reset()
    seed: Any = env.unwrapped.np_random_seed
    for other in (env, environment(name, path)):
        np.testing.assert_array_equal(other.reset(seed=seed)[0], first)
        np.testing.assert_array_equal(other.reset()[0], second)


@pytest.mark.parametrize("name", MINDS)
def test_whatever_is_a_seed_is_used_and_whatever_is_none_is_refused(name: str, path: str):
    env, envs = environment(name, path), vector(name, path)
    wanted = envs.reset(seed=[0, 1, 2])[0]
    for seed in (0, np.int64(0), np.arange(3), (0, 1, 2), list(np.arange(3)), iter([0, 1, 2])):
        np.testing.assert_array_equal(envs.reset(seed=seed)[0], wanted)
    np.testing.assert_allclose(env.reset(seed=np.uint8(2))[0], wanted[2], atol=1e-5)
    for seed in (2**31, 2**63, 2**63 - 1, 2**127 + 5):
        first = env.reset(seed=seed)[0]
        np.testing.assert_array_equal(env.reset(seed=seed)[0], first)
        np.testing.assert_allclose(envs.reset(seed=[0, seed, 0])[0][1], first, atol=1e-5)
    for wrong in (-1, 1.0, "1", True):
        with pytest.raises(Refused, match="a seed is a whole number from 0 on"):
            env.reset(seed=wrong)
        with pytest.raises(Refused, match="seed"):
            envs.reset(seed=[0, 1, wrong])
    for wrong in ([], [1, 2], range(4)):
        with pytest.raises(Refused, match="3 environments take one seed, or 3 of them"):
            envs.reset(seed=wrong)


@pytest.mark.parametrize("name", MINDS)
@pytest.mark.parametrize("seed", [5, [4, 2, 9]])
def test_resets_without_a_seed_follow_from_the_one_with_it(name: str, seed: Any, path: str):
    def begun() -> list[np.ndarray]:
        envs = vector(name, path)
        return [envs.reset(seed=seed)[0], envs.reset()[0], envs.reset(seed=[None, 7, None])[0]]

    one, other = begun(), begun()
    np.testing.assert_array_equal(one, other)
    assert not np.array_equal(one[0], one[1])
    np.testing.assert_array_equal(one[2][1], vector(name, path).reset(seed=[0, 7, 0])[0][1])


# Order


@pytest.mark.parametrize("name", MINDS)
def test_a_step_or_a_picture_out_of_order_asks_for_a_reset(name: str, path: str):
    env: Any = environment(name, path, render_mode="rgb_array", max_episode_steps=10).unwrapped
    envs = vector(name, path, num_envs=2, render_mode="rgb_array")
    for call in (lambda: env.step(np.zeros(2)), env.render, lambda: envs.step(np.zeros((2, 2))), envs.render):
        with pytest.raises(ResetNeeded, match="reset"):
            call()
    envs.reset(seed=1)
    envs.close()
    for call in (lambda: envs.step(np.zeros((2, 2))), envs.render, envs.reset):
        with pytest.raises(ClosedEnvironmentError):
            call()
    envs.close()


def test_after_the_end_of_an_episode_comes_a_reset(path: str):
    env: Any = environment("dreamlap/Dream-v0", path, horizon=2).unwrapped
    env.reset(seed=0)
    assert [env.step(np.zeros(2))[3] for _ in range(2)] == [False, True]
    with pytest.raises(ResetNeeded, match="the episode has ended"):
        env.step(np.zeros(2))
    env.reset()
    assert not env.step(np.zeros(2))[3]


def test_the_fast_track_out_of_order_is_as_the_stock_one():
    with pytest.raises(ResetNeeded):
        FastCarRacing().step(np.zeros(3, np.float32))
    assert FastCarRacing(render_mode="state_pixels").render() is None


# Pictures


@pytest.mark.parametrize("name", MINDS)
def test_there_is_a_picture_of_each_environment(name: str, path: str):
    envs = vector(name, path, render_mode="rgb_array")
    envs.reset(seed=1)
    pictures = envs.render()
    assert isinstance(pictures, tuple)
    assert [(picture.shape, picture.dtype) for picture in pictures] == [((64, 64, 3), np.uint8)] * 3
    assert not np.array_equal(pictures[0], pictures[1])
    assert vector(name, path).render_mode is None
    envs.close()


@pytest.mark.parametrize("name", [*MINDS, "dreamlap/CarRacing-v3"])
@pytest.mark.filterwarnings("ignore:.*render_mode='nonsense'")
def test_render_modes_do_as_gymnasium_says(name: str, path: str):
    env = environment(name, path, render_mode="rgb_array_list")
    env.reset(seed=1)
    env.step(env.action_space.sample())
    pictures: Any = env.render()
    assert isinstance(pictures, list)
    assert len(pictures) == 2
    env.close()
    if "Car" not in name:
        with pytest.raises(Refused, match="render_mode is 'rgb_array' or None here, not 'nonsense'"):
            environment(name, path, render_mode="nonsense")
        with pytest.raises(Refused, match="render_mode"):
            vector(name, path, render_mode="human")


# Making


@pytest.mark.parametrize("name", MINDS)
@pytest.mark.parametrize("how", ["vector_entry_point", "sync"])
def test_an_episode_is_as_long_as_make_vec_is_told(name: str, how: str, path: str):
    envs = vector(name, path, num_envs=2, vectorization_mode=how, max_episode_steps=5)
    envs.reset(seed=1)
    assert [bool(envs.step(idle(envs))[3].all()) for _ in range(5)] == [False] * 4 + [True]
    envs.close()
    for wrong in (0, -1, 2.5, "5"):
        with pytest.raises(Refused, match="max_episode_steps"):
            vector(name, path, max_episode_steps=wrong)
    with pytest.raises((TypeError, Refused), match="nonsense"):
        vector(name, path, nonsense=1)


@pytest.mark.parametrize("name", MINDS)
@pytest.mark.parametrize("given", [str, Path, load_agent])
def test_a_specification_survives_json_and_states_the_limit(name: str, given: Callable[[str], Any], path: str):
    settings: Any = {"horizon": 7} if "Dream" in name else {}
    env = gym.make(name, agent=given(path), **settings)
    assert env.spec is not None
    spec = EnvSpec.from_json(env.spec.to_json())
    assert spec.kwargs["agent"] == path
    assert spec.max_episode_steps == settings.get("horizon", 1000)
    again = gym.make(spec)
    np.testing.assert_array_equal(again.reset(seed=3)[0], env.reset(seed=3)[0])
    assert vector(name, path, **settings).spec.max_episode_steps == settings.get("horizon", 1000)


@pytest.mark.parametrize("given", [None, "", 3, ["champion"]])
def test_what_is_no_agent_is_refused_by_name(given: Any):
    for make in (gym.make, gym.make_vec):
        for name in MINDS:
            with pytest.raises(Refused, match=r"agent is .*give its folder, or the name of an included one"):
                make(name, agent=given)
        with pytest.raises(Refused, match="agent is "):
            load_agent(given)
    for make in (gym.make, gym.make_vec):
        with pytest.raises(Refused, match="agent is None"):
            make("dreamlap/Dream-v0")


# Actions


def test_a_discrete_agent_takes_the_number_of_what_it_does(tmp_path: Path):
    agent = build_agent(AgentConfig(track=TrackConfig(actions="discrete")))
    agent.starts = Starts(torch.randn(4, 32), torch.randn(4, agent.memory.state_size) * 0.1)
    never_end(agent)
    for name in MINDS:
        env, envs = gym.make(name, agent=agent), gym.make_vec(name, num_envs=2, agent=agent)
        assert env.action_space == gym.spaces.Discrete(5)
        check_env(env.unwrapped, skip_render_check=True)
        env.reset(seed=1)
        one = env.step(3)[0]
        env.reset(seed=1)
        np.testing.assert_array_equal(env.step(np.eye(5, dtype=np.float32)[3])[0], one)
        envs.reset(seed=1)
        both = envs.step(np.array([3, 1]))[0]
        np.testing.assert_allclose(both[0], one, atol=1e-5)
        for wrong in (5, -1, 2.0, "gas", None):
            with pytest.raises(Refused, match=r"whole number from 0 to 4 \(nothing, right, left, gas, brake\)|5 numbers"):
                env.unwrapped.step(wrong)
        for wrong in (np.array([3, 5]), 3, np.zeros(3, int)):
            with pytest.raises(Refused, match="action"):
                envs.step(wrong)


# Copies, processes, other trainers


@pytest.mark.parametrize("name", MINDS)
def test_a_dream_is_copied_and_goes_on(name: str, path: str):
    envs = vector(name, path)
    envs.reset(seed=4)
    for duplicate in (copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))):
        if "Dream" in name:
            other = duplicate(envs)
            np.testing.assert_array_equal(envs.step(idle(envs))[0], other.step(idle(envs))[0])


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_drive_and_dream_as_one_does(method: str, path: str, tmp_path: Path):
    """`gymnasium.make_vec(..., vectorization_mode="async")` forks on Linux, after torch has used its threads."""
    script = tmp_path / "drive.py"
    script.write_text(
        "import sys, faulthandler, numpy as np, gymnasium, torch, dreamlap\n"
        "if __name__ == '__main__':\n"
        "    faulthandler.dump_traceback_later(150, exit=True)\n"
        "    torch.randn(600, 600) @ torch.randn(600, 600)\n"
        f"    for name in {MINDS!r}:\n"
        "        sums = []\n"
        "        for mode, how in (('sync', {}), ('async', {'context': sys.argv[2]})):\n"
        "            how = {'vectorization_mode': mode, 'vector_kwargs': how}\n"
        "            envs = gymnasium.make_vec(name, num_envs=2, agent=sys.argv[1], **how)\n"
        "            envs.reset(seed=3)\n"
        "            sums.append([envs.step(np.full((2, 2), 0.3, np.float32))[0].sum() for _ in range(10)])\n"
        "            envs.close()\n"
        "        assert np.allclose(*sums), sums\n"
    )
    done = subprocess.run([sys.executable, str(script), path, method], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr[-2000:]


def test_environments_are_known_where_the_module_is_named(path: str):
    """Worker processes that never imported dreamlap (of a notebook, or Stable-Baselines3's) find `dreamlap:dreamlap/...`."""
    code = (
        "import gymnasium, sys; print(gymnasium.make('dreamlap:dreamlap/Awake-v0', agent=sys.argv[1]).reset(seed=0)[0].shape)"
    )
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, timeout=100)
    assert "(12,)" in done.stdout, done.stderr[-2000:]


def test_stable_baselines_learns_in_many_dreams(path: str):
    ppo = pytest.importorskip("stable_baselines3").PPO
    from dreamlap.mind.stable_baselines import MindVecEnv

    envs = MindVecEnv(vector("dreamlap/Dream-v0", path, 8, horizon=5, render_mode="rgb_array"))
    envs.seed(3)
    begun = envs.reset()
    np.testing.assert_array_equal(begun, vector("dreamlap/Dream-v0", path, 8).reset(seed=3)[0])
    told: Any = [envs.step(np.zeros((8, 2), np.float32)) for _ in range(5)][-1]
    assert told[2].all()
    assert all(info["TimeLimit.truncated"] and info["terminal_observation"].shape == (12,) for info in told[3])
    assert not np.array_equal(told[3][0]["terminal_observation"], told[0][0])
    picture = envs.render()
    assert picture is not None
    assert picture.shape == (192, 192, 3)
    model = ppo("MlpPolicy", envs, n_steps=8, batch_size=32, n_epochs=1, device="cpu", seed=0)
    before = copy.deepcopy(model.policy.state_dict())
    model.learn(128)
    assert any(not torch.equal(before[key], value) for key, value in model.policy.state_dict().items())
    with pytest.raises(Refused, match="MindVecEnv takes"):
        MindVecEnv(vector("dreamlap/Dream-v0", path, 2, autoreset_mode="Disabled"))
    envs.close()
