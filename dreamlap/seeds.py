"""Where all randomness comes from.

No module keeps a random generator running. Whoever needs chance derives it from the run's seed and a *name*: the stage, the
round, the number of the update. So a run that was killed and started again draws exactly what it would have drawn, without
having to save the state of any generator.
"""

import math
import zlib
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch

from dreamlap.errors import Refused
from dreamlap.protocol import SELECTION_SEEDS


def derive(seed: int, *names: int | str) -> int:
    """A new seed (63 bits) for what is called `names` under `seed`; other names give independent seeds."""
    words = [zlib.crc32(name.encode()) if isinstance(name, str) else name for name in names]
    return int(np.random.SeedSequence([seed, *words]).generate_state(1, np.uint64)[0] >> 1)


def generator(seed: int, *names: int | str, device: torch.device | str = "cpu") -> torch.Generator:
    """A fresh torch generator for `names`."""
    return torch.Generator(device).manual_seed(derive(seed, *names))


def numpy_generator(seed: int, *names: int | str) -> np.random.Generator:
    """A fresh numpy generator for `names`."""
    return np.random.default_rng(derive(seed, *names))


def read_seed(seed: Any) -> int:
    """A seed from outside: a whole number from 0 on, of any size and of Python's or NumPy's kind.

    Raises:
        Refused: it is none.
    """
    if isinstance(seed, int | np.integer) and not isinstance(seed, bool) and seed >= 0:
        return int(seed)
    raise Refused(f"a seed is a whole number from 0 on, not {seed!r:.60}")


def read_seeds(seeds: Any, count: int | None = None) -> list[int]:
    """Seeds from outside, in their order; with `count`, so many.

    Raises:
        Refused: one is none, or there are more or fewer.
    """
    if not isinstance(seeds, Iterable):
        raise Refused(f"seeds are a list of whole numbers, not {seeds!r:.60}")
    found = [read_seed(seed) for seed in seeds]
    if count is not None and len(found) != count:
        raise Refused(f"there are {len(found)} seeds, and {count} begin: give each its own")
    return found


def training_track(*names: int | str, seed: int) -> int:
    """The seed of a training track: below `SELECTION_SEEDS`, whatever the names."""
    return derive(seed, *names) % SELECTION_SEEDS


def seed_of_dream(seed: int) -> int:
    """A seed of any size as one of 63 bits, which a dream computes with; those that fit stay as they are."""
    return int(seed) if abs(seed) < 2**63 else derive(abs(seed), "dream")


def _mix(x: torch.Tensor) -> torch.Tensor:
    """A bijection of int64 that scatters neighbouring numbers (the finalizer of SplitMix64: Steele et al. 2014, OOPSLA)."""
    x = (x ^ ((x >> 30) & 0x3FFFFFFFF)) * -4658895280553007687
    x = (x ^ ((x >> 27) & 0x1FFFFFFFFF)) * -7723592293110705685
    return x ^ ((x >> 31) & 0x1FFFFFFFF)


def uniforms(seeds: torch.Tensor, step: torch.Tensor, count: int) -> torch.Tensor:
    """`count` uniform numbers in (0, 1) for every (seed, step): each dream has its own chance, whoever dreams beside it.

    Shapes: seeds (N,) int64, step (N,) int64 -> (N, count) float32. A pure function (a counter-based generator), so one
    dream alone draws what it draws among a thousand.
    """
    lane = torch.arange(1, count + 1, device=seeds.device) * -7046029254386353131
    bits = _mix(_mix(seeds + step * 2862933555777941757)[:, None] + lane)
    return (((bits >> 41) & 0x7FFFFF).float() + 0.5) * 2.0**-23  # 23 bits and a half: exact in float32, so never 0 or 1


def normals(uniform: torch.Tensor) -> torch.Tensor:
    """Standard normal numbers from uniform ones, elementwise (the inverse of the normal distribution)."""
    if uniform.device.type == "mps":  # which has no ndtri
        return math.sqrt(2) * torch.erfinv(2 * uniform - 1)
    return torch.special.ndtri(uniform)
