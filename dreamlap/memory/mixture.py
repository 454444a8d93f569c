"""Mixtures of Gaussians, one for every dimension of z, in log space throughout.

Bishop, *Mixture Density Networks* (1994), eq. 22-26; Ha & Schmidhuber (2018), section "MDN-RNN". Probabilities are never
formed while training: that is where others' losses became NaN.

Letters: K mixtures, Z latent dimensions; `...` any leading axes (batch, time).
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

LOG_SIGMA_RANGE = (-6.0, 2.0)
"""The deviation of a component stays within exp of this range, smoothly, so that no density explodes."""


class Mixture(NamedTuple):
    """p(z_i) = sum_k pi_ik N(z_i; mu_ik, sigma_ik)."""

    log_pi: Tensor  # (..., K, Z), log of weights that sum to one over K
    mu: Tensor  # (..., K, Z)
    log_sigma: Tensor  # (..., K, Z)


def from_raw(raw: Tensor, mixtures: int) -> Mixture:
    """Make a mixture from a network's unbounded output (..., 3 K Z)."""
    logits, mu, scale = raw.unflatten(-1, (3, mixtures, -1)).unbind(-3)
    low, high = LOG_SIGMA_RANGE
    return Mixture(F.log_softmax(logits, -2), mu, low + (high - low) * torch.sigmoid(scale))


def log_prob(mixture: Mixture, z: Tensor) -> Tensor:
    """log p(z_i) for every dimension: z (..., Z) -> (..., Z).

    log sum_k exp(log pi_k - (z - mu_k)^2 / (2 sigma_k^2) - log sigma_k - log(2 pi)/2)
    """
    error = (z.unsqueeze(-2) - mixture.mu) * torch.exp(-mixture.log_sigma)
    terms = mixture.log_pi - mixture.log_sigma - 0.5 * error.square()
    return torch.logsumexp(terms, -2) - 0.5 * math.log(2 * math.pi)


def mean(mixture: Mixture) -> Tensor:
    """The expectation of z: (..., Z)."""
    return (mixture.log_pi.exp() * mixture.mu).sum(-2)


def sample(mixture: Mixture, choice: Tensor, noise: Tensor, temperature: float = 1.0) -> Tensor:
    """Draw z (..., Z), given uniform numbers `choice` (..., Z) that pick the component and standard normal `noise` (..., Z).

    Temperature tau divides the logits and multiplies the variance (Ha & Schmidhuber 2018, section "Car racing dreams").
    """
    log_pi = mixture.log_pi if temperature == 1 else F.log_softmax(mixture.log_pi / temperature, -2)
    below = log_pi.exp().cumsum(-2)[..., :-1, :] < choice.unsqueeze(-2)
    k = below.sum(-2, keepdim=True)
    mu, log_sigma = mixture.mu.gather(-2, k).squeeze(-2), mixture.log_sigma.gather(-2, k).squeeze(-2)
    return mu + math.sqrt(temperature) * log_sigma.exp() * noise
