"""What good looks like: the values that figures and sentences are drawn and told beside.

Curves: what runs of the preset `demo` end with whose agents then make more than 900. They are shown only beside runs with the
same V, M and C, for with other losses, sizes and baselines the numbers mean something else.
"""

from collections.abc import Mapping
from typing import Any

Bound = tuple[str, float]
"""`("<", 20.0)`: good is below 20."""

CURVES: dict[str, dict[str, Bound]] = {
    "vision": {"error": ("<", 30.0)},
    "memory": {"z": ("<", -3.0), "end": ("<", 0.005), "off_road": ("<", 0.1)},
    "controller": {"reward": (">", 0.85), "off_road": ("<", 0.15), "kl": ("<", 0.02)},
}
"""By stage and metric."""
LIKE = {
    "vision": {"vision": {"kind": "light", "latent": 32}, "vision_training": {"likelihood": "mse", "bar_weight": 5.0}},
    "memory": {"vision": {"kind": "light", "latent": 32}, "memory": {"kind": "lstm", "hidden": 256}},
    "controller": {"controller": {"kind": "actor-critic", "mind": "dream"}, "dream": {"horizon": 30}},
}
"""By stage, the settings with which these hold."""
SCORE = 900.0
"""A return that counts as driving well: the environment's own goal since Gym's leaderboard."""
SPEED_R2: Bound = (">", 0.9)
RMS: Bound = ("<", 11.0)
"""Grey levels by which a reconstruction is off."""
RANKS: Bound = (">", 0.8)
"""Rank correlation of policies in the dream and on the track."""


def good_curves(config: Mapping[str, Any], stage: str) -> dict[str, Bound]:
    """Metric -> what is good, for a run with these settings; empty where that is not known."""
    like = LIKE.get(stage, {})
    same = like and all(config.get(part, {}).get(name) == value for part, of in like.items() for name, value in of.items())
    return CURVES[stage] if same else {}


def told(bound: Bound) -> str:
    """In words: "good: below 20"."""
    sign, value = bound
    return f"good: {'below' if sign == '<' else 'above'} {value:g}"
