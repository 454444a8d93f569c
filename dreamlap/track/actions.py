"""Ways to write an action down: the track's own three numbers, two with gas and brake on one pedal, or one of five."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from dreamlap.errors import Refused

STOCK_LOW = np.array([-1.0, 0.0, 0.0], np.float32)
STOCK_HIGH = np.array([1.0, 1.0, 1.0], np.float32)
TOLERANCE = 1e-4
"""By which a recorded action may lie outside the range: rounding."""
KINDS = "fiub"
"""Of numpy's types, those that hold numbers."""


def outside(actions: np.ndarray) -> np.ndarray:
    """(T,) bool: which of the stock actions (T, 3) lie outside the track's range; one that is no number does."""
    inside = (actions >= STOCK_LOW - TOLERANCE) & (actions <= STOCK_HIGH + TOLERANCE)
    return np.logical_not(inside.all(1))


@dataclass(frozen=True, eq=False)
class ActionForm:
    """A way to write actions, with its bounds and its translation from and to the stock form."""

    name: str
    numbers: tuple[str, ...]
    """What each number of an action is."""
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

    @property
    def discrete(self) -> bool:
        """Whether one of them is done, and not all."""
        return self.name == "discrete"

    def to_stock(self, a: np.ndarray) -> np.ndarray:
        """(..., size) to (..., 3) float32 in [steer, gas, brake]; what is out of bounds is clipped.

        Raises:
            Refused: see `read`.
        """
        return self.translate(np.clip(self.read(a, *np.shape(a)[:-1]), self.low, self.high).astype(np.float32, copy=False))

    def from_stock(self, a: np.ndarray) -> np.ndarray:
        """(..., 3) stock to (..., size) float32; what is out of bounds is clipped.

        Raises:
            Refused: see `read`.
        """
        return self.translate_back(STOCK.to_stock(a))

    def read(self, action: Any, *batch: int) -> np.ndarray:
        """An action (size,) from outside, or many (*batch, size), as numbers of the kind that they came in.

        Arrays, lists and tuples of whole or other numbers are taken. For the discrete form, so is the number of what is done.

        Raises:
            Refused: it has another shape, or holds something else than finite numbers. Clipping would let NaN pass, and the
                car would be lost for good.
        """
        try:
            a = np.asarray(action)
        except (ValueError, TypeError, RuntimeError):  # lists of different lengths; a tensor that wants its gradient
            a = np.empty(0, object)
        if self.discrete and a.shape == batch and a.dtype.kind in "iu" and ((a >= 0) & (a < self.size)).all():
            return np.eye(self.size, dtype=np.float32)[a]
        if a.dtype.kind in KINDS and a.shape == (*batch, self.size) and _all_finite(a):
            return a
        names = ", ".join(self.numbers)
        if self.discrete and a.shape == batch:
            raise Refused(f"an action is a whole number from 0 to {self.size - 1} ({names}), not {action!r:.60}")
        wanted = f"actions have shape {(*batch, self.size)}" if batch else f"an action has {self.size} numbers"
        raise Refused(f"{wanted} ({names}), not {_shown(action, a)}")


def _all_finite(a: np.ndarray) -> bool:
    """Most steps ask for no more than a sum, which is quicker, and finite only if all of its parts are."""
    return (a.ndim == 1 and math.isfinite(sum(a.tolist()))) or bool(np.isfinite(a).all())


def _shown(action: Any, a: np.ndarray) -> str:
    """An action that cannot be, which numpy reads as `a`."""
    if a.dtype.kind not in KINDS:
        return f"{action!r:.60}"
    if not np.isfinite(a).all():
        one = a[tuple(np.argwhere(~np.isfinite(a))[0][:-1])]  # whose number it is
        return f"{one.tolist()!s:.60}: they must be finite. If an agent gave them, it is broken: train it or load it again"
    return f"shape {a.shape}: {a.tolist()!s:.60}"


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


STOCK = ActionForm("stock", ("steer", "gas", "brake"), STOCK_LOW, STOCK_HIGH, _same, _same)
"""Three numbers: steer in [-1, 1] (positive is right), gas in [0, 1], brake in [0, 1]."""

PEDAL = ActionForm(
    "pedal", ("steer", "pedal"), np.full(2, -1, np.float32), np.full(2, 1, np.float32), _pedal_to_stock, _stock_to_pedal
)
"""Two numbers: steer in [-1, 1], pedal in [-1, 1] (positive is gas, negative is brake)."""

FIVE = np.array([[0, 0, 0], [0.6, 0, 0], [-0.6, 0, 0], [0, 0.2, 0], [0, 0, 0.8]], np.float32)
"""What gymnasium's five discrete actions do: nothing, right, left, gas, brake."""

FIVE_NAMES = ("nothing", "right", "left", "gas", "brake")

DISCRETE = ActionForm(
    "discrete", FIVE_NAMES, np.full(5, -1, np.float32), np.full(5, 1, np.float32), _discrete_to_stock, _stock_to_discrete
)
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
