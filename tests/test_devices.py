"""Every kind of V, M, C and mind runs on a GPU and on a Mac: on devices that are pretended, see `pretend_device.py`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PRETEND = Path(__file__).parent / "pretend_device.py"
TINY = (
    *("--collect.steps", "20", "--collect.autopilot", "0", "--collect.correlated", "1", "--collect.random", "1"),
    *("--rounds.steps", "20", "--rounds.episodes", "1", "--memory.hidden", "16", "--vision-training.updates", "6"),
    *("--memory-training.updates", "6", "--ppo.updates", "4", "--ppo.num-envs", "8", "--ppo.steps", "10"),
    *("--selection.tracks", "1", "--selection.check-steps", "20", "--precision", "float32", "--workers", "1"),
)
EVOLVED = (
    *("--controller.kind", "linear", "--cmaes.generations", "2", "--cmaes.population", "4", "--cmaes.rollouts", "2"),
    *("--cmaes.steps", "20", "--cmaes.final_tracks", "1"),
)
CONV = ("--vision.kind", "conv", "--memory.kind", "gru", *EVOLVED, "--cmaes.directions", "4", "--track.actions", "discrete")
CONV += ("--rounds.rounds", "0")
AWAKE = ("--controller.mind", "awake", "--retrain")
RUNS = {
    "PPO": ((), (*AWAKE, "--ppo.num-envs", "2", "--restarts.controllers", "1", "--restarts.updates", "1")),
    "CMA-ES": (CONV, (*CONV, "--cmaes.generations", "3"), (*CONV, "--cmaes.gamma", "0.9", "--retrain"), (*CONV, *AWAKE)),
}
"""Commands one after another in a folder: C learns in the dream, goes on from what it saved, learns in the real environment."""


def run(device: str, folder: Path, verb: str, *flags: str) -> str:
    words = ["train", verb, "debug", "--name", "t", "--device", device, *TINY, *flags]
    alone = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, str(PRETEND), device, *words], cwd=folder, env=alone, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.parametrize("device", ["cuda", "mps"])
@pytest.mark.parametrize("commands", RUNS.values(), ids=RUNS)
def test_a_run_ends_on_the_device(device: str, commands: tuple[tuple[str, ...], ...], tmp_path: Path):
    for flags in commands:
        assert "agent" in run(device, tmp_path, "controller", *flags)


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_nvae_is_trained_on_the_device(device: str, tmp_path: Path):
    assert "reconstructions" in run(device, tmp_path, "vision", "--vision.kind", "nvae")


def test_the_pretended_device_refuses_what_a_real_one_does(tmp_path: Path):
    code = (
        "import sys, torch\n"
        f"sys.path.insert(0, {str(PRETEND.parent)!r}); sys.argv[1:] = ['mps']\n"
        "import pretend_device as pretended\n"
        "with pretended.Calls(), pretended.Operations():\n"
        "    x = torch.ones(3, device='mps')\n"
        "    assert x.device.type == 'mps' and (x + 1).sum().item() == 6\n"
        "    for wrong in (lambda: x + torch.ones(3), lambda: x.double(), lambda: torch.special.ndtri(x / 2)):\n"
        "        try: wrong()\n"
        "        except (RuntimeError, TypeError): continue\n"
        "        raise SystemExit('taken')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


DREAMS = """
import sys
sys.path.insert(0, sys.argv[2])
device, agent = sys.argv[1], sys.argv[3]
import gymnasium, numpy as np, torch
import pretend_device as pretended
import dreamlap


def episodes(agent):
    seen = []
    for name in ("Dream", "Awake"):
        for mode in ("SameStep", "NextStep", "Disabled"):
            envs = gymnasium.make_vec(f"dreamlap/{name}-v0", num_envs=3, agent=agent, autoreset_mode=mode, max_episode_steps=2,
                                      render_mode="rgb_array")
            seen.append(envs.reset(seed=[7, 8, 2**70])[0])
            for t in range(4):
                if mode == "Disabled" and t == 2:
                    seen.append(envs.reset(seed=4, options={"reset_mask": np.array([True, True, t < 2])})[0])
                    seen.append(envs.reset(options={"reset_mask": np.array([False, False, True])}, seed=[0, 0, 1])[0])
                observation, reward, *_ = envs.step(np.full((3, 2), 0.3))
                seen += [observation, reward]
            assert envs.render()[2].shape == (64, 64, 3)
            envs.close()
    return seen


here = episodes(dreamlap.load_agent(agent))
pretended.pretend()
with pretended.Calls(), pretended.Operations():
    there = dreamlap.load_agent(agent, device)
    assert there.state.device.type == device
    for one, other in zip(here, episodes(there), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)
print("alike")
"""


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_dreams_and_drives_are_those_of_the_cpu(device: str, path: str):
    """The pretended device computes what the CPU does, and so do environments whose agent is on it."""
    alone, words = os.environ | {"OMP_NUM_THREADS": "1"}, [device, str(PRETEND.parent), path]
    done = subprocess.run([sys.executable, "-c", DREAMS, *words], env=alone, capture_output=True, text=True)
    assert done.stdout.strip() == "alike", done.stderr[-3000:]
