"""What JSON of a run must look like to be shown. What does not is left out and told; what is merely unknown is left out.

A shape is a type (`float` for any number), a list of one shape, a pair of shapes, `{str: shape}` for any names, an object
`{"name": shape}` of which any may be missing, or `Whole({...})`, of which none may be.
"""

from collections.abc import Callable
from typing import Any

Complain = Callable[[str], None]
RENAMED = {
    "promised": "predicted", "given": "actual", "promised_off_road": "predicted_off_road", "given_off_road": "actual_off_road",
}  # fmt: skip
"""Names in files of older versions -> what they are called now."""
MISSING = object()
"""Nothing was there, or nothing that could be shown."""


class Whole(dict[str, Any]):
    """An object that is of no use without one of its parts."""


NUMBERS = {str: float}
SPACE = Whole(dream=NUMBERS, floor=NUMBERS, still=NUMBERS)
PAIRED = Whole(predicted=float, actual=float, correlation=float, pairs=[(float, float)])
DONE = {
    **dict.fromkeys(("seconds", "mean", "speed_r2", "bits_per_dimension", "rms", "nll_per_dim", "reward_rmse"), float),
    **dict.fromkeys(("predicted", "actual", "predicted_off_road", "actual_off_road"), float),
    **{
        "alarm": bool,
        "best": int,
        "steps": int,
        "returns": [float],
        "kl": NUMBERS,
        "means": NUMBERS,
        "returns_of": {str: [float]},
    },
    **{"pixels": SPACE, "z": SPACE, "reward_sums": {str: PAIRED}},
}
"""What stages leave in `done.json`, as far as it is shown."""
TRUST = {
    **{"horizon": int, "rank_correlation": float, "bias": float},
    "controllers": [Whole(name=str, dream=float, real=float)],
}
"""What is left in `trust.json`."""
CONFIG = {
    **{
        "start": str,
        "rounds": {"restart": [int]},
        "restarts": {"controllers": int},
        "practice": {},
        "video_steps": int,
        "selection": {"video_steps": int},
    },
    **{"controller": {"mind": str, "kind": str}, "dream": {"horizon": int}, "memory": {"kind": str, "hidden": int}},
    **{"vision": {"kind": str, "latent": int}, "vision_training": {"likelihood": str, "bar_weight": float}},
}
"""What the report knows of the settings."""
HISTORY = [{"date": str, "command": str, "phase": str, "seconds": float}]
"""What is shown of `history.jsonl`."""
WORST = Whole(seed=int, road=[(float, float)], path=[(float, float, bool)])
"""What the map of the worst drive is drawn from."""


def fitted(value: Any, shape: Any, where: str, complain: Complain) -> Any:
    """What of `value` has the shape, or MISSING. `where` begins every complaint.

    Old names are replaced by those of now. Other parts of an object stay as they are. NaN and null are unknown values: nobody
    complains.
    """
    if isinstance(shape, type):
        return _simple(value, shape, where, complain)
    if isinstance(shape, list | tuple) and not isinstance(value, list):
        return _complained(value, "a list", where, complain)
    if isinstance(shape, list):
        told: list[str] = []
        found = [fitted(one, shape[0], f"{where}[{i}]", told.append) for i, one in enumerate(value)]
        for first in told[:1]:
            complain(first + f" (and {len(told) - 1} more such)" * (len(told) > 1))
        return [one for one in found if one is not MISSING]
    if isinstance(shape, tuple) and len(value) != len(shape):
        return _complained(value, f"a list of {len(shape)}", where, complain)
    if isinstance(shape, tuple):
        found = [fitted(one, part, f"{where}[{i}]", complain) for i, (one, part) in enumerate(zip(value, shape, strict=True))]
        return MISSING if MISSING in found else found
    if not isinstance(value, dict):
        return _complained(value, "an object", where, complain)
    value = {RENAMED.get(name, name): one for name, one in value.items()}
    each = dict.fromkeys(value, shape[str]) if str in shape else shape
    parts = {name: fitted(value[name], part, f"{where}: {name}", complain) for name, part in each.items() if name in value}
    if isinstance(shape, Whole) and any(parts.get(name, MISSING) is MISSING for name in shape):
        return _complained(value, f"all of {', '.join(shape)}", where, complain) if shape.keys() - value.keys() else MISSING
    return {name: parts.get(name, one) for name, one in value.items() if parts.get(name) is not MISSING}


def _simple(value: Any, kind: type, where: str, complain: Complain) -> Any:
    if kind in (str, bool):
        return (
            value
            if isinstance(value, kind)
            else _complained(value, {str: "a text", bool: "true or false"}[kind], where, complain)
        )
    if isinstance(value, bool) or not isinstance(value, int | float):
        return _complained(value, "a number", where, complain)
    if not abs(value) < 1e100:
        return MISSING if value != value else _complained(value, "a number that can be shown", where, complain)
    return kind(value)


def _complained(value: Any, wanted: str, where: str, complain: Complain) -> Any:
    if value is not None:
        complain(f"{where}: {value!r:.40} is not {wanted}")
    return MISSING
