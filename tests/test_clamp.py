"""What has left its bounds finds back."""

import torch

from dreamlap.agent import build_agent
from dreamlap.clamp import clamp
from dreamlap.control import ActorCritic
from dreamlap.presets import PRESETS
from dreamlap.vision.vae import LOG_SIGMA_RANGE, kl_by_dimension, posterior_of


def test_within_the_bounds_it_is_torch_clamp():
    x = torch.linspace(-3, 3, 13, requires_grad=True)
    assert torch.equal(clamp(x, -1, 2), x.clamp(-1, 2))
    (gradient,) = torch.autograd.grad(clamp(x, -4, 4).square().sum(), x)
    assert torch.equal(gradient, 2 * x)


def test_beyond_a_bound_only_the_gradient_that_leads_back_is_left():
    x = torch.tensor([-2.0, -2.0, 0.0, 5.0, 5.0], requires_grad=True)
    pull = torch.tensor([1.0, -1.0, 1.0, 1.0, -1.0])  # a step goes against it
    (gradient,) = torch.autograd.grad(clamp(x, -1, 2), x, pull)
    assert gradient.tolist() == [0.0, -1.0, 1.0, 1.0, 0.0]


def test_a_latent_that_is_all_noise_finds_back_by_its_kl():
    low, high = LOG_SIGMA_RANGE
    raw = torch.tensor([[0.0, 0.0, high + 3, low - 3]], requires_grad=True)
    optimizer = torch.optim.Adam([raw], 0.1)
    for _ in range(400):
        optimizer.zero_grad()
        kl_by_dimension(posterior_of(raw)).sum().backward()
        optimizer.step()
    assert kl_by_dimension(posterior_of(raw)).sum().item() < 0.01


def test_noise_that_has_grown_too_great_can_fall_again():
    controller = build_agent(PRESETS["demo"].config.agent).controller
    assert isinstance(controller, ActorCritic)
    controller.explore(20.0)
    deviation = controller.moments(torch.zeros(3, controller.inputs))[1]
    assert deviation.max() < 2
    deviation.sum().backward()
    assert controller.log_std.grad is not None
    assert (controller.log_std.grad > 0).all()
