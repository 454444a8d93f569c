"""Ways to write an action down: the track's own three numbers, two with gas and brake on one pedal, or one of five."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dreamlap.errors import Refused

STOCK_LOW = np.array([-1.0, 0.0, 0.0], np.float32)
STOCK_HIGH = np.array([1.0, 1.0, 1.0], np.float32)


@dataclass(frozen=True, eq=False)
class ActionForm:
    """A way to write actions, with its bounds and its translation from and to the stock form."""

    name: str
    low: np.ndarray
    """(size,) float32."""
    high: np.ndarray
    """(size,) float32."""
    translate: Callable[[np.ndarray], np.ndarray]
    """(..., size) within bounds to (..., 3) stock."""
    translate_back: Callable[[np.ndarray], np.ndarray]
    """(..., 3) stock within bounds to (..., size)."""

    @property
    def size(self) -> int:
        """How many numbers an action has."""
        return len(self.low)

    def to_stock(self, a: np.ndarray) -> np.ndarray:
        """(..., size) to (..., 3) float32 in [steer, gas, brake]; what is out of bounds is clipped, NaN is refused."""
        return self.translate(np.clip(numbers(a), self.low, self.high))

    def from_stock(self, a: np.ndarray) -> np.ndarray:
        """(..., 3) stock to (..., size) float32; what is out of bounds is clipped, NaN is refused."""
        return self.translate_back(np.clip(numbers(a), STOCK_LOW, STOCK_HIGH))


def numbers(a: np.ndarray) -> np.ndarray:
    """Actions as float32.

    Raises:
        Refused: one is NaN or infinite. Clipping would let it pass, and the car would be lost for good.
    """
    a = np.asarray(a, np.float32)
    if not np.isfinite(a).all():
        raise Refused(f"an action is no number: {a.tolist()!s:.80}. Whoever drives is broken; train again, or load it again")
    return a


def _pedal_to_stock(a: np.ndarray) -> np.ndarray:
    steer, pedal = a[..., 0], a[..., 1]
    return np.stack([steer, np.maximum(pedal, 0), np.maximum(-pedal, 0)], axis=-1)


def _stock_to_pedal(a: np.ndarray) -> np.ndarray:
    return np.stack([a[..., 0], a[..., 1] - a[..., 2]], axis=-1)


def _discrete_to_stock(a: np.ndarray) -> np.ndarray:
    return FIVE[a.argmax(-1)]


def _stock_to_discrete(a: np.ndarray) -> np.ndarray:
    return np.eye(len(FIVE), dtype=np.float32)[np.abs(a[..., None, :] - FIVE).sum(-1).argmin(-1)]


def _same(a: np.ndarray) -> np.ndarray:
    return a


STOCK = ActionForm("stock", STOCK_LOW, STOCK_HIGH, _same, _same)
"""Three numbers: steer in [-1, 1] (positive is right), gas in [0, 1], brake in [0, 1]."""

PEDAL = ActionForm("pedal", np.full(2, -1, np.float32), np.full(2, 1, np.float32), _pedal_to_stock, _stock_to_pedal)
"""Two numbers: steer in [-1, 1], pedal in [-1, 1] (positive is gas, negative is brake)."""

FIVE = np.array([[0, 0, 0], [0.6, 0, 0], [-0.6, 0, 0], [0, 0.2, 0], [0, 0, 0.8]], np.float32)
"""What gymnasium's five discrete actions do: nothing, right, left, gas, brake."""

DISCRETE = ActionForm("discrete", np.full(5, -1, np.float32), np.full(5, 1, np.float32), _discrete_to_stock, _stock_to_discrete)
"""Five numbers, of which the greatest is done; the others' values do not matter."""

FORMS = {form.name: form for form in (STOCK, PEDAL, DISCRETE)}


def action_form(name: str) -> ActionForm:
    """The form of that name.

    Raises:
        ValueError: there is none; the message names those that there are.
    """
    if name not in FORMS:
        raise Refused(f"unknown action form {name!r}; use one of: {', '.join(sorted(FORMS))}")
    return FORMS[name]
