"""The measures of M on worlds whose answer is known."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dreamlap.agent import Agent
from dreamlap.episodes import Episode, EpisodeStore
from dreamlap.measure.memory import draw, dream_along, foresight, lived, open_loop, see
from dreamlap.memory.mixture import LOG_SIGMA_RANGE
from dreamlap.show.glimpse import unseen_drive


def _opinionated(agent: Agent, mu: float, reward: float) -> float:
    """Make M expect z = `mu` and this reward whatever happens -> its log sigma."""
    memory = agent.memory
    with torch.no_grad():
        for head in (memory.z_head, memory.scalar_head):
            head.weight.zero_()
            head.bias.zero_()
        memory.z_head.bias.unflatten(0, (3, -1))[1] = mu
        memory.scalar_head.bias[0] = reward
    return sum(LOG_SIGMA_RANGE) / 2


def test_foresight_of_a_stubborn_memory(agent: Agent, episode: Episode, tmp_path: Path):
    """V is certain that z is 0.5 and M that it is 0.25: the surprise and the error of the reward are in the textbook."""
    log_sigma = _opinionated(agent, 0.25, reward=3.0)
    with torch.no_grad():
        last = [layer for layer in agent.vision.encoder.modules() if isinstance(layer, torch.nn.Linear)][-1]
        last.weight.zero_()
        last.bias.copy_(torch.tensor([0.5] * 4 + [-5.0] * 4))
    store = EpisodeStore(tmp_path)
    store.write("a", replace(episode, rewards=np.full(40, 5.0, np.float32)))
    store.write("b", replace(episode, rewards=np.full(40, 1.0, np.float32)))
    found = foresight(agent, list(store))
    error = 0.25**2 + math.exp(-5.0) ** 2  # of the mean, and V's own deviation
    expected = 0.5 * error * math.exp(-2 * log_sigma) + log_sigma + 0.5 * math.log(2 * math.pi)
    assert found["nll_per_dim"] == pytest.approx(expected, abs=0.02)
    assert found["reward_rmse"] == pytest.approx(2.0)
    assert list(found["pixels"]["dream"]) == ["1", "5", "10"]  # forty steps, sixteen of them to warm up: no dream of 25
    assert found["z"]["dream"]["5"] > found["z"]["floor"]["5"] == pytest.approx(math.exp(-5.0), rel=1e-3)
    assert found["z"]["still"]["5"] == 0
    assert found["pixels"]["still"]["10"] == pytest.approx(10, rel=1e-3)  # every frame is one grey level above the last
    assert found == foresight(agent, list(store))


def test_a_dream_along_a_drive_begins_with_what_v_sees(agent: Agent) -> None:
    drive = unseen_drive(agent, 0, steps=60)
    dream = open_loop(agent, drive, horizon=20, places=3)
    assert dream.real.shape == dream.dreamed.shape == (21, 64, 64, 3)
    assert np.array_equal(dream.dreamed[0], draw(agent, see(agent, dream.real[:1]))[0])
    assert dream.pixels["dream"][0] == dream.pixels["floor"][0] > 0
    assert dream.pixels["still"][0] == dream.z["still"][0] == dream.z["dream"][0] == 0 < dream.pixels["still"][20]
    assert (dream.z["floor"] > 0).all()
    assert np.array_equal(dream.dreamed, open_loop(agent, drive, horizon=20, places=3).dreamed)
    with pytest.raises(ValueError, match="too short"):
        open_loop(agent, replace(drive, actions=drive.actions[:16]))


def test_what_is_lived_is_what_memory_is_told(agent: Agent, episode: Episode):
    z, states, actions = lived(agent, episode)
    assert (states[0] == 0).all()
    assert torch.equal(states[2:3], agent.memory.step(z[1:2], actions[1:2], states[1:2]))
    dreamed = dream_along(agent.memory, z[5:7], states[5:7], torch.stack([actions[5:9], actions[6:10]]), seed=3).z
    assert dreamed.shape == (2, 5, 4)
    assert dream_along(agent.memory, z[5:7], states[5:7], torch.zeros(2, 0, 2), seed=3).z.shape == (2, 1, 4)
    assert torch.equal(dreamed[:, 0], z[5:7])
    again = dream_along(agent.memory, z[6:7], states[6:7], actions[None, 6:10], seed=4).z
    torch.testing.assert_close(dreamed[1:], again)  # the same alone as beside another
