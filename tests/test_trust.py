"""The check of the dream: a sound M predicts what the track gives, a corrupted one raises an alarm."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dreamlap.agent import Agent, load_agent
from dreamlap.drivers import DriverConfig
from dreamlap.episodes import Episode, EpisodeStore
from dreamlap.episodes.latents import Latents, encode_episodes
from dreamlap.episodes.record import collect
from dreamlap.learn.ppo import PPOConfig
from dreamlap.measure.trust import (
    Predictions,
    advice,
    agreement,
    calibration,
    check_policies,
    compare_rewards,
    dream_and_track,
    perturbed,
    predictions,
)
from dreamlap.named import PRETRAINED
from dreamlap.show.trust import calibrated, policy_dots, round_lines


@pytest.fixture(scope="module")
def champion() -> Agent:
    return load_agent("champion")


@pytest.fixture(scope="module")
def drives(champion: Agent, tmp_path_factory: pytest.TempPathFactory) -> Latents:
    """What the champion drives, as it sees it itself."""
    store = EpisodeStore(tmp_path_factory.mktemp("drives"))
    driver = DriverConfig(str(PRETRAINED / "champion"), noise=(0.0, 0.2))
    collect(store, "drive", 4, driver, champion.config.track, seed=1, steps=200, workers=1)
    return encode_episodes(champion.vision, list(store), champion.actions, champion.config.track.bar)


def test_a_sound_memory_predicts_the_rewards(champion: Agent, drives: Latents):
    made = predictions(champion.memory, drives, 25, burn_in=60)
    assert made.reward.shape == made.real_off_road.shape == (4 * 12, 25)  # moments 60, 70 ... 170 of four drives
    found = compare_rewards(made, PPOConfig().off_road_penalty)
    assert not found["alarm"]
    assert found["actual"] > 0.5  # it did drive
    assert calibration(predictions(champion.memory, drives, 10, burn_in=60))["10"]["correlation"] > 0.5


@pytest.mark.parametrize("part", ["lstm.weight_hh_l0", "z_head.weight"])
def test_a_corrupted_memory_is_found_out(drives: Latents, part: str):
    memory = load_agent("champion").memory
    weights = dict(memory.named_parameters())[part]
    with torch.no_grad():  # at a low penalty another shuffle may leave the mean, which is all the alarm compares
        weights.copy_(weights[torch.randperm(len(weights), generator=torch.Generator().manual_seed(1))])
    assert compare_rewards(predictions(memory, drives, 25, burn_in=60), PPOConfig().off_road_penalty)["alarm"]


def test_the_advice_of_an_alarm_depends_on_its_sign():
    optimistic, pessimistic = ({"predicted": sign * 1.0, "actual": 0.0} for sign in (1, -1))
    assert "too optimistic" in advice(optimistic)
    assert "--rounds.controller_updates" in advice(optimistic)
    assert "too pessimistic" in advice(pessimistic)
    assert "does not exploit" in advice(pessimistic)
    assert "controller_updates" not in advice(pessimistic)


def test_predictions_are_of_the_steps_that_were_driven(agent: Agent, episode: Episode, tmp_path: Path):
    with torch.no_grad():
        agent.memory.scalar_head.weight.zero_()
        agent.memory.scalar_head.bias.copy_(
            torch.tensor([3.0, 0.0, 0.0])
        )  # reward, end, off the road: it expects these, always
    store, rewards = EpisodeStore(tmp_path), np.arange(40, dtype=np.float32)
    store.write("a", replace(episode, rewards=rewards))
    latents = encode_episodes(agent.vision, list(store), agent.actions, agent.config.track.bar)
    made = predictions(agent.memory, latents, 10, burn_in=16)
    assert made.real_reward.tolist() == [list(range(20, 30)), list(range(30, 40))]
    np.testing.assert_allclose(made.real_off_road, latents.off_road[21:].unflatten(0, (2, 10)))
    assert (made.reward == 3).all()
    assert (made.off_road == 0.5).all()
    found = compare_rewards(made, off_road_penalty=2.0)
    assert found["predicted"] == pytest.approx(2.0)
    assert found["actual"] == pytest.approx(29.5 - 2 * made.real_off_road.mean())
    assert calibration(made)["10"]["predicted"] == pytest.approx(30)
    assert calibration(made)["10"]["actual"] == pytest.approx(295)
    assert "50" not in calibration(made)


def test_of_drives_that_are_too_short_nothing_is_asked(drives: Latents, champion: Agent):
    assert compare_rewards(predictions(champion.memory, drives, 25, burn_in=180), 8.0) == {"alarm": False}


def test_drives_without_rewards_are_not_calibrated():
    made = Predictions(np.ones((5, 50)), np.zeros((5, 50)), np.full((5, 50), np.nan), np.zeros((5, 50)))
    assert calibration(made) == {}


def test_controllers_drive_and_dream(champion: Agent):
    """The champion earns in its dream about what it earns on the track, and a perturbed one less in both; C is put back."""
    before = {name: weights.clone() for name, weights in champion.controller.state_dict().items()}
    asked = check_policies(
        champion, {"round 1": before, "perturbed 2": perturbed(champion.controller, 2.0, 0)}, 200, 20, seed=0
    )
    sober, mad = asked
    assert sober["dream"] == pytest.approx(sober["real"], abs=0.25)
    assert mad["dream"] < sober["dream"] - 0.5
    assert mad["real"] < sober["real"] - 0.5
    assert all(torch.equal(before[name], weights) for name, weights in champion.controller.state_dict().items())
    assert asked[0]["dream"] == dream_and_track(champion, 200, 20, seed=0)["dream"]


def test_agreement_counts_ranks():
    asked = [{"dream": dream, "real": real} for dream, real in ((1.0, 0.5), (2.0, 0.6), (4.0, 3.0), (9.0, float("nan")))]
    assert agreement(asked) == {"rank_correlation": pytest.approx(1.0), "bias": pytest.approx(2.9 / 3)}
    assert agreement(asked[:2]) == {}


def test_the_figures_are_pictures():
    sums = {"10": {"pairs": [[1.0, 2.0], [3.0, 3.5], [4.0, 5.0]], "correlation": 0.9}}
    asked = [{"name": "round 1", "dream": 1.0, "real": 0.5}, {"name": "perturbed 0.1", "dream": 0.5, "real": 0.2}]
    off_road = {"predicted_off_road": 0.1, "actual_off_road": 0.2}
    rounds = {n: {"predicted": 1.0, "actual": 0.5 * n, **off_road, "alarm": n == 2} for n in (1, 2)}
    for png in (calibrated(sums), policy_dots(asked), round_lines(rounds)):
        assert png.startswith(b"\x89PNG")
