"""V: what NVAE is made of, that its mathematics is the paper's, that it learns, and that whoever has it drives by it."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import Normal, kl_divergence

import dreamlap
from dreamlap.agent import Agent, AgentConfig, Starts, build_agent, load_agent
from dreamlap.device import choose_autocast
from dreamlap.episodes import Episode, EpisodeFile, EpisodeStore
from dreamlap.episodes.latents import encode_episodes
from dreamlap.errors import Refused
from dreamlap.learn.vision import VisionTraining, balance, fit_vision, pixel_weights
from dreamlap.measure.vision import bits_per_dimension, eyesight, laplace_bits
from dreamlap.memory import MemoryConfig
from dreamlap.mind import Dream
from dreamlap.run import Stage
from dreamlap.show.glimpse import unseen_drive
from dreamlap.show.sight import SHEETS
from dreamlap.show.video import reconstruction_video, still
from dreamlap.track import FastCarRacing, bar_rows
from dreamlap.vision import NVAE, VisionConfig, build_vision
from dreamlap.vision.nvae import largest_singular_value, residual_kl, residual_normal
from dreamlap.vision.vae import FromOnePixel, Posterior, Terms, pixels

FULL = choose_autocast("float32", torch.device("cpu"))
TINY = VisionConfig("nvae", latent=4, width=8)


def chance(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def frames(count: int, size: int = 64, seed: int = 0) -> torch.Tensor:
    """Green frames with a grey road of varying place and width: (N, S, S, 3) uint8."""
    random, across = np.random.default_rng(seed), np.arange(size)
    drawn = np.full((count, size, size, 3), (100, 200, 100), np.uint8)
    for frame, left, width in zip(drawn, random.uniform(0, 0.7, count), random.uniform(0.1, 0.3, count), strict=True):
        frame[:, (across >= left * size) & (across < (left + width) * size)] = 105
    return torch.from_numpy(drawn)


def episodes(folder: Path, size: int) -> list[EpisodeFile]:
    """Two short ones."""
    store = EpisodeStore(folder)
    for seed in range(2):
        nothing = np.zeros((39, 3), np.float32)
        seen = frames(40, size, seed).numpy()
        store.write(f"e{seed}", Episode(seen, nothing, nothing[:, 0], np.zeros(40, np.float32), False, True))
    return list(store)


def nvae_agent(seed: int = 1) -> Agent:
    """An untrained agent that sees by NVAE and whose C looks at all of z."""
    agent = build_agent(AgentConfig(vision=TINY, memory=MemoryConfig(hidden=8, mixtures=3)), seed)
    for layer in agent.controller.modules():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, 0, 0.5, generator=chance(seed))
    agent.starts = Starts(torch.randn(5, 4, generator=chance()), torch.randn(5, 16, generator=chance(1)) * 0.1)
    return agent


@pytest.mark.parametrize(("size", "bar"), [(96, True), (64, True), (64, False)])
def test_the_car_and_the_bar_weigh_more_than_the_rest(size: int, bar: bool):
    """Around the car of a real frame: what is painted in its own red lies where the weight is."""
    weight = pixel_weights(size, bar, VisionTraining(bar_weight=5.0, car_weight=10.0)).numpy()
    track = FastCarRacing(size=size, bar=bar)
    frame, _ = track.reset(seed=1)
    for _ in range(60):  # until the view has zoomed in
        frame, *_ = track.step(np.zeros(3, np.float32))
    track.close()
    road = frame if not bar else frame[: bar_rows(size).start]
    red = (road[..., 0] > 150) & (road[..., 1:].max(-1) < 60)
    assert red.sum() >= 2
    assert (weight[: len(road)][red] == 10).all()
    assert weight[len(road) :].size == 0 or (weight[len(road) :] == 5).all()
    assert 0.01 < (weight == 10).mean() < 0.03
    assert weight[0, 0] == 1
    assert (pixel_weights(size, bar, VisionTraining(bar_weight=1.0, car_weight=1.0)) == 1).all()


def test_nvae_has_nine_groups_on_three_scales_and_one_vector():
    vision = build_vision(VisionConfig("nvae"), 64)
    terms = vision.terms(frames(2), chance())
    sizes = {name: group.numel() for name, group in terms.kl.items()}
    assert len(sizes) == 9
    assert sizes.pop("z") == 32
    sides = {name: int(name.split("x")[0]) for name in sizes}
    assert sorted(set(sides.values())) == [4, 8, 16]
    assert sizes == {name: 4 * side**2 for name, side in sides.items()}
    assert terms.logits.shape == (2, 3, 64, 64)
    assert vision.encode(frames(2)).mu.shape == vision.encode(frames(2)).log_sigma.shape == (2, 32)
    depthwise = [layer for layer in vision.modules() if isinstance(layer, nn.Conv2d) and layer.groups > 1]
    assert len(depthwise) == 8
    assert not any(isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in vision.modules())
    more = build_vision(VisionConfig("nvae", latent=5, width=8, groups=(1, 2, 3, 4)), 96)
    assert len(more.terms(frames(1, 96), chance()).kl) == 11
    with pytest.raises(ValueError, match=r"--track\.size"):
        build_vision(VisionConfig("nvae"), 50)


def test_a_residual_normal_diverges_as_its_definition_says():
    prior, delta = (Posterior(*torch.randn(2, 50, generator=chance(seed))) for seed in (0, 1))
    posterior = residual_normal(prior, delta)
    expected = kl_divergence(Normal(posterior.mu, posterior.log_sigma.exp()), Normal(prior.mu, prior.log_sigma.exp()))
    torch.testing.assert_close(residual_kl(prior, delta), expected)
    still_prior = Posterior(torch.zeros(3), torch.zeros(3))
    assert residual_kl(still_prior, still_prior).tolist() == [0, 0, 0]


def test_spectral_regularisation_is_the_sum_of_the_largest_singular_values():
    vision = build_vision(TINY, 64)
    layers = [layer for layer in vision.modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)]
    expected = sum(torch.linalg.svdvals(layer.weight.detach().flatten(1))[0].item() for layer in layers)
    assert vision.spectral().item() == pytest.approx(expected, rel=1e-4)
    matrix = torch.randn(7, 3, generator=chance(), requires_grad=True)
    largest_singular_value(matrix).backward()
    u, _, v = torch.linalg.svd(matrix.detach(), full_matrices=False)
    torch.testing.assert_close(matrix.grad, torch.outer(u[:, 0], v[0]))
    assert not build_vision(VisionConfig("light"), 64).regularised


def test_groups_pay_for_what_they_hold_until_the_weight_of_the_kl_has_risen():
    kl = torch.tensor([1.0, 3.0, 0.0])
    warm = balance(kl, 0.5)
    assert warm.mean().item() == pytest.approx(1)
    assert (warm[1] / warm[0]).item() == pytest.approx(3, rel=0.02)
    assert warm[2] < 0.01
    assert balance(kl, 1.0).tolist() == [1, 1, 1]
    assert balance(kl[:1], 0.5).tolist() == [1]  # a V with z alone is annealed as ever


def test_a_frame_is_seen_alike_in_any_company_and_a_dream_is_drawn_alike_twice():
    vision, seen = build_vision(TINY, 64), frames(6)
    together, alone = vision.encode(seen), vision.encode(seen[2:3])
    torch.testing.assert_close(together.mu[2:3], alone.mu, atol=1e-5, rtol=1e-5)
    z = together.mu
    assert torch.equal(vision.decode(z), vision.decode(z))
    assert torch.equal(vision.reconstruct(seen), vision.reconstruct(seen))
    assert not torch.equal(vision.imagine(z, chance(0)), vision.imagine(z, chance(1)))
    mode = vision.eval().encode(seen).mu
    assert torch.equal(mode, z)  # nothing behaves otherwise in training


def test_nvae_learns_and_no_group_collapses(tmp_path: Path):
    torch.manual_seed(0)
    vision, data, stage = NVAE(4, 32, 8, (2, 3, 3)), episodes(tmp_path / "e", 32), Stage(tmp_path / "v")
    config = VisionTraining(updates=60, batch=8, kl_warmup=8, learning_rate=3e-3)
    fit_vision(stage, vision, data[:1], config, False, 0, FULL)
    logged = stage.metrics()
    assert logged[-1]["error"] < 0.5 * logged[0]["error"]
    groups = {name: value for name, value in logged[-1].items() if name.startswith("kl/")}
    assert len(groups) == 9
    assert min(groups.values()) > 0.01
    found = eyesight(vision, data[:1], data[1:], bar=False, seed=0)
    assert found["rms"] < found["rms_of_z"]  # who may look at the frame draws better than who knows z alone
    assert min(found["kl"].values()) > 0
    assert found["bits_per_dimension"] < 8


def test_an_interrupted_training_of_nvae_ends_as_an_unbroken_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    data, config = episodes(tmp_path / "e", 32), VisionTraining(updates=4, batch=11, kl_warmup=2)
    whole, broken = (NVAE(3, 32, 8, (1, 1)) for _ in range(2))
    broken.load_state_dict(whole.state_dict())
    fit_vision(Stage(tmp_path / "a"), whole, data, config, False, 0, FULL)
    spectral, left = broken.spectral, [0, 1]
    monkeypatch.setattr(broken, "spectral", lambda: (left.pop(), spectral())[1])  # once an update
    with pytest.raises(IndexError):  # in the third update
        fit_vision(Stage(tmp_path / "b"), broken, data, config, False, 0, FULL)
    monkeypatch.undo()
    fit_vision(Stage(tmp_path / "b"), broken, data, config, False, 0, FULL)
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), broken.parameters(), strict=True))


class Known:
    """A V whose drawings are off by `error` grey levels and whose z holds `nats`."""

    def __init__(self, error: float, nats: float):
        self.error, self.nats = error, nats

    def parameters(self):
        yield torch.zeros(1)

    def terms(self, seen: torch.Tensor, _: torch.Generator) -> Terms:
        return Terms(torch.logit((pixels(seen).double() * 255 + self.error) / 255), {"z": torch.tensor([self.nats])})


def test_bits_are_those_of_a_distribution_and_latents_are_paid_for():
    levels = torch.arange(256).double()
    for scale, middle in ((0.3, 7.2), (4.0, 250.9), (60.0, 0.0)):
        bits = laplace_bits(levels, levels - middle, scale)
        assert (2**-bits).sum().item() == pytest.approx(1)
        assert bits[1:-1].argmin() + 1 == max(1, round(middle))
    far = laplace_bits(torch.tensor(200.0), torch.tensor(150.0), 1.0).item()
    assert far == pytest.approx((149.5 - math.log(0.5 * (1 - math.exp(-1)))) / math.log(2))
    seen = [torch.full((4, 8, 8, 3), 100, dtype=torch.uint8)]
    free, dear = (bits_per_dimension(Known(2.0, nats), seen, seen, 0)["bits_per_dimension"] for nats in (0.0, 192 * 3.0))  # pyright: ignore[reportArgumentType]
    assert free == pytest.approx(laplace_bits(torch.tensor(100.0), torch.tensor(2.0), 2.0).item(), rel=1e-5)
    assert dear - free == pytest.approx(3 / math.log(2))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_product_draws_and_learns_as_the_transposed_convolution_that_it_is(layout: torch.memory_format):
    product, convolution = FromOnePixel(6, 4, 3), torch.nn.ConvTranspose2d(6, 4, 3)
    convolution.load_state_dict(product.state_dict())
    seen, weight = torch.randn(5, 6, 1, 1, generator=chance()), torch.randn(5, 4, 3, 3, generator=chance(1))
    found = []
    for layer in (product, convolution):
        layer.to(memory_format=layout)  # pyright: ignore[reportCallIssue]  # missing in torch's stubs
        maps = seen.clone().requires_grad_()
        drawn = layer(maps)
        found.append([drawn, *torch.autograd.grad((weight * drawn).sum(), [maps, *layer.parameters()])])
    torch.testing.assert_close(found[0], found[1])


def test_a_thousand_latents_and_cross_entropy(tmp_path: Path):
    torch.manual_seed(0)
    vision, stage = build_vision(VisionConfig("conv", latent=1024), 64), Stage(tmp_path / "v")
    config = VisionTraining(updates=3, batch=4, likelihood="bce")
    fit_vision(stage, vision, episodes(tmp_path / "e", 64), config, True, 0, FULL)
    assert stage.metrics()[-1]["error"] < stage.metrics()[0]["error"]
    assert vision.decode(vision.encode(frames(2)).mu).shape == (2, 64, 64, 3)


ways: dict[str, Callable[[Agent, list[EpisodeFile]], np.ndarray]] = {
    "driving": lambda agent, _: agent.act(np.random.default_rng(0).integers(0, 255, (96, 96, 3), np.uint8)),
    "rollouts": lambda agent, _: unseen_drive(agent, 0, steps=3).actions[0],
    "data for M": lambda agent, data: encode_episodes(agent.vision, data, agent.actions, True).mu.numpy(),
    "the dream, drawn": lambda agent, _: _dreamed(agent),
    "pictures": lambda agent, data: SHEETS["reconstructions"](agent, data[0].frames()).rows["V"],
}


def _dreamed(agent: Agent) -> np.ndarray:
    dream = Dream(agent, 1)
    dream.reset([3])
    return dream.render()


@pytest.mark.parametrize("way", ways)
def test_nvae_is_what_everything_sees_by(way: str, tmp_path: Path):
    """The same agent with other weights in its NVAE does, keeps and shows something else."""
    agent, other, data = nvae_agent(), nvae_agent(), episodes(tmp_path, 64)
    np.testing.assert_array_equal(ways[way](agent, data), ways[way](other, data))
    other = nvae_agent()
    other.vision.load_state_dict(nvae_agent(seed=2).vision.state_dict())
    assert not np.array_equal(ways[way](agent, data), ways[way](other, data))


def test_an_agent_with_nvae_is_kept_and_loaded(tmp_path: Path):
    agent = nvae_agent()
    agent.save(tmp_path / "agent")
    loaded = load_agent(tmp_path)
    assert isinstance(loaded.vision, NVAE)
    assert loaded.config.vision == TINY
    assert torch.equal(loaded.vision.reconstruct(frames(2)), agent.vision.reconstruct(frames(2)))
    about = tmp_path / "agent/agent.json"
    about.write_text(about.read_text().replace('"width": 8', '"width": 16'))
    with pytest.raises(ValueError, match="does not fit"):
        dreamlap.load(tmp_path)


def test_pictures_of_what_v_makes_of_frames(agent: Agent, tmp_path: Path):
    deep, seen = nvae_agent(), frames(12).numpy()
    assert list(SHEETS["reconstructions"](deep, seen).rows) == ["track", "V", "z alone"]
    assert list(SHEETS["reconstructions"](agent, seen).rows) == ["track", "V"]
    assert list(SHEETS["samples"](deep, seen).rows) == ["z ~ prior", "all ~ prior"]
    moved = SHEETS["traversals"](deep, seen)
    assert len(moved.rows) == 4
    middle = deep.vision.decode(deep.vision.encode(torch.from_numpy(seen)).mu[6:7])[0].numpy()
    for row in moved.rows.values():
        assert row.shape == (7, 64, 64, 3)
        assert np.abs(row[3].astype(int) - middle).max() <= 1
        assert not np.array_equal(row[0], row[6])
    assert moved.png()[:4] == b"\x89PNG"
    assert list(SHEETS["samples"](agent, seen).rows) == ["z ~ prior"]
    for shown, panels in ((deep, 3), (agent, 2)):  # a third panel where z is not all there is
        reconstruction_video(shown, tmp_path / "v.mp4", steps=3, seed=1, scale=2)
        assert still(tmp_path / "v.mp4").shape[1] == 8 + panels * (2 * 96 + 8)


@pytest.mark.parametrize("kind", ["light", "nvae"])
def test_a_vision_refuses_what_is_no_frame(kind: Literal["light", "nvae"]):
    vision, frames = build_vision(VisionConfig(kind, latent=4, width=8), 64), torch.zeros(2, 64, 64, 3, dtype=torch.uint8)
    kinds, shapes = (frames.float() / 255, frames.long()), (frames[0, 0], frames.mT, frames[:, :48, :48], frames[..., :1])
    stock, words = np.zeros((96, 96, 3), np.uint8), np.array(["frame"])
    for wrong in (*kinds, *shapes, stock, words, frames.numpy() / 255, frames[:0], [frames[0], stock]):
        for look in (vision.encode, vision.reconstruct):
            with pytest.raises(
                Refused, match=r"this V sees one or more frames, \(B, 64, 64, 3\) or \(64, 64, 3\) uint8, not (\(|a list)"
            ):
                look(wrong)
    assert vision.encode(frames).mu.shape == (2, 4)


@pytest.mark.parametrize("kind", ["light", "nvae"])
def test_a_vision_sees_arrays_and_tensors_one_frame_or_many(kind: Literal["light", "nvae"]):
    vision = build_vision(VisionConfig(kind, latent=4, width=8), 64)
    frames = np.random.default_rng(0).integers(0, 255, (2, 64, 64, 3), dtype=np.uint8)
    frames.flags.writeable = False
    expected = vision.encode(torch.from_numpy(frames.copy())).mu.numpy()  # without a gradient, which training takes
    assert vision.posterior(torch.from_numpy(frames.copy())).mu.requires_grad
    for many in (frames, list(frames), list(torch.from_numpy(frames.copy()))):
        np.testing.assert_array_equal(vision.encode(many).mu.numpy(), expected)
    np.testing.assert_allclose(vision.encode(frames[:, ::-1][1, ::-1]).mu.numpy(), expected[1], atol=1e-5)
    assert vision.encode(torch.from_numpy(frames[1].copy())).log_sigma.shape == (4,)
    assert vision.decode(vision.encode(frames[0]).mu).shape == (64, 64, 3)
    assert vision.reconstruct(frames[0]).shape == (64, 64, 3)
    for z in (expected, expected.tolist(), expected.astype(np.float64), torch.from_numpy(expected)):
        assert torch.equal(vision.decode(z), vision.decode(vision.encode(frames).mu))
    assert vision.logits(expected).requires_grad


@pytest.mark.parametrize("kind", ["light", "nvae"])
def test_a_vision_refuses_what_is_no_z(kind: Literal["light", "nvae"]):
    vision = build_vision(VisionConfig(kind, latent=4, width=8), 64)
    posterior = vision.encode(np.zeros((64, 64, 3), np.uint8))
    for wrong in (
        torch.zeros(2, 3),
        np.zeros(()),
        np.array(["z"] * 4),
        torch.zeros(4).to(torch.complex64),
        posterior,
        "z",
        None,
    ):
        with pytest.raises(Refused, match=r"expected z \(\.\.\., 4\), of float32; given: z (\(|a )"):
            vision.decode(wrong)  # pyright: ignore[reportArgumentType]
    with pytest.raises(Refused, match="z must be finite"):
        vision.decode([0.0, 0.0, 0.0, np.nan])
    with pytest.raises(Refused, match=r"expected z \(B, 4\), of float32; given: z \(4,\) float32\. B is .* `z\[None\]`"):
        vision.logits(np.zeros(4, np.float32))


def test_a_width_that_an_nvae_cannot_have_is_refused_by_its_flag():
    with pytest.raises(Refused, match=r"--vision\.width 12: .* multiple of 8"):
        VisionConfig("nvae", width=12)
    assert VisionConfig("light", width=12).width == 12
