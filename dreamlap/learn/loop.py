"""The loop that every training shares: updates one after the other, logged, kept now and then, resumed where it broke."""

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from dreamlap.parallel import side_by_side
from dreamlap.progress import meter
from dreamlap.run import Stage, Stateful


def run_updates(
    stage: Stage,
    title: str,
    updates: int,
    parts: Mapping[str, Stateful],
    update: Callable[[int], Mapping[str, float]],
    previous: Stage | None = None,
    multiple: int = 1,
    enough: Callable[[Mapping[str, float]], bool] = lambda _: False,
) -> None:
    """Call `update(i)` for i = 0 ... `updates` - 1 and keep `parts` twenty times on the way, after a `multiple` of updates.

    An update whose metrics are `enough` is the last one.

    A stage that was broken off goes on from its last checkpoint; a fresh one begins with the parts that `previous` left,
    if there is one. `update` must draw its chance from its number alone: then an interrupted stage ends as an
    uninterrupted one, to the last bit.
    """
    start = stage.restore(parts)
    if start is None and previous:
        previous.restore(parts)
    start = start or 0
    every = max(1, updates // 20 // multiple) * multiple
    stage.forget_after(start)
    with meter(title, updates, start) as bar, stage.logger(start) as log:
        for i in range(start, updates):
            metrics = update(i)
            _refuse_nan(metrics, stage, i)
            log(i + 1, metrics)
            last = i + 1 == updates or enough(metrics)
            if (i + 1) % every == 0 or last:
                stage.save(i + 1, {name: part.state_dict() for name, part in parts.items()})
            bar.advance(note="  ".join(f"{name} {value:.4g}" for name, value in list(metrics.items())[:2]))
            if last:
                break


def _refuse_nan(metrics: Mapping[str, float], stage: Stage, i: int) -> None:
    if bad := [name for name, value in metrics.items() if not math.isfinite(value)]:
        raise FloatingPointError(
            f"{', '.join(bad)} is no longer a number in update {i} of {stage.folder}; the last good checkpoint is kept. "
            "Try a lower learning rate, or --precision float32."
        )


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Go on with another learning rate (an optimizer that was restored brings the one that it was saved with).

    On CUDA it is a tensor: a step that was recorded reads it there.
    """
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        elif group["params"][0].device.type == "cuda":
            group["lr"], group["capturable"] = torch.tensor(rate, device=group["params"][0].device), True
        else:
            group["lr"] = rate


def half_cosine(done: float) -> float:
    """The share of the learning rate that is left when a share `done` of the updates is over: from 1 down to 0.1."""
    return 0.1 + 0.45 * (1 + math.cos(math.pi * done))


Loss = Callable[[int], tuple[Tensor, dict[str, Tensor]]]
"""What shard i of a batch adds to the loss (), and to the figures () that are told of it."""


def shards(wanted: int, device: torch.device) -> int:
    """Into how many shards a batch is cut: on a CPU `wanted`, whatever its cores, so that they do not change the result; a GPU
    shares the work itself."""
    return wanted if device.type == "cpu" else 1


def descend(
    loss: Loss, count: int, parameters: Sequence[Tensor], optimizer: torch.optim.Optimizer, max_norm: float
) -> dict[str, Tensor]:
    """One clipped gradient step on the sum of the losses of `count` shards -> the sums of their figures, and `gradient`, the
    norm of the gradient before clipping.

    The shards are learned from side by side, and their gradients are added up in order.
    """

    def learn(shard: int) -> tuple[Sequence[Tensor], dict[str, Tensor]]:
        part, figures = loss(shard)
        return torch.autograd.grad(part, parameters, allow_unused=True, materialize_grads=True), figures

    gradients, told = zip(*side_by_side(learn, range(count), parameters[0].device), strict=True)
    for parameter, *parts in zip(parameters, *gradients, strict=True):
        parameter.grad = parts[0]
        for part in parts[1:]:
            parameter.grad += part
    norm = torch.nn.utils.clip_grad_norm_(parameters, max_norm)
    optimizer.step()
    names = dict.fromkeys(name for figures in told for name in figures)
    sums = {name: torch.stack([figures[name].detach() for figures in told if name in figures]).sum() for name in names}
    return sums | {"gradient": norm}


def numbers(figures: Mapping[str, Tensor]) -> dict[str, float]:
    """Figures () as numbers, by one question to the device."""
    return dict(zip(figures, torch.stack(list(figures.values())).tolist(), strict=True))
