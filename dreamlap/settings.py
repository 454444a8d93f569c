"""Settings are frozen dataclasses beside what they configure. Here is what all of them can do: check themselves, shrink, load.

    @settings
    class DreamConfig:
        horizon: Annotated[int, least(1)] = 30

A value of another type or out of its bounds is refused when the settings are made, by whoever makes them: the command line,
Python, or a file. The command line shows the bounds in `--help`. `@checked` does the same for the arguments of a function.

    @renamed(minds="num_envs")
    @settings
    class PPOConfig:

Files that have a setting under its old name are read. The command line and Python refuse the old name and tell the new one.
"""

import dataclasses
import difflib
import functools
import inspect
import math
import numbers
import types
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import pairwise
from os import PathLike
from pathlib import Path
from typing import Annotated, Any, Literal, ParamSpec, TypeVar, Union, dataclass_transform, get_args, get_origin, get_type_hints

import tyro

from dreamlap.errors import UPGRADE, Refused, meant

T = TypeVar("T")
P = ParamSpec("P")
Result = TypeVar("Result")


HUGE = 2**31
"""Bounds above this are there for the computer's sake: nobody need be told of them."""
MOST = 2**62
"""No setting is larger: tensors of whole numbers hold no more."""


@dataclasses.dataclass(frozen=True)
class Bounds:
    """Where a number must lie, or each number of a tuple; those of an `ordered` pair must not fall."""

    least: float = -math.inf
    most: float = math.inf
    open: bool = False
    """Whether `least` itself is too small."""
    ordered: bool = False

    def __str__(self) -> str:
        if self.most > HUGE:
            return "" if math.isinf(self.least) else f"{'>' if self.open else '≥'} {self.least}"
        low = f"{'above ' if self.open else ''}{self.least}"
        return f"{low} to {self.most}" if not math.isinf(self.least) else f"≤ {self.most}"

    def complaint(self, value: Any) -> str:
        """What is wrong with a number, or a tuple of numbers; empty if nothing is."""
        given = value if isinstance(value, tuple) else (value,)
        for number in given:
            if number > self.most or (number <= self.least if self.open else number < self.least):
                return f"must be {self._words(number)}"
        if self.ordered and any(high < low for low, high in pairwise(given)):
            return "must not fall: give the lower number first"
        return ""

    def _words(self, number: float) -> str:
        low = "" if math.isinf(self.least) else f"{'above' if self.open else 'at least'} {self.least}"
        high = "" if self.most > HUGE and number <= self.most else f"at most {self.most:,}"
        return " and ".join(part for part in (low, high) if part)


def least(bound: float, most: float = MOST) -> Bounds:
    """At least `bound`, and at most `most`."""
    return Bounds(bound, most)


def above(bound: float, most: float = MOST) -> Bounds:
    """Above `bound`, and at most `most`."""
    return Bounds(bound, most, open=True)


def span(bound: float = -math.inf, most: float = math.inf) -> Bounds:
    """A pair of numbers within bounds, the lower one first."""
    return Bounds(bound, most, ordered=True)


ANY = Bounds()
"""A number that may be anything, as long as it is one."""
SHARE = least(0, 1)
"""A share of something."""
SEED = least(0, 2**63 - 1)
"""A seed of all chance."""
WORKERS = least(1, 4096)
"""Processes."""
SIZE = least(1, 2**24)
"""How many: more than memory could ever hold is a mistake."""


class SettingError(Refused):
    """A setting has a value that it cannot have."""

    def __init__(self, owner: str, name: str, value: Any, complaint: str):
        """`owner`: the settings' class, or the function, that `name` belongs to."""
        self.owner, self.name, self.value, self.complaint = owner, name, value, complaint
        super().__init__(f"{owner}: `{name}` is {value!r}, and it {complaint}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.owner, self.name, self.value, self.complaint)


_deferred: ContextVar[bool] = ContextVar("deferred", default=False)


@contextmanager
def deferred() -> Iterator[None]:
    """Settings that are made within this block are not checked yet: the command line checks them whole, by `check_flags`."""
    token = _deferred.set(True)
    try:
        yield
    finally:
        _deferred.reset(token)


def count(default: int, least: int = 1) -> Any:
    """A dataclass field for a number that `--scale` shrinks in proportion, though never below `least`."""
    return dataclasses.field(default=default, metadata={"least": least})


@dataclass_transform(frozen_default=True)
def settings(cls: type[T]) -> type[T]:
    """A frozen dataclass that checks its values, and then whatever its own `__post_init__` checks of them together."""
    hints, together = dict(cls.__annotations__), cls.__dict__.get("__post_init__", lambda _: None)

    def check(self: T) -> None:
        if _deferred.get():
            return
        for name, value, complaint in _complaints(hints, {name: getattr(self, name) for name in hints}):
            raise SettingError(cls.__name__, name, value, complaint)
        for name in hints:
            object.__setattr__(self, name, _plain(getattr(self, name)))
        together(self)

    cls.__post_init__ = check  # pyright: ignore[reportAttributeAccessIssue]  # dataclasses call it by this name
    for name, hint in hints.items():
        cls.__annotations__[name] = _with_bounds_in_help(hint)
    return dataclasses.dataclass(frozen=True)(cls)


def renamed(**names: str) -> Callable[[type[T]], type[T]]:
    """Settings that had other names before: `renamed(old="new")`."""

    def mark(cls: type[T]) -> type[T]:
        cls.RENAMED = names  # pyright: ignore[reportAttributeAccessIssue]  # T is a class of settings, which typing cannot say
        return cls

    return mark


def _new_names(kind: Any) -> dict[str, str]:
    return getattr(kind, "RENAMED", {})


def current_name(kind: Any, name: str) -> str:
    """The name that a setting has now, dotted as its flag: `anew.updates` -> `restarts.updates`."""
    first, _, rest = name.partition(".")
    first = _new_names(kind).get(first, first)
    inner = get_type_hints(kind).get(first) if rest and dataclasses.is_dataclass(kind) else None
    return f"{first}.{current_name(inner, rest)}" if rest else first


def with_current_names(kind: Any, values: Any, source: str) -> Any:
    """Settings from JSON under the names that they have now, in nested settings too.

    Raises:
        Refused: one is there under its old name and under its new one; `source` names the file.
    """
    if not dataclasses.is_dataclass(kind) or not isinstance(values, Mapping):
        return values
    if twice := [old for old, new in _new_names(kind).items() if old in values and new in values]:
        raise Refused(
            f"{source}: {twice[0]!r} is the old name of {current_name(kind, twice[0])!r}, which is there too: delete one"
        )
    hints, named = get_type_hints(kind), {current_name(kind, str(name)): value for name, value in values.items()}
    return {name: with_current_names(hints.get(name), value, source) for name, value in named.items()}


def checked(function: Callable[P, Result]) -> Callable[P, Result]:
    """A function that checks its arguments' types and bounds before it begins; they are told as flags."""
    signature, hints = inspect.signature(function), dict(function.__annotations__)

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> Result:
        given = signature.bind(*args, **kwargs).arguments
        for name, value, complaint in _complaints(hints, given):
            raise Refused(_told("--", name, value, complaint))
        for name, value in given.items():
            if dataclasses.is_dataclass(value):
                check_flags(value, f"--{name}.")
        token = _deferred.set(False)
        try:
            return function(*args, **kwargs)
        finally:
            _deferred.reset(token)

    del call.__wrapped__  # who asks for its signature shall find the annotations with bounds
    call.__signature__ = signature  # pyright: ignore[reportAttributeAccessIssue]  # as inspect documents
    call.__annotations__ = {name: _with_bounds_in_help(hint) for name, hint in hints.items()}
    return call


def bounded(function: Callable[P, Result]) -> Callable[P, Result]:
    """A constructor that checks its arguments' types and bounds before it begins; they are told by name.

    Raises:
        SettingError: one cannot be.
    """
    signature, hints, owner = inspect.signature(function), dict(function.__annotations__), function.__qualname__.split(".")[0]

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> Result:
        for name, value, complaint in _complaints(hints, signature.bind(*args, **kwargs).arguments):
            raise SettingError(owner, name, value, complaint)
        return function(*args, **kwargs)

    return call


def check_flags(settings: Any, prefix: str = "--") -> None:
    """Check settings that were made `deferred`, and those within them.

    Raises:
        Refused: a value cannot be; it is told by its flag.
    """
    for field in dataclasses.fields(settings):
        value, name = getattr(settings, field.name), field.name.replace("_", "-")
        if dataclasses.is_dataclass(value):
            check_flags(value, f"{prefix}{name}." if name != "config" else prefix)
        elif complaint := _complaint(field.type, value):
            raise Refused(_told(prefix, name, value, complaint))
    if check := getattr(settings, "__post_init__", None):
        check()


def _told(prefix: str, name: str, value: Any, complaint: str) -> str:
    shown = " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return f"{prefix}{name.replace('_', '-')} {shown} is out of bounds: it {complaint}"


def _with_bounds_in_help(hint: Any) -> Any:
    """The same hint, which tells tyro to print the bounds where it names the type."""
    bounds = _bounds_of(hint)
    if bounds is None:
        return hint
    plain = get_args(hint)[0]
    members = [member for member in (get_args(plain) or (plain,)) if member is not type(None)]
    kind = " ".join("..." if member is Ellipsis else member.__name__.upper() for member in members)
    return Annotated[hint, shown(f"{kind} {bounds}".strip())]


def shown(metavar: str | None = None) -> Any:
    """What the help calls the value of an argument or a setting. A default that only says "left out" is not told."""
    return tyro.conf.arg(metavar=metavar, help_behavior_hint=_default_told)


def _default_told(label: str) -> str:
    """What the help tells of a default: nothing, if it only says that an argument may be left out."""
    return "" if label in ("None", "''", "False") else f"(default: {label})"


def _bounds_of(hint: Any) -> Bounds | None:
    return next((extra for extra in getattr(hint, "__metadata__", ()) if isinstance(extra, Bounds)), None)


def _complaints(hints: Mapping[str, Any], values: Mapping[str, Any]) -> Iterator[tuple[str, Any, str]]:
    """What is wrong with values by name: the name, the value, the complaint."""
    for name, value in values.items():
        if complaint := _complaint(hints.get(name), value):
            yield name, value, complaint


def _complaint(hint: Any, value: Any) -> str:
    """What is wrong with `value` as something of the type `hint`; empty if nothing is."""
    bounds = _bounds_of(hint)
    plain = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    if complaint := _type_complaint(plain, value):
        return complaint
    return bounds.complaint(value) if bounds is not None and value is not None else ""


def _type_complaint(hint: Any, value: Any) -> str:
    origin = get_origin(hint)
    if origin is Literal:
        known = get_args(hint)
        near = difflib.get_close_matches(str(value), list(map(str, known)), 1)
        hint_of_near = f": did you mean {near[0]}?" if near else ""
        return "" if value in known else f"must be one of {', '.join(map(str, known))}{hint_of_near}"
    if origin in (Union, types.UnionType):
        complaints = [_complaint(member, value) for member in get_args(hint)]
        return "" if not all(complaints) else complaints[0]
    if origin is tuple:
        members = get_args(hint)
        if not isinstance(value, tuple):
            return f"must be {'a list of' if members[-1] is Ellipsis else len(members)} numbers"
        each = [members[0]] * len(value) if members[-1] is Ellipsis else list(members)
        if len(each) != len(value):
            return f"must be {len(each)} numbers"
        return next((found for member, part in zip(each, value, strict=True) if (found := _complaint(member, part))), "")
    if origin in (list, dict):
        what, member = "a list" if origin is list else "an object", get_args(hint)[-1]
        if not isinstance(value, origin):
            return f"must be {what}"
        parts = value.values() if isinstance(value, dict) else value
        return next((f"must be {what} whose every part {found}" for part in parts if (found := _complaint(member, part))), "")
    if hint is bool:
        return "" if isinstance(value, bool) else "must be true or false"
    if hint is int:
        return "" if isinstance(value, numbers.Integral) and not isinstance(value, bool) else "must be a whole number"
    if hint is float:
        number = isinstance(value, numbers.Real) and not isinstance(value, bool)
        return "" if number and math.isfinite(value) else "must be a finite number"
    if hint is type(None):
        return "" if value is None else "must be left out"
    if hint is str:
        return "" if isinstance(value, str) else "must be a text"
    if hint is Path:
        return "" if isinstance(value, str | PathLike) else "must be a path"
    if isinstance(hint, type) and hint is not Any:
        return "" if isinstance(value, hint) else f"must be {'an' if hint.__name__[0] in 'AEIOU' else 'a'} {hint.__name__}"
    return ""


def _plain(value: Any) -> Any:
    """Numbers of NumPy as Python's own: JSON knows no others."""
    if isinstance(value, tuple):
        return tuple(map(_plain, value))
    if isinstance(value, bool | int | float) or not isinstance(value, numbers.Real):
        return value
    return int(value) if isinstance(value, numbers.Integral) else float(value)


def scaled(settings: T, factor: float) -> T:
    """The same settings with every `count` multiplied by `factor` (rounded up) within its bounds, in nested settings too."""
    if not isinstance(factor, numbers.Real) or not 0 < factor < math.inf:
        raise Refused(f"--scale must be above 0, not {factor}: 0.1 makes a tenth of everything")
    if factor == 1:
        return settings
    changes = {}
    for field in dataclasses.fields(settings):  # pyright: ignore[reportArgumentType]  # T is a dataclass, which typing cannot say
        value = getattr(settings, field.name)
        if dataclasses.is_dataclass(value):
            changes[field.name] = scaled(value, factor)
        elif "least" in field.metadata and value > 0:
            most = (_bounds_of(field.type) or ANY).most
            changes[field.name] = max(field.metadata["least"], math.ceil(min(most, value * factor) - 1e-9))
    return dataclasses.replace(settings, **changes)  # pyright: ignore[reportArgumentType]


def changed(settings: T, changes: Mapping[str, Any]) -> T:
    """The same settings with others in place of some; those of a part are given as a mapping, several numbers as any list.

    Raises:
        Refused: there is no setting of that name, or a value is not one that it can have.
    """
    known = [field.name for field in dataclasses.fields(settings)]  # pyright: ignore[reportArgumentType]  # T is a dataclass
    values = {}
    for name, value in changes.items():
        if name not in known:
            near = meant(current_name(type(settings), name), known)
            raise Refused(f"there is no setting {name!r} in {type(settings).__name__}; {near}")
        inner = changed(getattr(settings, name), value) if isinstance(value, Mapping) else value
        values[name] = tuple(inner) if isinstance(inner, list) else inner
    return dataclasses.replace(settings, **values)  # pyright: ignore[reportArgumentType]  # T is a dataclass


def deviations(settings: Any) -> dict[str, Any]:
    """The settings that differ from their defaults, nested as they are: what is named here is all that must be told of them.

    A setting that a later version adds is not among them, and one that it renames keeps its first name: fingerprints stay.
    """
    found, first_names = {}, {new: old for old, new in _new_names(type(settings)).items()}
    for field in dataclasses.fields(settings):
        value, name = getattr(settings, field.name), first_names.get(field.name, field.name)
        if dataclasses.is_dataclass(value):
            if inner := deviations(value):
                found[name] = inner
        elif value != field.default:
            found[name] = list(value) if isinstance(value, tuple) else value
    return found


def differences(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> list[str]:
    """The settings in which two configurations differ, as `--name old -> new`."""
    found = []
    for name in sorted(old.keys() | new.keys()):
        before, after = (list(v) if isinstance(v, tuple) else v for v in (old.get(name), new.get(name)))
        if isinstance(before, dict) and isinstance(after, dict):
            found += differences(before, after, f"{prefix}{name}.")
        elif before != after:
            found.append(f"--{prefix}{name} {before} -> {after}")
    return found


def from_dict(kind: type[T], values: Any, source: str) -> T:
    """Rebuild settings from JSON; what is not there takes its default, and old names are read.

    Raises:
        Refused: a setting does not exist or is there under two names, or its value is not one that it can have; `source` names
            the file.
    """
    hints = get_type_hints(kind)
    if not isinstance(values, Mapping):
        raise Refused(f"{source} must hold the settings of {kind.__name__} by name, not {values!r:.60}")
    values = with_current_names(kind, values, source)
    for name in values:
        if name not in hints:
            raise Refused(
                f"{source}: there is no setting {name!r}; {meant(str(name), hints)}. If a newer version of dreamlap wrote the "
                f"file, upgrade: {UPGRADE}"
            )
    made = {name: _value(hints[name], value, f"{source}, {name}") for name, value in values.items()}
    try:
        return kind(**made)
    except SettingError as error:
        newer = f". If a newer version of dreamlap wrote the file, upgrade: {UPGRADE}"
        raise Refused(
            f"{source}: `{error.name}` is {error.value!r:.60}, and it {error.complaint}" + newer * isinstance(error.value, str)
        ) from None
    except Refused as error:  # settings that do not go together
        raise Refused(f"{source}: {error}") from None


def typed(kind: type[T], values: Any, source: str, remedy: str) -> T:
    """What a file holds as a `TypedDict`, once its parts are known to be of their types. Parts without a type may be anything.

    Raises:
        Refused: it is no object, or one of its parts is missing or of another type; `source` names the file, and `remedy` ends
            the message.
    """
    if not isinstance(values, dict):
        raise Refused(f"{source} holds {values!r:.60} where an object is expected: {remedy}")
    if missing := sorted(getattr(kind, "__required_keys__", frozenset()) - values.keys()):
        raise Refused(f"{source} lacks `{missing[0]}`: {remedy}")
    for name, value, complaint in _complaints(get_type_hints(kind, include_extras=True), values):
        raise Refused(f"{source}: `{name}` is {value!r:.60}, and it {complaint}: {remedy}")
    return values  # pyright: ignore[reportReturnType]  # its parts were checked


def _value(hint: Any, value: Any, source: str) -> Any:
    if dataclasses.is_dataclass(hint):
        return from_dict(hint, value, source)  # pyright: ignore[reportArgumentType]
    return tuple(value) if isinstance(value, list) else value
