"""How M is trained: to predict what came next, in windows of real episodes."""

from dataclasses import fields

import torch
from torch import Tensor
from torch.nn import functional as F

from dreamlap.agent import Starts
from dreamlap.config.training import MemoryTraining
from dreamlap.device import Autocast
from dreamlap.episodes.latents import Latents, Windows, windows
from dreamlap.errors import Failed
from dreamlap.learn.loop import descend, numbers, run_updates, set_rate, shards
from dreamlap.memory import MDNRNN
from dreamlap.memory.mixture import log_prob
from dreamlap.recorded import Recorded
from dreamlap.run import Stage
from dreamlap.seeds import generator

SHARDS = 4
"""Into how many shards a batch is cut, to be learned from side by side."""


def fit_memory(
    stage: Stage,
    memory: MDNRNN,
    latents: Latents,
    shown: Tensor,
    first_fresh: int,
    config: MemoryTraining,
    seed: int,
    autocast: Autocast,
    previous: Stage | None = None,
) -> None:
    """Train `memory` in place on the episodes `shown` (E,) bool; those from number `first_fresh` on are the latest round's."""
    parameters, device = [part for part in memory.parameters() if part.requires_grad], latents.mu.device
    optimizer = torch.optim.Adam(parameters, config.learning_rate, fused=True)
    weights = {"z": 1.0, "reward": config.reward_weight, "end": config.end_weight, "off_road": config.off_road_weight}
    parts = min(shards(SHARDS, device), config.batch)

    def learn(noise: Tensor, *columns: Tensor) -> dict[str, Tensor]:
        batch = Windows(*columns)
        whole = counted(batch)

        def loss(shard: int) -> tuple[Tensor, dict[str, Tensor]]:
            part = Windows(*(column[shard::parts] for column in columns))
            share = counted(part)
            losses = memory_losses(memory, part, noise[shard::parts], autocast)
            told = {name: value * share[name] / whole[name].clamp_min(1) for name, value in losses.items()}
            return torch.stack([weights[name] * value for name, value in told.items()]).sum(), told

        return descend(loss, parts, parameters, optimizer, config.clip)

    learned = Recorded(learn)

    def update(i: int) -> dict[str, float]:
        set_rate(optimizer, config.learning_rate)
        chance = torch.rand(4, config.batch, generator=generator(seed, "windows", i)).to(device)
        batch = windows(latents, *choose(chance, latents, shown, first_fresh, config), config.window)
        noise = torch.randn(batch.mu.shape, generator=generator(seed, "noise", i)).to(device)
        figures = numbers(learned(noise, *(getattr(batch, field.name) for field in fields(Windows))))
        return figures if counted(batch)["reward"] else {name: value for name, value in figures.items() if name != "reward"}

    run_updates(stage, "M learns to predict", config.updates, {"memory": memory, "optimizer": optimizer}, update, previous)


def choose(chance: Tensor, latents: Latents, shown: Tensor, first_fresh: int, config: MemoryTraining) -> tuple[Tensor, Tensor]:
    """Pick windows of the episodes `shown` (E,) bool by uniform numbers `chance` (4, B) -> episodes (B,), offsets (B,).

    A share of them comes from the fresh episodes, a share begins where the episode begins, and the offset is uniform over
    the steps, so that long episodes are seen more often in proportion.
    """
    rows = torch.where(shown, latents.length + 1, 0)  # those of the episodes that may be seen, as if no others were there
    stop = rows.cumsum(0)
    start = stop - rows
    fresh_row = int(start[first_fresh]) if 0 < first_fresh < len(rows) else 0
    low = torch.where(chance[0] < config.fresh, fresh_row, 0)
    row = low + (chance[1] * (stop[-1] - low)).long()
    episode = torch.searchsorted(stop, row, right=True)
    latest = (latents.length[episode] - config.window).clamp_min(0)
    offset = torch.minimum(row - start[episode], latest)
    return episode, torch.where(chance[2] < config.from_start, 0, offset)


def memory_losses(memory: MDNRNN, batch: Windows, noise: Tensor, autocast: Autocast) -> dict[str, Tensor]:
    """What M got wrong, averaged over the steps that took place (nats a step for z, a squared reward, nats, nats).

    The reward counts only where it was recorded; where it was nowhere, its loss is 0.
    z is drawn afresh from V's posterior for every batch: noise (B, T + 1, Z). M trained on its means overfits them.
    """
    z = batch.mu + batch.log_sigma.exp() * noise
    with autocast():
        hs, _ = memory(z[:, :-1], batch.action, memory.initial(len(z)))
        expected = memory.predict(hs)
    errors = {
        "z": -log_prob(expected.z, z[:, 1:]).sum(-1),
        "reward": (expected.reward - batch.reward.nan_to_num()).square(),
        "end": F.binary_cross_entropy_with_logits(expected.end, batch.end, reduction="none"),
        "off_road": F.binary_cross_entropy_with_logits(expected.off_road, batch.off_road, reduction="none"),
    }
    known = {"reward": batch.mask * ~batch.reward.isnan()}
    return {name: _average(error, known.get(name, batch.mask)) for name, error in errors.items()}


def counted(batch: Windows) -> dict[str, Tensor]:
    """Over how many steps each loss of a batch is averaged."""
    return dict.fromkeys(("z", "end", "off_road"), batch.mask.sum()) | {"reward": (batch.mask * ~batch.reward.isnan()).sum()}


def _average(error: Tensor, mask: Tensor) -> Tensor:
    return (error * mask).sum() / mask.sum().clamp_min(1)


@torch.no_grad()
def remember(memory: MDNRNN, latents: Latents, rows: Tensor) -> Tensor:
    """M's state before each of `rows` (P,), having lived through its episode from the beginning: (P, state).

    What the awake mind would carry there: dreams go on from these.
    """
    states = latents.mu.new_zeros(len(rows), memory.state_size)
    if not len(rows):
        return states
    episode = torch.searchsorted(latents.start, rows, right=True) - 1
    age = rows - latents.start[episode]
    lived, slot = episode.unique(return_inverse=True)  # the episodes that matter, and the one of each row
    state, start, length = memory.initial(len(lived)), latents.start[lived], latents.length[lived]
    order = age.argsort()
    due = torch.bincount(age, minlength=1).cumsum(0).tolist()  # how many rows are at most so old
    for t, reached in enumerate(due):
        now = order[due[t - 1] if t else 0 : reached]
        states[now] = state[slot[now]]
        alive = torch.nonzero(length > t)[:, 0]
        row = start[alive] + t
        state[alive] = memory.step(latents.mu[row], latents.action[row], state[alive])
    return states


def dream_starts(
    memory: MDNRNN, latents: Latents, burn_in: int, from_start: float, first_fresh: int, fresh: float, count: int, seed: int
) -> Starts:
    """`count` initial states of dreams: a share at the start of episodes, the others after `burn_in` steps or more.

    A share `fresh` of the others comes from the episodes from number `first_fresh` on: where the present C gets to.
    """
    chance = generator(seed, "starts")
    step, acted = latents.step, latents.left > 0
    latest = torch.arange(len(step), device=step.device) >= latents.start[first_fresh]

    def draw(among: Tensor, share: float) -> Tensor:
        rows = torch.nonzero(among)[:, 0]
        return rows[torch.randint(len(rows), (round(count * share),), generator=chance).to(rows.device)] if len(rows) else rows

    late = acted & (step >= burn_in)
    rest = 1 - from_start
    rows = torch.cat([draw(step == 0, from_start), draw(late & latest, rest * fresh), draw(late, rest * (1 - fresh))])
    if not len(rows):
        raise Failed(
            f"no episode is longer than {burn_in} steps (--memory.burn_in), so no dream can begin. V and M are kept: "
            "the same command with --dream.from-start 0.1 goes on from here"
        )
    rows = rows[torch.randperm(len(rows), generator=chance).to(rows.device)]
    return Starts(latents.mu[rows], remember(memory, latents, rows))
