"""The names under which Gymnasium knows our environments; importing `dreamlap` registers them."""

from typing import Any

import gymnasium as gym


def register() -> None:
    """Register the fast track, the robustness exam and the two minds."""
    _register("dreamlap/CarRacing-v3", "dreamlap.track:FastCarRacing", max_episode_steps=1000, reward_threshold=900)
    for kind in ("Stock", "Fast"):
        _register(f"dreamlap/{kind}Exam-v3", f"dreamlap.track.exam:{kind}Exam", max_episode_steps=1000, reward_threshold=900)
    for kind in ("Dream", "Awake"):
        many = f"dreamlap.mind.vector:{kind}VectorEnv"
        _register(f"dreamlap/{kind}-v0", f"dreamlap.mind.environment:{kind}Env", vector_entry_point=many)


def _register(name: str, entry_point: str, **settings: Any) -> None:
    if name not in gym.registry:
        gym.register(name, entry_point=entry_point, **settings)
