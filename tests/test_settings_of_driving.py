"""Settings that any preset may have: action repeat, five discrete actions, smoothing, random colours, a dream as the track."""

from dataclasses import replace
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch

from dreamlap.agent import Agent, AgentConfig, Starts, build_agent, load_agent
from dreamlap.config.run import CollectConfig, Config
from dreamlap.control import ControllerConfig
from dreamlap.drivers import AgentDriver, DriverConfig
from dreamlap.episodes import EpisodeStore
from dreamlap.episodes.record import collect, recipe
from dreamlap.evaluation import evaluate
from dreamlap.memory import MemoryConfig
from dreamlap.mind import Awake, Dream
from dreamlap.mind.world import open_world, open_worlds, step_all
from dreamlap.plan import check
from dreamlap.track import DISCRETE, FastCarRacing, TrackConfig, to_frame
from dreamlap.vision import VisionConfig


def build(track: TrackConfig | None = None, controller: ControllerConfig | None = None) -> Agent:
    """A small agent whose C does something."""
    track, controller = track or TrackConfig(), controller or ControllerConfig()
    agent = build_agent(AgentConfig(track, VisionConfig(latent=4), MemoryConfig(hidden=8, mixtures=2), controller), 1)
    with torch.no_grad():
        for weights in agent.controller.parameters():
            weights.normal_(generator=torch.Generator().manual_seed(0))
    return agent


def test_discrete_actions_do_what_gymnasiums_do():
    five, own = gym.make("CarRacing-v3", continuous=False), FastCarRacing()
    five.reset(seed=3)
    own.reset(seed=3)
    for action in [3] * 20 + [1, 3, 2, 4, 0, 3, 1, 1]:
        one_hot = np.eye(5, dtype=np.float32)[action]
        frame, reward, *_ = five.step(action)
        ours, own_reward, *_ = own.step(DISCRETE.to_stock(one_hot))
        assert own_reward == reward
        assert np.abs(frame.astype(int) - ours).mean() < 0.6
        np.testing.assert_array_equal(DISCRETE.from_stock(DISCRETE.to_stock(one_hot)), one_hot)


def test_one_of_five_is_done_and_m_is_told_which():
    agent = build(TrackConfig(actions="discrete"))
    wish = torch.tensor([[0.1, 3.0, 2.0, 0.0, 0.0], [-1.0, -0.5, -2.0, -0.6, -0.7]])
    done = agent.execute(wish, torch.zeros(2, 5))
    assert done.tolist() == [[0, 1, 0, 0, 0], [0, 1, 0, 0, 0]]
    np.testing.assert_array_equal(agent.actions.to_stock(done.numpy())[0], np.array([0.6, 0, 0], np.float32))


def test_a_repeated_action_is_as_many_steps_with_it():
    plain, slow = FastCarRacing(size=64), FastCarRacing(size=64, repeat=4)
    plain.reset(seed=5)
    slow.reset(seed=5)
    for action in np.random.default_rng(0).uniform([-1, 0, 0], [1, 1, 0.3], (12, 3)).astype(np.float32):
        steps = [plain.step(action) for _ in range(4)]
        frame, reward, *_ = slow.step(action)
        assert reward == pytest.approx(sum(step[1] for step in steps))
        np.testing.assert_array_equal(frame, steps[-1][0])


def test_a_repeated_action_stops_where_the_episode_does():
    slow = FastCarRacing(size=64, repeat=3000)
    slow.reset(seed=5)
    frame, reward, terminated, *_ = slow.step(np.array([0, 0.4, 0], np.float32))  # straight on until the playfield ends
    assert terminated
    assert reward < 0
    assert frame.any()


@pytest.mark.parametrize("track", [TrackConfig(repeat=3), TrackConfig(repeat=2, actions="discrete")])
def test_an_agent_holds_its_action(track: TrackConfig):
    agent = build(track)
    driver = AgentDriver(agent, 1)
    driver.reset(0, FastCarRacing(size=64, repeat=track.repeat), np.random.default_rng(0))
    frames = np.random.default_rng(0).integers(0, 255, (7, 96, 96, 3), dtype=np.uint8)
    actions = [agent.act(frame) for frame in frames]
    for t in range(0, 7, track.repeat):
        wanted = driver.act(to_frame(frames[t], 64, True)[None])[0]
        for action in actions[t : t + track.repeat]:
            np.testing.assert_allclose(action, wanted, atol=1e-5)
    assert len({tuple(action) for action in actions}) > 1 or track.actions == "discrete"


def test_smoothing_keeps_a_share_of_the_last_action():
    calm = build(controller=ControllerConfig(smoothing=0.3))
    frames = np.random.default_rng(0).integers(0, 255, (2, 96, 96, 3), dtype=np.uint8)
    calm.act(frames[0])
    first, state = calm.action.clone(), calm.state.clone()
    calm.act(frames[1])
    z, observation = calm.perceive(to_frame(frames[1], 64, True)[None], state)
    expected = 0.7 * calm.controller.act(observation) + 0.3 * first
    torch.testing.assert_close(calm.action, expected.clamp(-1, 1))
    torch.testing.assert_close(calm.state, calm.memory.step(z, expected.clamp(-1, 1), state))
    with pytest.raises(ValueError, match=r"`smoothing` is 1\.0, and it must be at least 0"):
        build(controller=ControllerConfig(smoothing=1.0))


def test_minds_smooth_as_the_agent_does(agent: Agent):
    agent.config = replace(agent.config, controller=ControllerConfig(smoothing=0.5))
    with torch.no_grad():
        agent.memory.scalar_head.bias[1] = -50.0  # never ends
    awake = Awake(agent, 1)
    awake.reset([1])
    wish = torch.tensor([[1.0, 1.0]])
    awake.step(wish)
    torch.testing.assert_close(awake._action, 0.5 * wish)
    dream = Dream(agent, 1)
    dream.reset([1])
    dream.step(wish)
    dream.step(wish)
    torch.testing.assert_close(dream._action, 0.75 * wish)


def test_a_c_without_bias_has_the_3840_numbers_of_its_seed():
    config = AgentConfig(
        TrackConfig(actions="stock"),
        VisionConfig("conv", 1024),
        MemoryConfig(hidden=256, mixtures=1),
        ControllerConfig("linear", bias=False),
    )
    assert sum(p.numel() for p in build_agent(config).controller.parameters()) == 3840


def test_colours_are_randomised_on_request():
    def colour(track: TrackConfig, seed: int) -> np.ndarray:
        frame, _ = open_world(track).reset(seed=seed)
        found, counts = np.unique(frame[frame.any(-1)], axis=0, return_counts=True)
        return found[counts.argmax()].astype(int)  # of the grass: most of a frame is grass

    assert np.abs(colour(TrackConfig(), 1) - colour(TrackConfig(), 2)).max() <= 2
    assert np.abs(colour(TrackConfig(randomize=True), 1) - colour(TrackConfig(randomize=True), 2)).max() > 2


@pytest.fixture
def dreamer(agent: Agent, tmp_path: Path) -> str:
    """The folder of an agent whose dream is to be driven on."""
    with torch.no_grad():
        agent.memory.scalar_head.bias[1] = -50.0  # never ends
    agent.save(tmp_path / "first")
    return str(tmp_path / "first")


def test_the_dream_is_a_track_of_its_own(dreamer: str, tmp_path: Path):
    track = TrackConfig(dream=dreamer)
    store = EpisodeStore(tmp_path / "dreamed")
    collect(store, "r00-random", 2, DriverConfig("random"), track, seed=0, steps=20, random_start=1.0, workers=1)
    episode = store.open("r00-random-00000").episode()
    assert episode.frames.shape == (21, 64, 64, 3)
    assert len(episode) == 20
    assert np.isnan(episode.speeds).all()
    world = open_world(track)
    frame, _ = world.reset(seed=episode.about["track"])
    np.testing.assert_array_equal(frame, episode.frames[0])
    for t, action in enumerate(episode.actions):  # what is kept is what happens again
        frame, reward, *_ = world.step(action)
        np.testing.assert_array_equal(frame, episode.frames[t + 1])
        assert reward == pytest.approx(float(episode.rewards[t]), abs=1e-5)


def test_dreams_that_are_driven_together_are_those_that_are_driven_alone(dreamer: str):
    together, alone = open_worlds(TrackConfig(dream=dreamer), 3), open_worlds(TrackConfig(dream=dreamer), 3)
    for seed, (one, other) in enumerate(zip(together, alone, strict=True)):
        np.testing.assert_array_equal(one.reset(seed=seed)[0], other.reset(seed=seed)[0])
    for actions in np.random.default_rng(0).uniform([-1, 0, 0], 1, (20, 3, 3)):
        kept = slice(0, 3) if actions[0, 0] > 0 else slice(1, 3)  # not always the same ones
        frames, rewards, ended = step_all(together[kept], actions[kept])
        for i, (track, action) in enumerate(zip(alone[kept], actions[kept], strict=True)):
            frame, reward, over, _, _ = track.step(action)
            assert np.abs(frames[i].astype(int) - frame).max() <= 1
            assert rewards[i] == pytest.approx(reward, abs=1e-4)
            assert ended[i] == over


def test_a_second_agent_is_asked_in_both_dreams(dreamer: str, tmp_path: Path, agent: Agent):
    second = build(TrackConfig(dream=dreamer))
    second.starts = agent.starts
    second.save(tmp_path / "second")
    in_first = evaluate(tmp_path / "second", [900_000], workers=1, track=dreamer)
    assert in_first["track"] == dreamer
    assert in_first["steps"] == [1000]
    awake = Awake(second, 2, limit=5)
    awake.reset([1, 2])
    assert [bool(awake.step(torch.zeros(2, 2)).truncated.all()) for _ in range(5)] == [False] * 4 + [True]


def test_a_dream_with_other_moments_is_another_dream(dreamer: str, tmp_path: Path):
    track, other = TrackConfig(dream=dreamer), load_agent(dreamer)
    assert other.starts is not None
    other.starts = Starts(other.starts.z + 1, other.starts.state)
    asked = {"steps": 20, "random_start": 0.0, "reverse": 0.0, "seed": 0}
    asked_of = Config(track=track, collect=CollectConfig(random=1, correlated=0, autopilot=0))
    driven, run = recipe(DriverConfig("random"), track, **asked), check(asked_of, None, "vision")
    other.save(dreamer)
    assert recipe(DriverConfig("random"), track, **asked) != driven
    assert check(asked_of, None, "vision") != run


def test_a_dream_that_does_not_fit_is_refused(dreamer: str, tmp_path: Path):
    with pytest.raises(ValueError, match=r"size is 64, not 96: use --track\.size 64"):
        open_world(TrackConfig(size=96, dream=dreamer))
    with pytest.raises(ValueError, match="choose another driver"):
        collect(EpisodeStore(tmp_path), "a", 1, DriverConfig(), TrackConfig(dream=dreamer), seed=0, workers=1)
