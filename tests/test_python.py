"""dreamlap from Python: its public names, and what each takes."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

import dreamlap
from dreamlap.agent import Agent, load_agent
from dreamlap.config.run import Config
from dreamlap.errors import Refused
from dreamlap.presets import PRESETS
from dreamlap.settings import changed


def test_the_package_shows_its_public_names_before_it_loads_them():
    program = "import dreamlap, sys; print(*dir(dreamlap)); print('torch' in sys.modules)"
    shown, loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert {"Agent", "evaluate", "load", "load_agent", "train"} <= set(shown.split())
    assert loaded == "False"
    assert all(callable(getattr(dreamlap, name)) for name in shown.split() if name != "__version__")
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        _ = dreamlap.lode  # pyright: ignore[reportAttributeAccessIssue]


def test_an_agent_shows_its_parts_its_score_and_its_cost(agent: Agent):
    shown = repr(included := load_agent("unprivileged"))
    for part in ("light: frames (64, 64, 3)", "lstm", "actor-critic", "935 ± 6 on 100 test tracks", "205,026 real steps"):
        assert part in shown
    with torch.no_grad():
        next(included.controller.parameters())[0] += 1
    assert included.score is None  # it is another agent now
    assert "score  unknown\n  cost   unknown" in repr(agent)
    included.about["seconds"] = 61.0
    assert "1 minute\n" in repr(included)
    assert "2 gray frames (64, 64) -> action (steer, pedal)" in repr(dreamlap.load("expert"))


def test_an_agent_acts_in_its_dream(agent: Agent):
    dream = gym.make_vec("dreamlap/Dream-v0", num_envs=3, agent=agent)
    observation, _ = dream.reset(seed=0)
    action = agent.decide(observation)
    np.testing.assert_array_equal(action, agent.controller.act(torch.from_numpy(observation)).detach())
    np.testing.assert_allclose(agent.decide(observation[1]), action[1], atol=1e-6)
    assert dream.step(action)[0].shape == observation.shape
    with pytest.raises(Refused, match=r"C sees \[z, h\], arrays \(N, 12\) or \(12,\) of floats, not \(96, 96, 3\) uint8"):
        agent.decide(np.zeros((96, 96, 3), np.uint8))


def test_any_function_from_frames_to_actions_is_scored(agent: Agent):
    seen = []

    def drive(frame: np.ndarray) -> list[float]:
        seen.append(frame.shape)
        return [0, 0.1, 0]

    made = dreamlap.evaluate(drive, [900_000], workers=1, track="fast")
    again = dreamlap.evaluate(lambda frame: np.array([0, 0.1, 0]), [900_000], workers=2, track="fast")
    assert made["returns"] == again["returns"]
    assert set(seen) == {(96, 96, 3)}
    assert len(seen) == made["steps"][0]
    assert made["fingerprint"] is None
    assert "drive" in made["trained"]["function"]
    assert dreamlap.evaluate(agent, [900_000], workers=1, track="fast")["fingerprint"] == agent.fingerprint


@pytest.mark.parametrize(
    ("driver", "track", "message"),
    [
        (lambda frame: [0, 0.1], "fast", r"an action has 3 numbers \(steer, gas, brake\), not shape \(2,\)"),
        (lambda frame: [0, 0.1, 0], "dream", "is a dream, and only the agent in a folder drives there"),
        (7, "stock", "a function from frames to actions, not 7"),
    ],
)
def test_what_cannot_drive_is_refused(driver: Any, track: str, message: str):
    with pytest.raises(Refused, match=message):
        dreamlap.evaluate(driver, [900_000], workers=1, track=track)


@pytest.mark.parametrize(
    ("preset", "settings", "message"),
    [
        ("debgu", {}, "no preset 'debgu'; did you mean debug"),
        ("nonsense", {}, "no preset 'nonsense'; there are demo, sprint, quick, .* jk2500$"),
        ("debug", {"sed": 1}, "no setting 'sed' in Config; did you mean seed"),
        ("debug", {"zzz": 1}, "no setting 'zzz' in Config; there are track, collect, "),
        ("debug", {"vision": {"latnt": 16}}, "no setting 'latnt' in VisionConfig; did you mean latent"),
        ("debug", {"vision": {"latent": 0}}, "`latent` is 0, and it must be at least 1"),
        ("debug", {"full": True}, "debug has one size, its full one"),
        (Config(), {"full": True}, "settings of your own have the amounts that you gave them"),
        ("ha2018", {"full": True, "workers": 0}, "`workers` is 0"),
        (5, {}, "train: `preset` is 5, and it must be a text"),
        ("debug", {"scale": "a"}, "train: `scale` is 'a', and it must be a finite number"),
        ("debug", {"data": 5}, "train: `data` is 5, and it must be a path"),
        ("debug", {"memory": {"hidden": [4]}}, "`hidden` is"),
    ],
)
def test_a_training_that_cannot_be_is_refused_before_anything_is_written(
    preset: str | Config, settings: Any, message: str, tmp_path: Path
):
    with pytest.raises(Refused, match=message):
        dreamlap.train(preset, tmp_path / "run", **settings)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("seeds", [[900_000.7], [True], "123", 5, [np.nan], np.array([1.5]), "900000:900020"])
def test_what_are_no_seeds_is_refused(seeds: Any):
    with pytest.raises(Refused, match="seed"):
        dreamlap.evaluate("champion", seeds, workers=1, track="fast")


@pytest.mark.parametrize("device", ["nope", "cuda:99", 5.5])
def test_a_device_that_is_not_there_is_refused_by_name(device: Any):
    with pytest.raises(Refused, match="device"):
        dreamlap.load("champion", device=device)


def test_an_agent_is_saved_where_a_text_says(agent: Agent, tmp_path: Path):
    agent.save(str(tmp_path / "one"))
    assert dreamlap.load(tmp_path / "one").fingerprint == agent.fingerprint


def test_settings_change_by_name():
    config = changed(PRESETS["debug"].config, {"seed": 1, "vision": {"latent": 16}})
    assert (config.seed, config.vision.latent, config.vision.kind) == (1, 16, "light")


TINY = {
    "collect": {"steps": 20, "autopilot": 0, "correlated": 1, "random": 1}, "rounds": {"rounds": 0}, "memory": {"hidden": 16},
    "vision_training": {"updates": 4}, "memory_training": {"updates": 4}, "ppo": {"updates": 2, "num_envs": 8, "steps": 10},
    "selection": {"tracks": 1, "candidates": 1}, "workers": 1,
}  # fmt: skip


def test_a_training_with_other_settings_is_made_again_if_that_is_asked_for(tmp_path: Path):
    first, other = (dreamlap.train("debug", tmp_path / name, **TINY, seed=i).fingerprint for i, name in enumerate("ab"))
    with pytest.raises(Refused, match=r"--seed 0 -> 1.*--retrain"):
        dreamlap.train("debug", tmp_path / "a", **TINY, seed=1)
    assert dreamlap.load(tmp_path / "a").fingerprint == first
    assert dreamlap.train("debug", tmp_path / "a", **TINY, seed=1, retrain=True).fingerprint == other


@pytest.mark.parametrize("setting", ["float64", "meta"])
def test_a_training_is_the_same_whatever_the_caller_has_set(setting: str, tmp_path: Path):
    wanted = dreamlap.train("debug", tmp_path / "plain", **TINY).fingerprint
    try:
        if setting == "meta":
            torch.set_default_device(setting)
        else:
            torch.set_default_dtype(getattr(torch, setting))
        assert dreamlap.train("debug", tmp_path / setting, **TINY).fingerprint == wanted
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_default_device(None)


@pytest.mark.parametrize("setting", ["float64", "bfloat16", "meta", "inference", "deterministic"])
def test_the_callers_torch_settings_change_nothing_and_stay(setting: str):
    def everything() -> list[np.ndarray]:
        frame, found = np.random.default_rng(0).integers(0, 255, (96, 96, 3)).astype(np.uint8), []
        for name in ("champion", "expert"):
            driver = dreamlap.load(name)
            found += [driver.act(frame) for _ in range(2)]
        found.append(np.array(dreamlap.evaluate("champion", [900_000], workers=1, track="fast")["returns"]))
        for name in ("Dream", "Awake"):
            env = gym.make(f"dreamlap/{name}-v0", agent="champion", observation="frame")
            found += [env.reset(seed=1)[0], env.step(np.zeros(2, np.float32))[0]]
            env.close()
        return found

    wanted, threads = everything(), torch.get_num_threads()
    before = torch.get_default_dtype(), torch.get_default_device()
    try:
        if setting == "meta":
            torch.set_default_device(setting)
        elif setting == "deterministic":
            torch.use_deterministic_algorithms(True)
        elif setting != "inference":
            torch.set_default_dtype(getattr(torch, setting))
        asked = torch.get_default_dtype(), torch.get_default_device()
        with torch.inference_mode(setting == "inference"):
            got = everything()
        assert (torch.get_default_dtype(), torch.get_default_device()) == asked
    finally:
        torch.set_default_dtype(before[0])
        torch.set_default_device(None)
        torch.use_deterministic_algorithms(False)
    assert torch.get_num_threads() == threads
    for one, other in zip(wanted, got, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
