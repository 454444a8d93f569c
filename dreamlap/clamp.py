"""Bounds that can be left again."""

from typing import Any

import torch
from torch import Tensor


class _Clamp(torch.autograd.Function):
    """See `clamp`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, low: float, high: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.bounds = low, high
        return x.clamp(low, high)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        (x,), (low, high), (gradient,) = ctx.saved_tensors, ctx.bounds, gradients
        outward = ((x <= low) & (gradient > 0)) | ((x >= high) & (gradient < 0))  # a step goes against the gradient
        return gradient.masked_fill(outward, 0.0), None, None


def clamp(x: Tensor, low: float, high: float) -> Tensor:
    """`x` kept within [low, high]; beyond a bound it still has the gradient that leads back.

    `torch.clamp` has none there: what has once left the bounds never comes back. Five latents of a V have stood at the greatest
    deviation for a whole training that way, and were noise to M and C.
    """
    return _Clamp.apply(x, low, high)  # pyright: ignore[reportReturnType]
