"""Episodes as M reads them: every frame encoded once by V, all episodes end to end in memory.

A frame of 12 kB becomes 64 floats, so ten thousand episodes are a few gigabytes.
"""

from collections import deque
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dreamlap.episodes.store import EpisodeFile
from dreamlap.errors import Refused
from dreamlap.parallel import side_by_side
from dreamlap.track import ActionForm, off_road
from dreamlap.vision import VAE
from dreamlap.weights import checksum, checksum_of, load_tensors, save_tensors, written_checksum

LOT = 256
"""Episodes whose latents share a file: so many are looked at again if V is interrupted."""


@dataclass(frozen=True)
class Latents:
    """E episodes laid end to end; L = sum (T + 1) rows.

    Row t of an episode holds what V makes of frame t, the action done there, the reward earned by it, whether the episode
    ended with it, and how far off the road the car is in frame t. The last row of an episode has a frame but no action: its
    action, reward and end are zero and never learned from.
    """

    mu: Tensor  # (L, Z)
    log_sigma: Tensor  # (L, Z)
    action: Tensor  # (L, A) in C's own form
    reward: Tensor  # (L,), NaN where it was not recorded
    end: Tensor  # (L,) 1.0 where the step was terminal
    off_road: Tensor  # (L,)
    length: Tensor  # (E,) int64, steps T of each episode

    @property
    def start(self) -> Tensor:
        """The row of each episode's first frame: (E,)."""
        return torch.cumsum(self.length + 1, 0) - self.length - 1

    @property
    def step(self) -> Tensor:
        """How many steps of its episode lie before each row: (L,)."""
        return torch.arange(len(self.mu), device=self.mu.device) - torch.repeat_interleave(self.start, self.length + 1)

    @property
    def left(self) -> Tensor:
        """How many steps of its episode lie after each row: (L,), 0 in the last, which has no action."""
        return torch.repeat_interleave(self.length, self.length + 1) - self.step

    @property
    def steps(self) -> int:
        """Real steps in all."""
        return int(self.length.sum())


LIKE = {
    "mu": torch.empty(0, 0), "log_sigma": torch.empty(0, 0), "action": torch.empty(0, 0), "reward": torch.empty(0),
    "end": torch.empty(0), "off_road": torch.empty(0), "length": torch.empty(0, dtype=torch.int64),
}  # fmt: skip
"""The types of `Latents` in a file; all sizes are free."""


def encode_episodes(
    vision: VAE,
    episodes: Iterable[EpisodeFile],
    form: ActionForm,
    bar: bool,
    autocast: Callable[[], AbstractContextManager[Any]] = nullcontext,
    counted: Callable[[Iterable[None]], Iterable[None]] = iter,
) -> Latents:
    """Let V look at every frame of `episodes`, several at a time; `counted` may watch them go by.

    The rows are laid out before the first look: if each episode's were kept as they come, they would lie between the frames of
    one and of the next, and the memory of neither could be used again.
    """
    files, device = list(episodes), next(vision.parameters()).device
    length = torch.tensor([len(file) for file in files], dtype=torch.int64, device=device)
    rows = sum(map(len, files)) + len(files)
    sizes = {"mu": (vision.latent,), "log_sigma": (vision.latent,), "action": (form.size,)}
    sizes |= dict.fromkeys(("reward", "end", "off_road"), ())
    columns = {name: torch.zeros(rows, *size, device=device) for name, size in sizes.items()}
    first_rows = (length + 1).cumsum(0) - length - 1

    @torch.no_grad()
    def look(number: int) -> None:
        file, row = files[number], int(first_rows[number])
        now, next_row = slice(row, row + len(file)), row + len(file) + 1  # the last row has a frame but no action
        frames = file.frames()
        with autocast():
            posterior = vision.encode(torch.from_numpy(frames).to(device))
        columns["mu"][row:next_row], columns["log_sigma"][row:next_row] = posterior.mu, posterior.log_sigma
        columns["action"][now] = torch.from_numpy(form.from_stock(file.array("actions"))).to(columns["action"])
        columns["reward"][now] = torch.from_numpy(file.array("rewards")).to(columns["reward"])
        columns["end"][next_row - 2] = float(file.terminated)
        columns["off_road"][row:next_row] = torch.from_numpy(off_road(frames, bar)).to(device)

    for _ in counted(side_by_side(look, range(len(files)), device)):
        pass
    return Latents(**columns, length=length)


def join(parts: list[Latents]) -> Latents:
    """Several lots of episodes as one."""
    if len(parts) == 1:
        return parts[0]
    return Latents(*(torch.cat([getattr(part, field.name) for part in parts]) for field in fields(Latents)))


def newest(latents: Latents, episodes: int) -> Latents:
    """The last `episodes` of them (at least one)."""
    row = latents.start[-episodes]
    rows = {field.name: getattr(latents, field.name)[row:] for field in fields(Latents)}
    return Latents(**rows | {"length": latents.length[-episodes:]})


@dataclass(frozen=True)
class Windows:
    """B windows of T steps; steps after an episode's end are masked out."""

    mu: Tensor  # (B, T + 1, Z)
    log_sigma: Tensor  # (B, T + 1, Z)
    action: Tensor  # (B, T, A)
    reward: Tensor  # (B, T), NaN where it was not recorded
    end: Tensor  # (B, T)
    off_road: Tensor  # (B, T), in the frame that follows the step
    mask: Tensor  # (B, T), 1.0 where there was a step


def windows(latents: Latents, episode: Tensor, offset: Tensor, steps: int) -> Windows:
    """Cut windows of `steps` steps out of episodes `episode` (B,), from step `offset` (B,) on."""
    within = offset[:, None] + torch.arange(steps + 1, device=offset.device)  # (B, T + 1)
    row = latents.start[episode][:, None] + torch.minimum(within, latents.length[episode][:, None])
    now, mask = row[:, :-1], (within[:, :-1] < latents.length[episode][:, None]).float()
    return Windows(
        latents.mu[row], latents.log_sigma[row], latents.action[now], latents.reward[now], latents.end[now],
        latents.off_road[row[:, 1:]], mask,
    )  # fmt: skip


def keep_latents(
    folder: Path,
    episodes: list[EpisodeFile],
    look: Callable[[list[EpisodeFile]], Latents],
    counted: Callable[[Iterable[None]], Iterable[None]] = iter,
) -> tuple[list[str], str]:
    """Let V `look` at episodes, and keep what it makes of them in `folder`, a file for every `LOT`. What is there already and
    whole is not looked at again; `counted` is told of it -> the files' names, and the fingerprint of all.

    Raises:
        Refused: a latent is no number: V is broken.
    """
    names, prints = [], []
    for number, first in enumerate(range(0, len(episodes), LOT)):
        lot, name = episodes[first : first + LOT], f"latents{f'-{number}' if number else ''}.safetensors"
        try:
            found = load_latents([folder / name], torch.device("cpu"))
            deque(counted([None] * len(lot)), maxlen=0)
        except Refused:
            found = look(lot)
            save_latents(folder / name, found)
        names.append(name)
        prints.append(checksum_of({field.name: getattr(found, field.name) for field in fields(Latents)}))
    return names, _joint(prints)


def save_latents(path: Path, latents: Latents) -> None:
    """Keep what V made of episodes in a file, so that it need not look again.

    Raises:
        Refused: a latent is no number: V is broken.
    """
    save_tensors(path, {field.name: getattr(latents, field.name) for field in fields(Latents)}, unknown=("reward",))


def load_latents(paths: Iterable[Path], device: torch.device) -> Latents:
    """Read what `save_latents` wrote into each of these files, as one.

    Raises:
        Refused: a file is missing or broken, or has changed.
    """
    parts = []
    for path in paths:
        try:
            tensors = load_tensors(path, LIKE, unknown=("reward",))
            rows, width = int((tensors["length"] + 1).sum()), tensors["mu"].shape[1]
            if {len(tensors[name]) for name in LIKE if name != "length"} != {rows} or tensors["log_sigma"].shape[1] != width:
                found = ", ".join(f"{name} {tuple(tensor.shape)}" for name, tensor in tensors.items())
                raise Refused(f"it should have {rows} rows of {width} latents, and holds {found}")
        except Refused as error:
            raise Refused(f"{path} cannot be read ({error}): delete it and run the same command again") from error
        parts.append(Latents(**{name: tensor.to(device) for name, tensor in tensors.items()}))
    return join(parts)


def written_as(paths: Iterable[Path]) -> str:
    """The fingerprint of latents in these files, as `keep_latents` gives it: by their headers, so that no number is read."""
    return _joint([written_checksum(path) for path in paths])


def _joint(prints: list[str]) -> str:
    return prints[0] if len(prints) == 1 else checksum([], *prints)
