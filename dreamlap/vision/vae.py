"""V as a convolutional variational autoencoder (Kingma & Welling 2014), in the paper's shape and in a light one."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dreamlap.clamp import clamp
from dreamlap.errors import Refused
from dreamlap.tensors import Numbers, as_tensor, described, read


class Posterior(NamedTuple):
    """What V makes of frames: an independent Gaussian for every dimension of z."""

    mu: Tensor  # (B, Z), or (Z,) of one frame
    log_sigma: Tensor  # likewise

    def sample(self, noise: Tensor) -> Tensor:
        """mu + sigma * noise, for standard normal noise (B, Z)."""
        return self.mu + self.log_sigma.exp() * noise


class Terms(NamedTuple):
    """What a V is trained by: its reconstruction of the frames, and what the latents behind it cost."""

    logits: Tensor  # (B, 3, S, S)
    kl: dict[str, Tensor]  # by group of latents, z first: the nats of each of its dimensions, averaged over the batch


LOG_SIGMA_RANGE = (-5.0, 2.0)
"""Sigma of the posterior is kept within exp of this range, so that no exponential overflows."""


class VAE(nn.Module):
    """An encoder and a decoder around z; subclasses say what the two are made of."""

    more_than_z = False
    """Whether it reconstructs a frame from more than z."""
    regularised = False
    """Whether `spectral` is to be kept small."""

    def __init__(self, latent: int, size: int, encoder: nn.Module, decoder: nn.Module):
        super().__init__()
        self.latent, self.size = latent, size
        self.encoder, self.decoder = encoder, decoder

    @torch.no_grad()
    def encode(self, frames: Numbers) -> Posterior:
        """Frames (B, S, S, 3) uint8, or one frame (S, S, 3) -> the posterior over z, (B, Z) or (Z,), on V's device.

        Tensors, arrays or a list of frames. What comes of it has no gradient; training takes that of `posterior`.

        Raises:
            Refused: they are no such frames.
        """
        seen = self.seen(frames)
        posterior = self.posterior(seen.reshape(-1, *seen.shape[-3:]))
        return Posterior(*(part.reshape(*seen.shape[:-3], self.latent) for part in posterior))

    def posterior(self, frames: Tensor) -> Posterior:
        """Frames (B, S, S, 3) uint8 -> the posterior over z, (B, Z), with a gradient."""
        return posterior_of(self.encoder(pixels(self.seen(frames))))

    def seen(self, frames: Numbers) -> Tensor:
        """Frames, see `encode`, as a tensor on V's device, once it is known that they are frames."""
        size, seen = self.size, as_tensor(frames)
        if seen is None or seen.dtype != torch.uint8 or seen.shape[-3:] != (size, size, 3) or not len(seen):
            raise Refused(
                f"this V sees one or more frames, (B, {size}, {size}, 3) or ({size}, {size}, 3) uint8, "
                f"not {described(frames)}. `dreamlap.track.seen_by(frame, agent.config.track)` makes one of a stock frame"
            )
        return seen.to(next(self.parameters()).device)

    def logits(self, z: Numbers) -> Tensor:
        """z (B, Z) -> the frame before it is squashed into [0, 1], with a gradient: (B, 3, S, S)."""
        (z,) = read(next(self.parameters()), z=(z, ("B", self.latent)))
        return self.decoder(z).float()

    @torch.no_grad()
    def decode(self, z: Numbers) -> Tensor:
        """z (B, Z) -> frames (B, S, S, 3) uint8; one z (Z,) -> one frame.

        Raises:
            Refused: it is no such z, or not finite.
        """
        (z,) = read(next(self.parameters()), z=(z, (..., self.latent)))
        if not z.isfinite().all():
            raise Refused("z must be finite, and it holds NaN or infinity. If V or M gave it, load or train the agent again")
        return to_frames(self.logits(z.reshape(-1, self.latent))).reshape(*z.shape[:-1], self.size, self.size, 3)

    def reconstruct(self, frames: Numbers) -> Tensor:
        """Frames (B, S, S, 3) uint8, or one -> V's best reconstructions of them, of their shape, from all that it can keep."""
        return self.decode(self.encode(frames).mu)

    def imagine(self, z: Numbers, chance: torch.Generator) -> Tensor:
        """z (B, Z) -> frames (B, S, S, 3) uint8, with whatever V draws by chance below z; here, nothing."""
        return self.decode(z)

    def terms(self, frames: Tensor, chance: torch.Generator, alone: float = 0.0) -> Terms:
        """Frames (B, S, S, 3) uint8 drawn again from sampled latents, and the KL divergence of these: one group, z.

        `alone`: share of the frames drawn from z alone, where V has more than z; here z is all there is.
        """
        posterior = self.posterior(frames)
        logits = self.logits(posterior.sample(standard_normal(posterior.mu, chance)))
        return Terms(logits, {"z": kl_by_dimension(posterior)})

    def spectral(self) -> Tensor:
        """What spectral regularisation keeps small: nothing, where V does not ask for it (`regularised`)."""
        return next(self.parameters()).new_zeros(())


class ConvVAE(VAE):
    """The paper's V for 64x64 frames (Ha & Schmidhuber 2018, appendix "Variational Autoencoder"): 4.3 M weights at Z = 32."""

    def __init__(self, latent: int, size: int = 64):
        if size != 64:
            raise Refused(f"the paper's ConvVAE sees frames of 64x64 pixels, not {size}x{size}: use --vision.kind light")
        encoder = nn.Sequential(
            *(nn.Conv2d(3, 32, 4, 2), nn.ReLU()),
            *(nn.Conv2d(32, 64, 4, 2), nn.ReLU()),
            *(nn.Conv2d(64, 128, 4, 2), nn.ReLU()),
            *(nn.Conv2d(128, 256, 4, 2), nn.ReLU()),
            *(nn.Flatten(), nn.Linear(1024, 2 * latent)),
        )
        decoder = nn.Sequential(
            *(nn.Linear(latent, 1024), nn.Unflatten(1, (1024, 1, 1))),
            *(FromOnePixel(1024, 128, 5), nn.ReLU()),
            *(nn.ConvTranspose2d(128, 64, 5, 2), nn.ReLU()),
            *(nn.ConvTranspose2d(64, 32, 6, 2), nn.ReLU()),
            nn.ConvTranspose2d(32, 3, 6, 2),
        )
        super().__init__(latent, size, encoder, decoder)


class FromOnePixel(nn.Module):
    """A transposed convolution of maps of one pixel, (B, I, 1, 1) -> (B, O, k, k), as the matrix product that it is. Else it
    takes five times as long, and two fifths of the training of the paper's V."""

    def __init__(self, inputs: int, outputs: int, side: int):
        super().__init__()
        like = nn.ConvTranspose2d(inputs, outputs, side)
        assert like.bias is not None
        self.weight, self.bias = like.weight, like.bias

    def forward(self, maps: Tensor) -> Tensor:
        """See the class."""
        kernel = self.weight.permute(0, 2, 3, 1)  # (I, k, k, O): so it lies in memory, channels last
        drawn = F.linear(maps.flatten(1), kernel.flatten(1).T, self.bias.repeat(kernel[0, :, :, 0].numel()))
        return drawn.unflatten(1, kernel.shape[1:]).permute(0, 3, 1, 2)


class LightVAE(VAE):
    """A V that never works at full resolution: 4x4 pixels become channels on the way in, channels become pixels on the way out.

    Most of the paper's V goes into drawing the last, finest layers (two thirds of its FLOPs are the decoder's); a track of
    flat colours does not need them.
    """

    def __init__(self, latent: int, size: int = 64, width: int = 32):
        if size % 16:
            raise Refused(f"the light V needs a frame size divisible by 16, not {size}: choose --track.size 48, 64 or 96")
        side = size // 16
        encoder = nn.Sequential(
            *(nn.PixelUnshuffle(4), nn.Conv2d(48, width, 3, 1, 1), nn.ReLU()),
            *(nn.Conv2d(width, 2 * width, 4, 2, 1), nn.ReLU()),
            *(nn.Conv2d(2 * width, 4 * width, 4, 2, 1), nn.ReLU()),
            *(nn.Flatten(), nn.Linear(4 * width * side**2, 2 * latent)),
        )
        decoder = nn.Sequential(
            *(nn.Linear(latent, 4 * width * side**2), nn.Unflatten(1, (4 * width, side, side)), nn.ReLU()),
            *(nn.ConvTranspose2d(4 * width, 2 * width, 4, 2, 1), nn.ReLU()),
            *(nn.ConvTranspose2d(2 * width, width, 4, 2, 1), nn.ReLU()),
            *(nn.Conv2d(width, 48, 3, 1, 1), nn.PixelShuffle(4)),
        )
        super().__init__(latent, size, encoder, decoder)


def pixels(frames: Tensor) -> Tensor:
    """Frames (B, S, S, 3) uint8 -> (B, 3, S, S) floats in [0, 1], channels last in memory as they came."""
    return frames.permute(0, 3, 1, 2).float() / 255


def posterior_of(parameters: Tensor) -> Posterior:
    """What an encoder gives, (B, 2 Z), as mu and a bounded log sigma."""
    mu, log_sigma = parameters.float().chunk(2, -1)
    return Posterior(mu, clamp(log_sigma, *LOG_SIGMA_RANGE))


def to_frames(logits: Tensor) -> Tensor:
    """Logits (B, 3, S, S) -> frames (B, S, S, 3) uint8."""
    return (logits.float().sigmoid() * 255).round().to(torch.uint8).permute(0, 2, 3, 1)


def standard_normal(like: Tensor, chance: torch.Generator) -> Tensor:
    """Noise of the shape of `like`, drawn where `chance` lives."""
    return torch.randn(like.shape, generator=chance, device=chance.device).to(like.device)


def reconstruction_error(logits: Tensor, target: Tensor, weight: Tensor, likelihood: str) -> Tensor:
    """-log p(x | z) up to a constant, summed over pixels, averaged over frames; both (B, 3, S, S), weight (S, S).

    `mse`: sum (x - y)^2, the paper's; `bce`: sum -x log y - (1 - x) log(1 - y), both with y = sigmoid(logits).
    """
    if likelihood == "bce":
        error = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    else:
        error = (logits.sigmoid() - target).square()
    return (error * weight).sum((1, 2, 3)).mean()


def kl_by_dimension(posterior: Posterior) -> Tensor:
    """KL(N(mu, sigma) || N(0, 1)) of each dimension, averaged over the batch: (Z,), in nats."""
    mu, log_sigma = posterior
    return (0.5 * (mu.square() + (2 * log_sigma).exp() - 1) - log_sigma).mean(0)
