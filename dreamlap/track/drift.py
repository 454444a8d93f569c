"""A guard: says so at import when gymnasium's track is no longer the one that ours was made after."""

import hashlib
import inspect
import warnings

import gymnasium
from gymnasium.envs.box2d import car_dynamics, car_racing

MADE_AFTER = "1.4.0"
FINGERPRINT = "6e06b95c85485a67"


def fingerprint() -> str:
    """A hash of the stock's code and constants, without its class docstring."""
    track = [member for _, member in sorted(vars(car_racing.CarRacing).items()) if inspect.isfunction(member)]
    parts = [inspect.getsource(part) for part in (*track, car_racing.FrictionDetector, car_dynamics.Car)]
    for module in (car_racing, car_dynamics):
        parts += [f"{name}={value}" for name, value in sorted(vars(module).items()) if name.isupper()]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def warn_of_drift() -> None:
    """Warns (RuntimeWarning) when the installed gymnasium has another track than the one that ours was made after."""
    try:
        same = fingerprint() == FINGERPRINT
    except OSError:  # an installation without its sources: nothing to compare
        same = gymnasium.__version__ == MADE_AFTER
    if not same:
        warnings.warn(
            f"gymnasium {gymnasium.__version__} has another CarRacing than {MADE_AFTER}, which FastCarRacing was made "
            "after: its physics, rewards or frames may differ from the stock track's. Install "
            f'"gymnasium[box2d]=={MADE_AFTER}", or drive the stock track.',
            RuntimeWarning,
            stacklevel=2,
        )
