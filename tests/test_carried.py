"""A linear C that is carried over to an M that has learned on does as it did."""

import copy
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from dreamlap.control.linear import Linear
from dreamlap.episodes.latents import Latents, load_latents
from dreamlap.learn.carried import carried, carry
from dreamlap.learn.memory import remember
from dreamlap.memory import MDNRNN, MemoryConfig, build_memory
from dreamlap.pipeline import learn
from dreamlap.plan import Run
from dreamlap.run import Stage
from tests.test_going_on import LINEAR, evolving

LATENT, HIDDEN, ACTIONS = 3, 8, 2


@pytest.fixture
def latents() -> Latents:
    """Two drives of 300 steps each, of noise."""
    rows, chance = 602, torch.Generator().manual_seed(0)
    mu, action = torch.randn(rows, LATENT, generator=chance), torch.rand(rows, ACTIONS, generator=chance)
    zeros = torch.zeros(rows)
    return Latents(mu, torch.zeros_like(mu), action, zeros, zeros, zeros, torch.tensor([300, 300]))


def weights(controller: Linear) -> Tensor:
    """As a vector (D,)."""
    return torch.nn.utils.parameters_to_vector(controller.parameters()).detach()


def random_linear(hidden: int = HIDDEN, bias: bool = True) -> Linear:
    """A C with weights of chance."""
    controller = Linear(LATENT, hidden, ACTIONS, bias)
    chance = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for part in controller.parameters():
            part.copy_(torch.randn(part.shape, generator=chance))
    return controller


def seen_by(memory: MDNRNN, latents: Latents) -> Tensor:
    """[z, h] of every row."""
    return torch.cat([latents.mu, memory.h(remember(memory, latents, torch.arange(len(latents.mu))))], 1)


@pytest.mark.parametrize("bias", [True, False])
def test_c_does_the_same_where_h_is_another_basis_of_the_same_memory(latents: Latents, bias: bool):
    memory = build_memory(MemoryConfig("lstm", hidden=HIDDEN, mixtures=2), LATENT, ACTIONS)
    with torch.no_grad():
        for part in memory.parameters():
            part.copy_(torch.randn(part.shape, generator=torch.Generator().manual_seed(len(part))) / 2)
    turned = copy.deepcopy(memory)
    order = torch.randperm(HIDDEN, generator=torch.Generator().manual_seed(2))
    gates = torch.cat([order + HIDDEN * gate for gate in range(4)])
    with torch.no_grad():  # the same LSTM, its units in another order
        core = dict(turned.named_parameters())
        for name, part in core.items():
            if "weight_ih" in name or "bias_ih" in name or "bias_hh" in name:
                part.copy_(part[gates])
            elif "weight_hh" in name:
                part.copy_(part[gates][:, order])
    controller = random_linear(bias=bias)
    was, is_now = seen_by(memory, latents), seen_by(turned, latents)
    seen = carried(was[:, LATENT:], is_now, controller)
    moved = copy.deepcopy(controller)
    torch.nn.utils.vector_to_parameters(carry(weights(controller), seen, controller), moved.parameters())
    wanted, found = controller.act(was), moved.act(is_now)
    assert (controller.act(is_now) - wanted).abs().mean() > 0.1  # as it is, it would do something else
    assert (found - wanted).abs().mean() < 0.01
    many = carry(torch.stack([weights(controller), torch.zeros_like(weights(controller))]), seen, controller)
    torch.testing.assert_close(many[0], weights(moved))
    assert not many[1].any()


def test_nothing_changes_where_m_has_not(latents: Latents):
    memory = build_memory(MemoryConfig("gru", hidden=HIDDEN, mixtures=2), LATENT, ACTIONS)
    controller = random_linear()
    same = seen_by(memory, latents)
    seen = carried(same[:, LATENT:], same, controller)
    assert torch.equal(carry(weights(controller), seen, controller), weights(controller))
    blind = random_linear(hidden=0)
    assert torch.equal(carried(same[:, LATENT:] + 1, same, blind), torch.eye(LATENT + 1))


def test_c_is_carried_over_for_the_first_drives_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """What C's own drives do not show, C would not know any more: a C that stands in the grass shows no road."""
    along = list[Tensor]()

    def noted(was: Tensor, seen: Tensor, controller: Linear) -> Tensor:
        along.append(seen[:, : controller.latent])
        return carried(was, seen, controller)

    monkeypatch.setattr("dreamlap.pipeline.carried", noted)
    run = Run(
        tmp_path / "run", replace(LINEAR, rounds=replace(LINEAR.rounds, rounds=1, memory_updates=4, controller_updates=2))
    )
    learn(run)
    (seen,) = along
    for number in (0, 1):
        mu = load_latents(sorted((run.folder / f"round-{number}/encode").glob("*.safetensors")), torch.device("cpu")).mu
        of_round = (seen[:, None, :3] == mu[None, :, :3]).all(-1).any(1).float().mean()
        assert of_round > 0.25


def test_a_search_is_carried_over_and_a_broken_round_goes_on_as_a_whole_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    rounds = replace(LINEAR.rounds, rounds=1, memory_updates=4, controller_updates=2)
    config = replace(LINEAR, cmaes=replace(evolving(2), sigma=0.5), rounds=rounds)
    learn(Run(tmp_path / "whole", config))
    first, second = (torch.load(tmp_path / f"whole/round-{n}/controller/checkpoint.pt", weights_only=True) for n in (0, 1))
    assert not torch.equal(first["basis"], second["basis"])
    assert torch.equal(torch.stack(first["fitness"]), torch.stack(second["fitness"][:2]))
    save = Stage.save

    def broken_off(stage: Stage, update: int, state: Mapping[str, Any]) -> None:
        save(stage, update, state)
        if stage.folder == tmp_path / "run/round-1/controller":
            raise KeyboardInterrupt

    monkeypatch.setattr(Stage, "save", broken_off)
    with pytest.raises(KeyboardInterrupt):
        learn(Run(tmp_path / "run", config))
    monkeypatch.undo()
    learn(Run(tmp_path / "run", config))
    again = torch.load(tmp_path / "run/round-1/controller/checkpoint.pt", weights_only=True)
    assert torch.equal(again["basis"], second["basis"])
    assert torch.equal(torch.stack(again["fitness"]), torch.stack(second["fitness"]))
