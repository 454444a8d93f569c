"""Awake and dreaming: one interface, legal Gymnasium environments, the same chance alone as among many."""

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

import dreamlap
from dreamlap.agent import Agent, Starts
from dreamlap.errors import Refused
from dreamlap.mind import Awake, Dream, DreamConfig, Mind, MindEnv
from dreamlap.protocol import SELECTION_SEEDS
from dreamlap.seeds import normals, uniforms
from tests.conftest import never_end

MINDS = ("dreamlap/Dream-v0", "dreamlap/Awake-v0")


@pytest.mark.parametrize("name", MINDS)
@pytest.mark.filterwarnings("ignore:.*Box observation space (min|max)imum value is.*infinity")
def test_a_single_mind_is_a_legal_environment(name: str, path: str):
    env = gym.make(name, agent=path, render_mode="rgb_array")
    check_env(env.unwrapped, skip_close_check=True)
    env.close()


def test_the_fast_track_is_a_legal_environment():
    assert dreamlap.__version__
    env = gym.make("dreamlap/CarRacing-v3", size=64)
    check_env(env.unwrapped, skip_render_check=True)
    assert env.spec is not None
    assert env.spec.max_episode_steps == 1000
    env.close()


@pytest.mark.parametrize("name", MINDS)
def test_single_and_vector_go_the_same_way(name: str, path: str):
    steps = 20
    many = gym.make_vec(name, num_envs=3, agent=path)
    alone = gym.make(name, agent=path)
    actions = np.random.default_rng(0).uniform(-1, 1, (steps, 3, 2)).astype(np.float32)
    observations, _ = many.reset(seed=7)
    observation, _ = alone.reset(seed=8)
    np.testing.assert_allclose(observation, observations[1], atol=1e-5)
    for t in range(steps):
        observations, rewards, *_ = many.step(actions[t])
        observation, reward, *_ = alone.step(actions[t, 1])
        np.testing.assert_allclose(observation, observations[1], atol=1e-4)
        assert reward == pytest.approx(rewards[1], abs=1e-4)
    many.close()
    alone.close()


@pytest.mark.parametrize("name", MINDS)
def test_a_mind_can_show_frames(name: str, path: str):
    env = gym.make(name, agent=path, observation="frame", render_mode="rgb_array")
    check_env(env.unwrapped, skip_render_check=True)
    assert env.observation_space.shape == (64, 64, 3)
    env.close()
    envs = gym.make_vec(name, num_envs=2, agent=path, observation="frame")
    frames, _ = envs.reset(seed=0)
    assert frames.shape == (2, 64, 64, 3)
    assert frames.dtype == np.uint8
    envs.close()
    with pytest.raises(ValueError, match="one of zh, frame"):
        gym.make(name, agent=path, observation="pixels")


@pytest.mark.parametrize("name", MINDS)
def test_vector_minds_name_their_auto_reset(name: str, path: str):
    envs = gym.make_vec(name, num_envs=2, agent=path)
    assert envs.metadata["autoreset_mode"] == AutoresetMode.SAME_STEP
    assert envs.single_observation_space.shape == (4 + 8,)
    assert envs.observation_space.contains(envs.reset(seed=1)[0])
    assert envs.action_space.shape == (2, 2)
    envs.close()


def test_a_dream_is_cut_at_its_horizon_and_begins_again(agent: Agent):
    never_end(agent)
    mind = Dream(agent, 4, DreamConfig(horizon=3))
    mind.reset([1, 2, 3, 4])
    steps = [mind.step(torch.zeros(4, 2)) for _ in range(6)]
    assert [bool(step.truncated.all()) for step in steps] == [False, False, True, False, False, True]
    last = steps[2]
    assert not torch.equal(last.observation, last.final_observation)
    assert agent.starts is not None
    begun = torch.cat([agent.starts.z, agent.memory.h(agent.starts.state)], -1)
    assert all(any(torch.equal(row, start) for start in begun) for row in last.observation)


def test_a_dream_ends_when_memory_says_so(agent: Agent):
    with torch.no_grad():
        agent.memory.scalar_head.weight.zero_()
        agent.memory.scalar_head.bias.copy_(torch.tensor([0.0, 100.0, 0.0]))
    mind = Dream(agent, 2)
    mind.reset([0, 1])
    step = mind.step(torch.zeros(2, 2))
    assert step.terminated.all()
    assert not step.truncated.any()


def test_awake_resets_on_training_tracks_and_forgets(agent: Agent, monkeypatch: pytest.MonkeyPatch):
    mind = Awake(agent, 2, limit=5)
    mind.reset([3, 4])
    seeds: list[int] = []
    for track in mind.tracks:
        reset = track.reset
        monkeypatch.setattr(track, "reset", lambda seed, options, reset=reset: seeds.append(seed) or reset(seed=seed))
    step = [mind.step(torch.zeros(2, 2)) for _ in range(5)][-1]
    assert step.truncated.all()
    assert len(seeds) == 2
    assert max(seeds) < SELECTION_SEEDS
    assert (step.observation[:, 4:] == 0).all()
    mind.close()


@pytest.mark.parametrize("make", [lambda agent: Dream(agent, 4), lambda agent: Awake(agent, 4, restart=False)])
def test_minds_that_are_left_out_do_not_change_the_others(agent: Agent, make: Callable[[Agent], Awake | Dream]):
    action = torch.tensor([[0.1, 0.5], [-0.2, 0.3], [0.0, 1.0], [0.4, 0.2]])
    whole, part = make(agent), make(agent)
    rows = torch.tensor([True, False, False, True])
    for mind in (whole, part):
        mind.reset([3, 4, 5, 6])
        mind.step(action)
    part.keep(rows)
    assert part.num_envs == 2
    for _ in range(3):
        expected, found = whole.step(action), part.step(action[rows])
        for one, other in zip(expected, found, strict=True):
            torch.testing.assert_close(one[rows], other)
    torch.testing.assert_close(whole.begin([False, False, False, True])[rows], part.begin([False, True]))
    whole.close()


@pytest.mark.parametrize("make", [Dream, Awake])
def test_what_is_no_agent_no_seed_and_no_number_is_refused_in_words(make: type[Dream] | type[Awake], agent: Agent):
    with pytest.raises(Refused, match=f"{make.__name__}: `agent` is 'champion', and it must be an Agent"):
        make("champion", 2)  # pyright: ignore[reportArgumentType]
    mind = make(agent, 2)
    for wrong in ([1.7, 2], [True, 2], "12", [-1, 2], [np.nan, 1], 5):
        with pytest.raises(Refused, match=r"seeds? (is|are) a"):
            mind.reset(wrong)  # pyright: ignore[reportArgumentType]
    mind.reset(np.array([1, 2]).tolist())
    with pytest.raises(Refused, match="there are 2 seeds, and 1 begin"):
        mind.reset([1, 2], rows=[True, False])
    for bad in (np.nan, np.inf, 1e300):
        with pytest.raises(Refused, match="must be finite"):
            mind.step(np.full((2, 2), bad))
    with pytest.raises(Refused, match="must be finite"):
        mind.step(torch.full((2, 2), torch.nan))
    with pytest.raises(Refused, match="no finite number"):
        agent.decide(np.full(mind.observation_size, 1e300))
    mind.close()


def test_awake_begins_no_other_track_unasked(agent: Agent):
    mind = Awake(agent, 2, limit=2, restart=False)
    mind.reset([3, 4])
    steps = [mind.step(torch.zeros(2, 2)) for _ in range(2)]
    assert steps[1].truncated.all()
    assert torch.equal(steps[1].observation, steps[1].final_observation)
    mind.close()


def test_awake_begins_anywhere_and_either_way_if_told(agent: Agent, monkeypatch: pytest.MonkeyPatch):
    asked: list[dict[str, object]] = []
    for random_start, reverse in ((0.0, 0.0), (1.0, 1.0)):
        mind = Awake(agent, 1, random_start=random_start, reverse=reverse)
        reset = mind.tracks[0].reset
        monkeypatch.setattr(
            mind.tracks[0], "reset", lambda seed, options, reset=reset: asked.append(options) or reset(seed=seed)
        )
        mind.reset([3])
        mind.close()
    assert asked == [{}, {"start_tile": "random", "reverse": True}]


def test_both_minds_have_one_interface(agent: Agent):
    minds: list[Mind] = [Dream(agent, 2), Awake(agent, 2)]
    for mind in minds:
        observation = mind.reset([1, 2])
        step = mind.step(torch.zeros(2, mind.action_size))
        assert observation.shape == step.observation.shape == (2, mind.observation_size)
        assert step.reward.shape == step.off_road.shape == (2,)
        assert mind.render().shape == (2, 64, 64, 3)


@pytest.mark.parametrize("make", [lambda agent: Awake(agent, 2), lambda agent: Dream(agent, 2)])
def test_minds_take_arrays_and_tensors_and_name_the_shapes(make: Callable[[Agent], Awake | Dream], agent: Agent):
    mind, other = make(agent), make(agent)
    mind.reset([0, 1])
    other.reset([0, 1])
    action, rows = torch.tensor([[0.1, 0.2], [0.3, 0.4]]), torch.tensor([False, True])
    assert torch.equal(mind.step(action).observation, other.step(action.double().numpy()).observation)
    assert torch.equal(mind.begin(rows), other.begin(rows.numpy()))
    for wrong in (action[0], action[:1], torch.zeros(2, 3)):
        with pytest.raises(Refused, match=r"expected action \(2, 2\), of float32; given: action \("):
            mind.step(wrong)
    for mask in (rows[:1], rows.numpy().astype(float)):
        for look in (mind.begin, mind.keep, lambda rows: mind.reset([5], rows=rows)):
            with pytest.raises(Refused, match=r"expected rows \(2,\), of bool; given: rows \("):
                look(mask)
    other.keep(rows.numpy())
    assert other.num_envs == 1


@pytest.mark.parametrize(
    "asked",
    [
        lambda mind: mind.step(torch.zeros(2, 2)),
        lambda mind: mind.begin([True, False]),
        lambda mind: mind.keep([True, False]),
        lambda mind: mind.reset([1], rows=[True, False]),
        lambda mind: mind.moments,
        lambda mind: mind.render(),
    ],
    ids=["step", "begin", "keep", "reset some", "moments", "render"],
)
@pytest.mark.parametrize("make", [Awake, Dream])
def test_a_mind_that_has_not_begun_asks_for_a_reset(
    make: Callable[[Agent, int], Awake | Dream], asked: Callable[[Awake | Dream], Any], agent: Agent
):
    mind = make(agent, 2)
    with pytest.raises(ResetNeeded, match=r"call reset\(\) first"):
        asked(mind)
    mind.reset([1, 2])
    asked(mind)
    mind.close()


def test_a_dream_needs_real_moments(agent: Agent):
    agent.starts = None
    with pytest.raises(ValueError, match="no real moments"):
        Dream(agent, 1)


NO_ACTIONS = [
    *([0, 1, 0], [0.0], 0.5, [[0, 0]], [], None, "left", [float("nan"), 0], [0, float("inf")], [[0], [0, 0]], {}),
]


@pytest.mark.parametrize("name", MINDS)
def test_what_is_no_action_is_refused_in_words(name: str, path: str):
    alone, many = gym.make(name, agent=path, disable_env_checker=True), gym.make_vec(name, num_envs=4, agent=path)
    alone.reset(seed=1)
    many.reset(seed=1)
    for action in NO_ACTIONS:
        with pytest.raises(Refused, match=r"an action has 2 numbers \(steer, pedal\), not "):
            alone.step(action)
    batches = [np.zeros(shape, np.float32) for shape in ((2,), (1, 2), (3, 2), (4, 1), (4, 3), (8,), (4, 2, 1), (2, 4))]
    for actions in (*batches, None, 3, "left", [[0, 0], [0, 0], [float("nan"), 0], [0, 0]]):
        with pytest.raises(Refused, match=r"actions have shape \(4, 2\) \(steer, pedal\), not "):
            many.step(actions)
    for env in (alone, many):
        env.close()


@pytest.mark.parametrize("name", MINDS)
def test_an_action_may_come_in_other_guises_and_is_clipped(name: str, path: str):
    def after(action: Any, many: bool = False) -> np.ndarray:
        env: Any = gym.make_vec(name, num_envs=2, agent=path) if many else gym.make(name, agent=path, disable_env_checker=True)
        env.reset(seed=1)
        observation, reward, *_ = env.step(action)
        env.close()
        return np.append(observation, reward)

    wanted = after(np.ones(2, np.float32))
    for guise in ([1, 1], (1.0, 1.0), np.ones(2), np.ones(2, int), [5, 1e300], torch.ones(2)):
        np.testing.assert_array_equal(after(guise), wanted)
    np.testing.assert_array_equal(after([[1, 1], (1.0, 7)], many=True), after(np.ones((2, 2), np.float32), many=True))


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        *(("Dream", {"horizon": number}) for number in (0, -1, 1.5, "30")),
        *(("Dream", {"temperature": number}) for number in (0.0, -1.0, float("nan"), float("inf"), "hot")),
        *(("Dream", {"from_start": number}) for number in (7.0, -0.1, float("nan"), None)),
        *((kind, {"num_envs": number}) for kind in ("Dream", "Awake") for number in (0, -1, 2.5, True, "4")),
        ("Awake", {"num_envs": 129}),
    ],
)
def test_a_setting_out_of_range_is_refused_by_name_when_made(name: str, settings: dict[str, Any], path: str):
    make = gym.make_vec if "num_envs" in settings else gym.make
    with pytest.raises(Refused, match=f"`{next(iter(settings))}` is"):
        make(f"dreamlap/{name}-v0", agent=path, **settings)


@pytest.mark.parametrize("settings", [{"limit": 0}, {"random_start": 7.0}, {"reverse": -1.0}, {"random_start": float("nan")}])
def test_awake_refuses_numbers_out_of_range_by_name(settings: dict[str, Any], agent: Agent):
    with pytest.raises(Refused, match=f"`{next(iter(settings))}` is"):
        Awake(agent, 1, **settings)


def test_an_unknown_setting_is_refused_by_name(path: str):
    with pytest.raises(Refused, match=r"no setting 'horizn' in DreamConfig; did you mean horizon\?"):
        gym.make("dreamlap/Dream-v0", agent=path, horizn=3)
    with pytest.raises(TypeError, match="horizon"):
        gym.make("dreamlap/Awake-v0", agent=path, horizon=3)


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_the_share_of_dreams_from_first_frames_is_heeded(share: float, agent: Agent):
    agent.starts = Starts(torch.arange(20.0).reshape(5, 4), torch.cat([torch.zeros(2, 16), torch.ones(3, 16)]))
    envs = gym.make_vec("dreamlap/Dream-v0", num_envs=4000, agent=agent, from_start=share, horizon=1)
    for observation in (envs.reset(seed=1)[0], envs.step(np.zeros((4000, 2)))[0]):  # and so does every dream that follows
        first = (observation[:, 4:] == 0).all(1)
        assert first.mean() == pytest.approx(share, abs=0.03)
        each = {row: (observation[:, 0] == 4 * row).mean() for row in range(5)}
        assert all(each[row] == pytest.approx(share / 2, abs=0.03) for row in (0, 1))
        assert all(each[row] == pytest.approx((1 - share) / 3, abs=0.03) for row in (2, 3, 4))


def test_a_share_of_moments_that_are_not_there_is_refused(agent: Agent):
    with pytest.raises(Refused, match="no first frame is among the agent's 5 moments"):
        Dream(agent, 1, from_start=0.5)
    assert Dream(agent, 1, from_start=0.0).reset([1]).shape == (1, 12)
    agent.starts = Starts(torch.zeros(0, 4), torch.zeros(0, 16))
    with pytest.raises(Refused, match="no real moments"):
        Dream(agent, 1)


def test_options_of_the_track_are_heeded_awake(path: str):
    env = gym.make("dreamlap/Awake-v0", agent=path)
    plain, again = env.reset(seed=7)[0], env.reset(seed=7, options={})[0]
    np.testing.assert_array_equal(plain, again)
    for options in ({"start_tile": 40}, {"reverse": True}):
        assert not np.array_equal(env.reset(seed=7, options=options)[0], plain)
    np.testing.assert_array_equal(env.reset(seed=7)[0], plain)  # it is for one episode
    env.close()
    with pytest.raises(Refused, match=r"no option 'start_tiles'; it has start_tile, reverse, randomize"):
        gym.make_vec("dreamlap/Awake-v0", num_envs=2, agent=path).reset(seed=7, options={"start_tiles": 40})


def test_a_dream_refuses_options_by_name(path: str):
    with pytest.raises(Refused, match="no option 'start_tile'"):
        gym.make("dreamlap/Dream-v0", agent=path).reset(seed=7, options={"start_tile": 40})


def test_a_broken_agent_gives_no_observation(agent: Agent):
    env = MindEnv(Dream(agent, 1))
    env.reset(seed=1)
    with torch.no_grad():
        agent.memory.scalar_head.bias[0] = float("nan")
    with pytest.raises(Refused, match="weights are broken"):
        env.step(np.zeros(2))


def test_chance_is_uniform_independent_and_never_at_the_edge():
    seeds = torch.arange(1000)
    drawn = uniforms(seeds, torch.zeros(1000, dtype=torch.int64), 64)
    assert 0 < drawn.min() < drawn.max() < 1
    assert drawn.mean().item() == pytest.approx(0.5, abs=0.01)
    assert drawn.var().item() == pytest.approx(1 / 12, abs=0.01)
    after = uniforms(seeds, torch.ones(1000, dtype=torch.int64), 64)
    assert abs(np.corrcoef(drawn.flatten(), after.flatten())[0, 1]) < 0.02
    assert abs(np.corrcoef(drawn[:-1].flatten(), drawn[1:].flatten())[0, 1]) < 0.02
    edges = torch.tensor([2.0**-24, 1 - 2.0**-24])
    assert torch.isfinite(normals(edges)).all()
    torch.testing.assert_close(uniforms(seeds[5:6], torch.zeros(1, dtype=torch.int64), 64), drawn[5:6])
