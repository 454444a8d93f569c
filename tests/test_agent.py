"""The agent as an artefact: saved, loaded, driving a stock track, and refusing what is broken."""

import json
import math
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import gymnasium as gym
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import dreamlap
from dreamlap.agent import PARTS, Agent, AgentConfig, Starts, build_agent, load_agent, trained_parts
from dreamlap.cli.runs import parse
from dreamlap.control import ActorCritic, ControllerConfig, Linear
from dreamlap.control.actor_critic import Standardised
from dreamlap.control.linear import Population
from dreamlap.drivers import AgentDriver
from dreamlap.errors import Refused
from dreamlap.memory import MemoryConfig, build_memory
from dreamlap.mind import Awake, Dream, Mind
from dreamlap.track import FastCarRacing
from dreamlap.vision import VisionConfig
from dreamlap.weights import checksum_of


def test_a_loaded_agent_drives_the_stock_track_as_the_saved_one(agent: Agent, tmp_path: Path):
    agent.save(tmp_path / "agent")
    loaded = dreamlap.load(tmp_path)
    env = gym.make("CarRacing-v3")
    frame, _ = env.reset(seed=1)
    for _ in range(5):
        action = loaded.act(frame)
        np.testing.assert_array_equal(action, agent.act(frame))
        assert action.shape == (3,)
        assert action.dtype == np.float32
        assert env.action_space.contains(action)
        frame, *_ = env.step(action)
    env.close()


def test_reset_forgets(agent: Agent):
    frames = np.random.default_rng(0).integers(0, 255, (3, 96, 96, 3), dtype=np.uint8)
    with torch.no_grad():
        for layer in agent.controller.modules():
            if isinstance(layer, torch.nn.Linear):
                layer.weight.normal_(generator=torch.Generator().manual_seed(0))
    first = [agent.act(frame) for frame in frames]
    assert not np.array_equal(agent.act(frames[0]), first[0])
    agent.reset()
    np.testing.assert_array_equal([agent.act(frame) for frame in frames], first)


def test_vision_and_memory_are_usable_alone(agent: Agent):
    z = agent.vision.encode(torch.zeros(2, 64, 64, 3, dtype=torch.uint8)).mu
    state = agent.memory.step(z, torch.zeros(2, 2), agent.memory.initial(2))
    assert z.shape == (2, 4)
    assert agent.memory.h(state).shape == (2, 8)
    assert agent.vision.decode(z).shape == (2, 64, 64, 3)


KINDS: list[Literal["lstm", "gru", "reservoir"]] = ["lstm", "gru", "reservoir"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_memory_takes_arrays_and_tensors_and_names_the_shapes(kind: Literal["lstm", "gru", "reservoir"]):
    memory = build_memory(MemoryConfig(kind, hidden=8, mixtures=3), latent=4, action=2)
    z, action, state = torch.randn(3, 4), torch.randn(3, 2), memory.initial(3)
    stepped = memory.step(z, action, state).numpy()  # without a gradient, which training takes
    np.testing.assert_array_equal(memory.step(z.double().numpy(), action.numpy(), state.numpy()), stepped)
    assert memory.foresee(stepped).reward.numpy().shape == (3,)
    assert memory(z[None], action[None], memory.initial(1))[0].requires_grad
    assert memory.cell(z, action, state).requires_grad
    wanted = rf"expected z \(B, 4\), action \(B, 2\), state \(B, {memory.state_size}\), of float32; given: z \("
    for wrong in (
        (z[0], action, state),
        (z[:2], action, state),
        (z, action[:, :1], state),
        (z, action, memory.h(state)[:, :3]),
    ):
        with pytest.raises(Refused, match=wanted):
            memory.step(*wrong)
    with pytest.raises(Refused, match=r"expected z \(B, T, 4\), action \(B, T, 2\), .*given: z \(3, 4\) .*`z\[None\]`"):
        memory(z, action, state)
    for look in (memory.h, memory.foresee):
        with pytest.raises(
            Refused, match=rf"expected state \(\.\.\., {memory.state_size}\), of float32; given: state \(3, 5\)"
        ):
            look(state[:, :5])
    with pytest.raises(Refused, match=r"expected h \(\.\.\., 8\)"):
        memory.predict(state[:, :5])


def test_a_controller_takes_arrays_and_tensors_and_names_the_shapes():
    for controller in (Linear(4, 8, 2), ActorCritic(4, 8, 2)):
        seen = torch.randn(3, 12)
        np.testing.assert_array_equal(controller.act(seen.double().numpy()).numpy(), controller.act(seen))
        assert controller.act(seen[0]).shape == (2,)
        with pytest.raises(Refused, match=r"expected observation \(\.\.\., 12\), of float32; given: observation \(3, 5\)"):
            controller.act(seen[:, :5])
    assert ActorCritic(4, 8, 2).value(seen).requires_grad
    assert Linear(4, 0, 2).act(seen).shape == (3, 2)  # it sees z alone


@pytest.mark.parametrize(("kind", "size"), [("lstm", 16), ("gru", 8), ("reservoir", 32)])
def test_step_by_step_is_the_same_as_a_sequence(kind: Literal["lstm", "gru", "reservoir"], size: int):
    memory = build_memory(MemoryConfig(kind, hidden=8, mixtures=3), latent=4, action=2)
    chance = torch.Generator().manual_seed(0)
    z, action = torch.randn(2, 7, 4, generator=chance), torch.randn(2, 7, 2, generator=chance)
    begun = torch.randn(2, size, generator=chance) * 0.1
    assert memory.initial(2).shape == begun.shape
    hs, last = memory(z, action, begun)
    state = begun
    for t in range(7):
        state = memory.step(z[:, t], action[:, t], state)
        torch.testing.assert_close(memory.foresee(state), memory.predict(hs[:, t]))
    torch.testing.assert_close(state, last)
    assert memory.predict(hs).z.mu.shape == (2, 7, 3, 4)
    assert memory.predict(hs).reward.shape == (2, 7)


def test_a_reservoir_foresees_as_an_lstm_and_shows_c_another():
    torch.manual_seed(0)
    lstm = build_memory(MemoryConfig("lstm", hidden=8, mixtures=3), latent=4, action=2)
    torch.manual_seed(0)
    reservoir = build_memory(MemoryConfig("reservoir", hidden=8, mixtures=3), latent=4, action=2)
    z, action = torch.randn(2, 4), torch.randn(2, 2)
    state, double = lstm.step(z, action, lstm.initial(2)), reservoir.step(z, action, reservoir.initial(2))
    torch.testing.assert_close(reservoir.foresee(double), lstm.foresee(state))
    assert reservoir.h(double).shape == lstm.h(state).shape
    assert not torch.allclose(reservoir.h(double), lstm.h(state), atol=1e-3)


def test_an_agent_with_another_memory_drives_and_dreams(tmp_path: Path):
    config = AgentConfig(vision=VisionConfig(latent=4), memory=MemoryConfig("gru", hidden=8, mixtures=1, burn_in=3))
    made = build_agent(config)
    made.starts = Starts(torch.zeros(1, 4), made.memory.initial(1))
    made.save(tmp_path)
    loaded = load_agent(tmp_path)
    assert loaded.config == config
    frame = np.random.default_rng(0).integers(0, 255, (96, 96, 3), dtype=np.uint8)
    np.testing.assert_array_equal(loaded.act(frame), made.act(frame))
    minds: list[Mind] = [Dream(loaded, 3), Awake(loaded, 1)]
    for mind in minds:
        mind.reset(range(mind.num_envs))
        assert mind.step(torch.zeros(mind.num_envs, 2)).observation.shape == (mind.num_envs, 12)


def test_the_driver_and_the_agent_do_the_same(agent: Agent):
    driver, track = AgentDriver(agent, 2), FastCarRacing(size=64)
    frames = np.random.default_rng(0).integers(0, 255, (4, 96, 96, 3), dtype=np.uint8)
    seen = np.stack([dreamlap_frame(frame) for frame in frames])
    for i in range(2):
        driver.reset(i, track, np.random.default_rng(i))
    for frame, small in zip(frames, seen, strict=True):
        np.testing.assert_allclose(driver.act(np.stack([small, small]))[1], agent.act(frame), atol=1e-5)


def dreamlap_frame(frame: np.ndarray) -> np.ndarray:
    from dreamlap.track import to_frame

    return to_frame(frame, 64, True)


def test_a_frame_of_another_size_is_refused(agent: Agent):
    with pytest.raises(ValueError, match=r"\(96, 96, 3\) uint8"):
        agent.act(np.zeros((64, 64, 3), np.uint8))


def test_broken_agents_say_what_is_wrong(agent: Agent, tmp_path: Path):
    with pytest.raises(FileNotFoundError, match="no agent in"):
        dreamlap.load(tmp_path)
    agent.save(tmp_path)
    about = json.loads((tmp_path / "agent.json").read_text())
    about["config"]["memory"]["hiden"] = 3
    (tmp_path / "agent.json").write_text(json.dumps(about))
    with pytest.raises(ValueError, match="no setting 'hiden'; did you mean hidden"):
        dreamlap.load(tmp_path)
    agent.save(tmp_path)
    tensors = load_file(str(tmp_path / "memory.safetensors"))
    save_file({**tensors, "z_head.bias": torch.zeros(3)}, str(tmp_path / "memory.safetensors"))
    with pytest.raises(ValueError, match=r"does not fit what agent\.json describes"):
        dreamlap.load(tmp_path)
    (tmp_path / "memory.safetensors").write_bytes(b"torn")
    with pytest.raises(ValueError, match=r"memory\.safetensors cannot be read"):
        dreamlap.load(tmp_path)


def test_the_papers_controller_has_867_numbers():
    config = AgentConfig(controller=ControllerConfig(kind="linear"))
    config = AgentConfig(vision=VisionConfig(kind="conv"), memory=MemoryConfig(), controller=config.controller)
    linear = build_agent(AgentConfig(controller=ControllerConfig(kind="linear"))).controller
    assert isinstance(linear, Linear)
    assert sum(p.numel() for p in Linear(32, 256, 3).parameters()) == 867
    assert sum(p.numel() for p in build_agent(config).vision.parameters()) == 4_348_547


def test_an_actor_without_hidden_layers_is_the_papers_controller():
    paper = parse("run", ["demo", "--controller.widths", "--track.actions", "stock"]).config
    controller = build_agent(paper.agent).controller
    assert isinstance(controller, ActorCritic)
    assert sum(p.numel() for p in controller.actor.parameters()) == 867
    like, seen = Linear(32, 256, 3), torch.randn(5, 288)
    like.layer.load_state_dict(controller.actor[-1].state_dict())
    torch.testing.assert_close(controller.act(seen), like.act(seen))


def test_an_actor_that_takes_its_inputs_in_standard_deviations_is_one_matrix():
    controller, seen = ActorCritic(32, 256, 3, widths=()), 5 + torch.randn(500, 288) * torch.linspace(0, 3, 288)
    controller.standardise(seen)
    standardised, matrix = controller.actor
    assert isinstance(standardised, Standardised)
    assert isinstance(matrix, torch.nn.Linear)
    taken = standardised(seen)
    torch.testing.assert_close(taken.mean(0), torch.zeros(288), atol=1e-3, rtol=0)
    torch.testing.assert_close(taken[:, 8:].std(0), torch.ones(280))  # the first hardly vary
    like, weight = Linear(32, 256, 3), matrix.weight / standardised.deviation
    like.layer.load_state_dict({"weight": weight, "bias": matrix.bias - weight @ standardised.centre})
    torch.testing.assert_close(controller.act(seen), like.act(seen), atol=1e-4, rtol=1e-4)
    with_layers = ActorCritic(32, 256, 3)
    before = with_layers.act(seen)
    with_layers.standardise(seen)
    assert torch.equal(with_layers.act(seen), before)


def test_a_population_is_its_candidates_side_by_side():
    like, chance = Linear(3, 2, 2), torch.Generator().manual_seed(0)
    candidates = torch.randn(4, 12, generator=chance)
    observation = torch.randn(4 * 3, 5, generator=chance)
    population = Population(like, candidates, rollouts=3)
    together = population.act(observation)
    for p, candidate in enumerate(candidates):
        torch.nn.utils.vector_to_parameters(candidate, like.parameters())
        torch.testing.assert_close(together[3 * p : 3 * p + 3], like.act(observation[3 * p : 3 * p + 3]))
    rows = torch.arange(12) % 5 == 1
    population.keep(rows)
    torch.testing.assert_close(population.act(observation[rows]), together[rows])


def test_the_same_seed_makes_the_same_agent():
    one, two, other = build_agent(AgentConfig(), 3), build_agent(AgentConfig(), 3), build_agent(AgentConfig(), 4)
    assert all(torch.equal(a, b) for a, b in zip(one.memory.parameters(), two.memory.parameters(), strict=True))
    assert not torch.equal(one.memory.z_head.weight, other.memory.z_head.weight)


@pytest.mark.parametrize("name", ["expert", "champion", "champion-tuned", "unprivileged"])
def test_an_agent_that_comes_along_drives(name: str):
    agent = dreamlap.load(name)
    track = gym.make("dreamlap/CarRacing-v3")
    frame, _ = track.reset(seed=1)
    earned = 0.0
    for _ in range(300):
        frame, reward, *_ = track.step(agent.act(frame))
        earned += float(reward)
    assert earned > 150


def edited(agent: Agent, folder: Path, place: str, value: Any) -> Path:
    """The agent in a folder whose agent.json says something else at one place."""
    agent.save(folder)
    told = json.loads((folder / "agent.json").read_text())
    *path, last = place.split(".")
    inner = told
    for part in path:
        inner = inner[part]
    inner[last] = value
    (folder / "agent.json").write_text(json.dumps(told))
    return folder


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ("config.track.size", "64", "`size` is '64', and it must be a whole number"),
        ("config.track.size", 16384, r"agent\.json: --track\.size 16384: no V \(vision\) sees more than 512 pixels"),
        ("config.track.repeat", 0, "`repeat` is 0"),
        ("config.track.bar", "false", "`bar` is 'false', and it must be true or false"),
        ("config.track.actions", "fly", "`actions` is 'fly'"),
        ("config.vision.latent", 32.5, "`latent` is 32.5"),
        ("config.vision.kind", "transformer", "`kind` is 'transformer'.*newer version"),
        ("config.memory.hidden", None, "`hidden` is None"),
        ("config.memory.hidden", 16000, r"memory\.safetensors does not fit .*: z_head.weight|lstm"),
        ("config.memory.mixtures", 4, r"memory\.safetensors does not fit what agent\.json describes"),
        ("config.controller.smoothing", 7, "`smoothing` is 7"),
        ("config.planner", {"depth": 3}, "no setting 'planner'.*newer version"),
        ("config", [], "lacks its 'config'"),
        ("about", 3, "lacks its 'about'"),
        ("about.trained", 5, r"agent\.json, about: `trained` is 5, and it must be a list: copy the agent again"),
        ("about.trained", None, "`trained` is None, and it must be a list"),
        ("about.trained", "vision memory controller", "`trained` is 'vision memory controller', and it must be a list"),
        ("about.trained", {"vision": 1, "controller": 0}, "`trained` is .*, and it must be a list"),
        ("about.trained", ["vision", 5], "must be a list whose every part must be a text"),
        ("about.real_steps", "many", "`real_steps` is 'many', and it must be a whole number"),
        ("about.seconds", None, "`seconds` is None, and it must be a finite number"),
        ("format", 2, "format 2.*newer version"),
        ("format", "one", "format 'one'"),
    ],
)
def test_an_edited_agent_is_refused_by_name(agent: Agent, tmp_path: Path, place: str, value: Any, message: str):
    with pytest.raises(Refused, match=message):
        dreamlap.load(edited(agent, tmp_path, place, value))


def test_what_is_trained_is_asked_of_the_same_agent_json(agent: Agent, tmp_path: Path):
    assert trained_parts(edited(agent, tmp_path, "about.trained", ["vision"])) == ("vision",)
    with pytest.raises(Refused, match="has no trained M and no trained C yet"):
        dreamlap.load(tmp_path)
    with pytest.raises(Refused, match="`trained` is 5"):
        trained_parts(edited(agent, tmp_path, "about.trained", 5))


def test_no_memory_is_taken_for_what_a_file_merely_claims(agent: Agent, tmp_path: Path):
    edited(agent, tmp_path, "config.memory.hidden", 16000)  # would be 4 GB of weights
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(Refused, match="does not fit"):
        dreamlap.load(tmp_path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kilobytes


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_broken_weights_are_neither_kept_nor_loaded(agent: Agent, tmp_path: Path, value: float):
    agent.save(tmp_path)
    tensors = load_file(str(tmp_path / "controller.safetensors"))
    next(iter(tensors.values()))[0] = value
    save_file(tensors, str(tmp_path / "controller.safetensors"))
    with pytest.raises(Refused, match=r"controller\.safetensors: .* holds NaN or infinity"):
        dreamlap.load(tmp_path)
    with torch.no_grad():
        next(agent.memory.parameters())[0] = value
    with pytest.raises(Refused, match=r"memory\.safetensors: .* holds NaN or infinity"):
        agent.save(tmp_path / "other")
    assert not (tmp_path / "other/agent.json").exists()


def test_an_agent_whose_c_breaks_does_not_act(agent: Agent):
    with torch.no_grad():
        for weights in agent.controller.parameters():
            weights.fill_(math.nan)
    with pytest.raises(Refused, match=r"an action has 2 numbers .*they must be finite"):
        agent.act(np.zeros((96, 96, 3), np.uint8))


@pytest.mark.parametrize("name", ["vision", "memory", "controller", "starts"])
def test_a_changed_bit_of_the_weights_is_noticed(agent: Agent, tmp_path: Path, name: str):
    agent.save(tmp_path)
    path = tmp_path / f"{name}.safetensors"
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with pytest.raises(Refused, match=rf"{name}\.safetensors has changed since it was written"):
        dreamlap.load(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        lambda t: {"z": t["z"][:, :3], "state": t["state"]},
        lambda t: {"z": t["z"]},
        lambda t: t | {"more": t["z"].clone()},
        lambda t: {"z": t["z"][:0], "state": t["state"][:0]},
        lambda t: {"z": t["z"][:3], "state": t["state"]},
        lambda t: {"z": t["z"].long(), "state": t["state"]},
        lambda t: {"z": t["z"].bfloat16(), "state": t["state"]},
    ],
)
def test_initial_states_that_do_not_fit_are_refused(agent: Agent, tmp_path: Path, change: Callable):
    agent.save(tmp_path)
    tensors = load_file(str(tmp_path / "starts.safetensors"))
    changed = {name: tensor.contiguous() for name, tensor in change(tensors).items()}
    summed = {"checksum": "x"} if changed["z"].dtype is torch.bfloat16 else None  # numpy, which sums, has no such type
    save_file(changed, str(tmp_path / "starts.safetensors"), summed)
    with pytest.raises(Refused, match=r"starts\.safetensors does not fit"):
        dreamlap.load(tmp_path)


def test_a_fingerprint_is_what_an_agent_is_not_where_it_lies(agent: Agent, tmp_path: Path):
    for name in ("a", "b"):
        agent.save(tmp_path / name)
    one, two = dreamlap.load(tmp_path / "a"), load_agent(tmp_path / "b")
    assert one.fingerprint == two.fingerprint == agent.fingerprint
    with torch.no_grad():
        next(two.controller.parameters())[0] += 1e-6
    assert two.fingerprint != one.fingerprint


def test_the_fingerprint_of_a_dream_tells_where_it_goes_on_from(agent: Agent, tmp_path: Path):
    agent.save(tmp_path)
    loaded = load_agent(tmp_path)
    assert loaded.dream_fingerprint == agent.dream_fingerprint != agent.fingerprint
    assert agent.starts is not None
    agent.starts = Starts(agent.starts.z[:4], agent.starts.state[:4])
    assert loaded.fingerprint == agent.fingerprint
    assert loaded.dream_fingerprint != agent.dream_fingerprint


def test_agents_of_an_older_version_have_no_checksums_and_load(agent: Agent, tmp_path: Path):
    agent.save(tmp_path)
    for path in tmp_path.glob("*.safetensors"):
        save_file(load_file(str(path)), str(path))
    told = json.loads((tmp_path / "agent.json").read_text())
    del told["config"]["controller"]["state_dependent_std"], told["config"]["memory"]["burn_in"]
    (tmp_path / "agent.json").write_text(json.dumps(told))
    assert dreamlap.load(tmp_path).fingerprint == agent.fingerprint


def test_an_agent_whose_settings_have_old_names_loads_as_the_same_agent(tmp_path: Path):
    agent = build_agent(AgentConfig(memory=MemoryConfig(hidden=8, burn_in=3)))
    agent.save(tmp_path)
    told = json.loads((tmp_path / "agent.json").read_text())
    told["config"]["memory"]["warmup"] = told["config"]["memory"].pop("burn_in")
    (tmp_path / "agent.json").write_text(json.dumps(told))
    assert load_agent(tmp_path).fingerprint == agent.fingerprint
    weights = {f"{name}.{key}": value for name in PARTS for key, value in getattr(agent, name).state_dict().items()}
    assert agent.fingerprint == checksum_of(weights, '{"memory": {"hidden": 8, "warmup": 3}}')  # as before the renaming


@pytest.mark.parametrize("name", ["champion", "champion-tuned", "unprivileged"])
def test_the_score_of_an_included_agent_is_found_by_its_fingerprint(name: str):
    assert load_agent(name).score is not None
