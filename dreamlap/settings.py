"""Settings are frozen dataclasses beside what they configure; here is what all of them can do: to JSON and back, and shrink."""

import dataclasses
import difflib
import math
from collections.abc import Mapping
from typing import Any, TypeVar, get_type_hints

T = TypeVar("T")


def count(default: int, least: int = 1) -> Any:
    """A dataclass field for a number that `--scale` shrinks in proportion, though never below `least`."""
    return dataclasses.field(default=default, metadata={"least": least})


def scaled(settings: T, factor: float) -> T:
    """The same settings with every `count` multiplied by `factor` (rounded up), in nested settings too."""
    if not factor > 0:
        raise ValueError(f"--scale must be above 0, not {factor}: 0.1 makes a tenth of everything")
    if factor == 1:
        return settings
    changes = {}
    for field in dataclasses.fields(settings):  # pyright: ignore[reportArgumentType]  # T is a dataclass, which typing cannot say
        value = getattr(settings, field.name)
        if dataclasses.is_dataclass(value):
            changes[field.name] = scaled(value, factor)
        elif "least" in field.metadata and value > 0:
            changes[field.name] = max(field.metadata["least"], math.ceil(value * factor - 1e-9))
    return dataclasses.replace(settings, **changes)  # pyright: ignore[reportArgumentType]


def from_dict(kind: type[T], values: Mapping[str, Any], source: str) -> T:
    """Rebuild settings from JSON, refusing a key that does not exist; `source` names the file in the error."""
    hints = get_type_hints(kind)
    for name in values:
        if name not in hints:
            near = difflib.get_close_matches(name, hints, 1) or sorted(hints)
            raise ValueError(f"{source}: there is no setting {name!r}; did you mean {' or '.join(near)}?")
    return kind(**{name: _value(hints[name], value, f"{source}, {name}") for name, value in values.items()})


def _value(hint: Any, value: Any, source: str) -> Any:
    if dataclasses.is_dataclass(hint) and isinstance(value, Mapping):
        return from_dict(hint, value, source)  # pyright: ignore[reportArgumentType]
    return tuple(value) if isinstance(value, list) else value
