"""The names under which Gymnasium knows our environments; importing `dreamlap` registers them."""

from typing import Any

import gymnasium as gym


def register() -> None:
    """Register the fast track, the robustness exam and the two minds."""
    _register("dreamlap/CarRacing-v3", "dreamlap.track:FastCarRacing", max_episode_steps=1000, reward_threshold=900)
    for kind in ("Stock", "Fast"):
        _register(f"dreamlap/{kind}Exam-v3", f"dreamlap.track.exam:{kind}Exam", max_episode_steps=1000, reward_threshold=900)
    for name, kind in (("dreamlap/Dream-v0", "dream"), ("dreamlap/Awake-v0", "awake")):
        make = "dreamlap.mind.environment:make_"
        _register(name, f"{make}{kind}", vector_entry_point=f"{make}{kind}_vector", order_enforce=True)


def _register(name: str, entry_point: str, **settings: Any) -> None:
    if name not in gym.registry:
        gym.register(name, entry_point=entry_point, **settings)
