"""The mixture against scipy, and its bounds."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from dreamlap.memory import mixture


def _mixture(seed: int, scale: float = 1.0) -> mixture.Mixture:
    raw = torch.randn(6, 3 * 5 * 4, generator=torch.Generator().manual_seed(seed)) * scale
    return mixture.from_raw(raw, mixtures=5)


def test_density_is_scipys():
    made = _mixture(0)
    z = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))
    ours = mixture.log_prob(made, z).numpy()
    pi, mu, sigma = made.log_pi.exp().numpy(), made.mu.numpy(), made.log_sigma.exp().numpy()
    theirs = np.log((pi * stats.norm.pdf(z.numpy()[:, None], mu, sigma)).sum(1))
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


@given(scale=st.floats(0, 1e4), z=st.floats(-1e4, 1e4))
@settings(max_examples=50, deadline=None)
def test_density_and_its_gradient_stay_finite(scale: float, z: float):
    raw = (torch.randn(2, 3 * 5 * 4, generator=torch.Generator().manual_seed(0)) * scale).requires_grad_()
    density = mixture.log_prob(mixture.from_raw(raw, 5), torch.full((2, 4), z))
    density.sum().backward()
    assert torch.isfinite(density).all()
    assert raw.grad is not None
    assert torch.isfinite(raw.grad).all()


def test_samples_have_the_mixtures_mean_and_spread():
    made = mixture.Mixture(*(part[:1].expand(200_000, -1, -1) for part in _mixture(2)))
    chance = torch.Generator().manual_seed(3)
    choice, noise = torch.rand(200_000, 4, generator=chance), torch.randn(200_000, 4, generator=chance)
    drawn = mixture.sample(made, choice, noise)
    pi, mu, sigma = (part[0] for part in (made.log_pi.exp(), made.mu, made.log_sigma.exp()))
    expected = (pi * mu).sum(0)
    variance = (pi * (sigma**2 + mu**2)).sum(0) - expected**2
    torch.testing.assert_close(drawn.mean(0), expected, rtol=0.05, atol=0.02)
    torch.testing.assert_close(drawn.var(0), variance, rtol=0.05, atol=0.02)
    torch.testing.assert_close(mixture.mean(made)[0], expected)


def test_temperature_widens_samples():
    made = mixture.Mixture(*(part[:1].expand(50_000, -1, -1) for part in _mixture(4)))
    chance = torch.Generator().manual_seed(5)
    choice, noise = torch.rand(50_000, 4, generator=chance), torch.randn(50_000, 4, generator=chance)
    cold, warm = (mixture.sample(made, choice, noise, tau).var(0).mean() for tau in (1.0, 1.5))
    assert warm > cold
