"""V as NVAE, a deep hierarchical variational autoencoder (Vahdat & Kautz 2020, arXiv:2007.03898), small enough for a CPU.

The topmost group of latents is the vector z that M and C live by, with a standard normal prior. Below it come groups of
latent maps, from the coarsest scale to the finest, each with a prior that knows the groups above: p(z_l | z_<l).

    frame ─ stem ─▶ features at 16x16 ─▶ at 8x8 ─▶ at 4x4 ─▶ q(z | x)               bottom-up: the encoder
                        │                  │          │          ▼
    frame ◀─ tail ─ groups at 16x16 ◀─ at 8x8 ◀─ at 4x4 ◀─────── z                  top-down: the decoder

Who reconstructs lets every group look at the encoder's features; who dreams has z alone, and the groups below take the mean
of their priors, so that the drawing is a function of z.

What differs from the paper: z is a vector. Frames are folded into blocks of 4x4 pixels first, as in the light V. The groups of
a scale share the encoder's features. Depthwise convolutions are 3x3, not 5x5, whose gradient takes a CPU fifteen times as
long. There are no normalising flows. In training, half of the frames are drawn from z alone: else the finer groups, which
learn sooner, take over what M should know, and z is left empty. Normalisation is over channels within a frame (group norm,
Wu & He 2018) and not over the batch: so a frame's z depends on no other frame, and the network that drives is the network
that was trained.

Letters, beside those of the package: C channels, H side of a map, L latents at each place of a map.
"""

from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dreamlap.errors import Refused
from dreamlap.tensors import Numbers, read
from dreamlap.vision.vae import VAE, Posterior, Terms, kl_by_dimension, pixels, posterior_of, standard_normal, to_frames

EXPANSION = 3
"""How many times wider a cell of the decoder is inside."""
MAPS = 4
"""Latent numbers of a group at each place of its map (L)."""
REACH = 5.0
"""Parameters of priors and posteriors stay within -REACH ... REACH, by a tanh: no exponential overflows."""


class SqueezeExcite(nn.Module):
    """Channels (B, C, H, H) scaled by what the whole map shows (Hu et al. 2018)."""

    def __init__(self, channels: int):
        super().__init__()
        inner = max(4, channels // 16)
        self.gate = nn.Sequential(nn.Linear(channels, inner), nn.ReLU(), nn.Linear(inner, channels), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, H) -> the same shape."""
        return x * self.gate(x.mean((2, 3)))[:, :, None, None]


class Norm(nn.Module):
    """Normalisation over groups of channels within a frame, in float32: in bfloat16, with channels last in memory, a CPU takes
    ten times as long."""

    def __init__(self, channels: int):
        super().__init__()
        self.groups = min(8, channels)
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))

    def forward(self, maps: Tensor) -> Tensor:
        """(B, C, H, H) -> the same shape, float32."""
        return F.group_norm(maps.float(), self.groups, self.weight, self.bias)


def normed_swish(channels: int) -> tuple[nn.Module, nn.Module]:
    """Normalisation and swish, x * sigmoid(x): what stands before a convolution."""
    return Norm(channels), nn.SiLU()


class EncoderCell(nn.Module):
    """The residual cell of the bottom-up network: two plain convolutions (Sec. 3.1.2, Fig. 3b)."""

    def __init__(self, channels: int):
        super().__init__()
        self.residual = nn.Sequential(
            *(*normed_swish(channels), nn.Conv2d(channels, channels, 3, 1, 1)),
            *(*normed_swish(channels), nn.Conv2d(channels, channels, 3, 1, 1)),
            SqueezeExcite(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, H) -> the same shape."""
        return x + self.residual(x)


class DecoderCell(nn.Module):
    """The residual cell of the generative network: a depthwise-separable convolution, widened (Sec. 3.1.1, Fig. 3a)."""

    def __init__(self, channels: int):
        super().__init__()
        wide = EXPANSION * channels
        self.residual = nn.Sequential(
            Norm(channels),
            *(nn.Conv2d(channels, wide, 1), nn.SiLU()),
            *(nn.Conv2d(wide, wide, 3, 1, 1, groups=wide), *normed_swish(wide)),
            *(nn.Conv2d(wide, channels, 1), SqueezeExcite(channels)),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, H) -> the same shape."""
        return x + self.residual(x)


class Encoder(nn.Module):
    """The bottom-up network; its end is the posterior of z."""

    def __init__(self, latent: int, size: int, width: int, scales: int):
        super().__init__()
        self.stem = nn.Sequential(nn.PixelUnshuffle(4), nn.Conv2d(48, width, 3, 1, 1))
        self.cells = nn.ModuleList(EncoderCell(width << i) for i in range(scales))
        self.down = nn.ModuleList(nn.Conv2d(width << i, width << i + 1, 3, 2, 1) for i in range(scales - 1))
        channels, side = width << scales - 1, size >> scales + 1
        self.top = nn.Sequential(*normed_swish(channels), nn.Flatten(), nn.Linear(channels * side**2, 2 * latent))

    def features(self, x: Tensor) -> list[Tensor]:
        """Pixels (B, 3, S, S) -> what is seen at each scale, from the coarsest to the finest: (B, C, H, H)."""
        x = self.stem(x)
        seen = [self.cells[0](x)]
        for down, cell in zip(self.down, list(self.cells)[1:], strict=True):
            seen.insert(0, cell(down(seen[0])))
        return seen

    def forward(self, x: Tensor) -> Tensor:
        """Pixels (B, 3, S, S) -> mu and log sigma of z, side by side: (B, 2 Z)."""
        return self.top(self.features(x)[0])


class Group(nn.Module):
    """One group of latents: its prior given the groups above, its posterior given the frame too, and the cell behind it."""

    def __init__(self, channels: int):
        super().__init__()
        self.prior = nn.Sequential(nn.SiLU(), nn.Conv2d(channels, 2 * MAPS, 1))
        self.look = nn.Conv2d(channels, channels, 1)
        self.posterior = nn.Sequential(nn.SiLU(), nn.Conv2d(channels, 2 * MAPS, 3, 1, 1))
        self.tell = nn.Conv2d(MAPS, channels, 1)
        self.cell = DecoderCell(channels)

    def forward(self, state: Tensor, seen: Tensor | None, chance: torch.Generator | None) -> tuple[Tensor, Tensor | None]:
        """The decoder's state (B, C, H, H), and what the encoder saw there if it may look -> the next state, the KL if it did.

        Without `chance` every latent is the mean of its distribution.
        """
        prior, kl = parameters(self.prior(state)), None
        chosen = prior
        if seen is not None:
            delta = parameters(self.posterior(state + self.look(seen)))
            chosen, kl = residual_normal(prior, delta), residual_kl(prior, delta)
        z = chosen.mu if chance is None else chosen.sample(standard_normal(chosen.mu, chance))
        return self.cell(state + self.tell(z)), kl


def parameters(x: Tensor) -> Posterior:
    """(B, 2 L, H, H) -> mu and log sigma, each (B, L, H, H), within reach."""
    return Posterior(*(REACH * (x.float() / REACH).tanh()).chunk(2, 1))


def residual_normal(prior: Posterior, delta: Posterior) -> Posterior:
    """The posterior as a change of the prior: N(mu + d_mu, sigma * d_sigma) (Sec. 3.2)."""
    return Posterior(prior.mu + delta.mu, prior.log_sigma + delta.log_sigma)


def residual_kl(prior: Posterior, delta: Posterior) -> Tensor:
    """KL(q || p) of a residual normal, elementwise: (d_mu^2 / sigma^2 + d_sigma^2 - 1) / 2 - log d_sigma (Eq. 2)."""
    return 0.5 * ((delta.mu / prior.log_sigma.exp()).square() + (2 * delta.log_sigma).exp() - 1) - delta.log_sigma


class Drawing(NamedTuple):
    """What the decoder makes of z."""

    logits: Tensor  # (B, 3, S, S)
    kl: dict[str, Tensor]  # by group below z that looked at the frame: (B, L, H, H)


class Decoder(nn.Module):
    """The top-down network: z, then group after group, then pixels."""

    def __init__(self, latent: int, size: int, width: int, groups: tuple[int, ...]):
        super().__init__()
        scales = len(groups)
        channels, side = width << scales - 1, size >> scales + 1
        self.start = nn.Sequential(nn.Linear(latent, channels * side**2), nn.Unflatten(1, (channels, side, side)))
        self.scales = nn.ModuleList(nn.ModuleList(Group(channels >> i) for _ in range(count)) for i, count in enumerate(groups))
        self.up = nn.ModuleList(nn.ConvTranspose2d(channels >> i, channels >> i + 1, 2, 2) for i in range(scales - 1))
        self.tail = nn.Sequential(*normed_swish(width), nn.Conv2d(width, 48, 3, 1, 1), nn.PixelShuffle(4))

    def draw(self, z: Tensor, features: list[Tensor] | None = None, chance: torch.Generator | None = None) -> Drawing:
        """z (B, Z), and what the encoder saw if the groups may look -> the drawing. Without `chance`, means all the way."""
        state, kl = self.start(z), {}
        for i, groups in enumerate(self.scales):
            state = self.up[i - 1](state) if i else state
            for number, group in enumerate(cast(nn.ModuleList, groups), 1):
                state, divergence = group(state, features and features[i], chance)
                if divergence is not None:
                    kl[f"{state.shape[2]}x{state.shape[3]}-{number}"] = divergence
        return Drawing(self.tail(state), kl)

    def forward(self, z: Tensor) -> Tensor:
        """z (B, Z) alone -> logits (B, 3, S, S)."""
        return self.draw(z).logits


class NVAE(VAE):
    """V with many groups of latents; z is the topmost."""

    more_than_z = True
    regularised = True
    encoder: Encoder
    decoder: Decoder

    def __init__(self, latent: int, size: int = 64, width: int = 32, groups: tuple[int, ...] = (2, 3, 3)):
        """`groups` of latent maps at each scale below z, from the coarsest; `width`: channels at the finest scale."""
        if size % (4 << len(groups) - 1):
            raise Refused(
                f"an NVAE of {len(groups)} scales needs frames divisible by {4 << len(groups) - 1}, not {size}: "
                "choose another --track.size, or fewer scales in --vision.groups"
            )
        super().__init__(latent, size, Encoder(latent, size, width, len(groups)), Decoder(latent, size, width, groups))

    @torch.no_grad()
    def reconstruct(self, frames: Numbers) -> Tensor:
        """Frames (B, S, S, 3) uint8, or one -> drawings with every group at the mean of its posterior."""
        seen = self.seen(frames)
        features = self.encoder.features(pixels(seen.reshape(-1, *seen.shape[-3:])))
        return to_frames(self.decoder.draw(posterior_of(self.encoder.top(features[0])).mu, features).logits).reshape(seen.shape)

    @torch.no_grad()
    def imagine(self, z: Numbers, chance: torch.Generator) -> Tensor:
        """z (B, Z) -> frames (B, S, S, 3) uint8, the groups below sampled from their priors."""
        (z,) = read(next(self.parameters()), z=(z, ("B", self.latent)))
        return to_frames(self.decoder.draw(z, chance=chance).logits)

    def terms(self, frames: Tensor, chance: torch.Generator, alone: float = 0.0) -> Terms:
        """Frames (B, S, S, 3) uint8 drawn again from samples of every group's posterior, and the KL of every group.

        The last frames, a share `alone` of them, are drawn from z with the groups below at the means of their priors, as in a
        dream; the KL of those groups is that of the other frames.
        """
        features = self.encoder.features(pixels(self.seen(frames)))
        posterior = posterior_of(self.encoder.top(features[0]))
        z, looking = posterior.sample(standard_normal(posterior.mu, chance)), max(1, round(len(frames) * (1 - alone)))
        drawing = self.decoder.draw(z[:looking], [scale[:looking] for scale in features], chance)
        logits = torch.cat([drawing.logits, self.decoder(z[looking:])]) if looking < len(frames) else drawing.logits
        below = {name: kl.mean(0).flatten() for name, kl in drawing.kl.items()}
        return Terms(logits.float(), {"z": kl_by_dimension(posterior), **below})

    def spectral(self) -> Tensor:
        """The sum of the largest singular values of all convolutions: it bounds how steep the network can be (Eq. 3)."""
        weights = (layer.weight for layer in self.modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d))
        return torch.stack([largest_singular_value(weight.flatten(1)) for weight in weights]).sum()


def largest_singular_value(matrix: Tensor) -> Tensor:
    """Of a matrix (M, N) -> (), with the gradient u v^T; exact, where the paper iterates."""
    with torch.no_grad():
        square = matrix @ matrix.T if len(matrix) <= matrix.shape[1] else matrix.T @ matrix
        vector = torch.linalg.eigh(square).eigenvectors[:, -1]
    return (vector @ matrix if len(matrix) <= matrix.shape[1] else matrix @ vector).norm()
