"""Records as JSON and back: driven by the fields of the dataclasses and their types, so a new field needs no word here.

JSON has no word for numbers that are not finite: they are written as null and read back as nan.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from triode.bakeoff.records import EpochRecord, TrialResult

T = TypeVar("T")


def dump(record: object) -> str:
    """A record as one line of JSON."""
    return json.dumps(plain(record), allow_nan=False)


def dump_epoch(record: EpochRecord) -> str:
    """An epoch as one line of JSON, without its end."""
    return dump(record)


def dump_result(result: TrialResult) -> str:
    """A result, its epochs included, as JSON on one line."""
    return dump(result)


def parse_epoch(text: str) -> EpochRecord:
    """The epoch back from `dump_epoch`; raises `ValueError`, `TypeError` or `KeyError` for anything else."""
    return build(EpochRecord, json.loads(text))


def parse_result(text: str) -> TrialResult:
    """The result back from `dump_result`; raises `ValueError`, `TypeError` or `KeyError` for anything else."""
    return build_result(json.loads(text))


def build_result(values: Any) -> TrialResult:
    """The result back from what JSON made of it; one without epochs is none."""
    result = build(TrialResult, values)
    if not result.epochs:
        raise ValueError("it has no epochs")
    return result


def plain(value: Any) -> Any:
    """Values that JSON holds: dataclasses as objects, tuples as lists, numbers that are not finite as None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str | int) or value is None:
        return value
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {str(name): plain(item) for name, item in value.items()}
    if is_dataclass(value):
        return {name: plain(getattr(value, name)) for name in _names(_hashable(type(value)))}
    raise TypeError(f"{type(value).__name__} has no place in a record")


def build(cls: type[T], values: Any) -> T:
    """A dataclass from what `plain` made of it; a field that is absent has its default.

    Raises `ValueError`, `TypeError` or `KeyError` where a value is not of its field's type.
    """
    if not isinstance(values, dict):
        raise ValueError(f"it is not an object but {type(values).__name__}")
    made = {}
    for name, read, optional in _readers(_hashable(cls)):
        if name not in values and optional:
            continue
        try:
            made[name] = read(values[name])
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
    return cls(**made)


def _hashable(cls: type) -> Any:
    """The class itself; the type checker does not take a class of dataclasses for something that can be hashed."""
    return cls


@cache
def _names(cls: type) -> tuple[str, ...]:
    return tuple(f.name for f in fields(cls))


@cache
def _readers(cls: type) -> tuple[tuple[str, Callable[[Any], Any], bool], ...]:
    """For each field its name, what reads it, and whether it has a default."""
    hints = get_type_hints(cls)
    return tuple(
        (f.name, _reader(hints[f.name]), f.default is not MISSING or f.default_factory is not MISSING)
        for f in fields(cls)
    )


def _reader(kind: Any) -> Callable[[Any], Any]:
    if kind is float:
        return _number
    if kind in (int, str, bool):
        return lambda value: _exactly(kind, value)
    if is_dataclass(kind) and isinstance(kind, type):
        return lambda value: build(kind, value)
    arguments = get_args(kind)
    if get_origin(kind) is tuple and arguments[1:] == (Ellipsis,):
        item = _reader(arguments[0])
        return lambda value: tuple(item(one) for one in _exactly(list, value))
    if get_origin(kind) is dict and arguments[0] is str:
        entry = _reader(arguments[1])
        return lambda value: {name: entry(one) for name, one in _exactly(dict, value).items()}
    raise TypeError(f"a field of a record is {kind}, which nothing here reads")


def _exactly(kind: type, value: Any) -> Any:
    if type(value) is not kind:  # True is an int to isinstance
        raise ValueError(f"{value!r:.60} is not {kind.__name__}")
    return value


def _number(value: Any) -> float:
    if value is None:
        return math.nan
    if type(value) is not float and type(value) is not int:
        raise ValueError(f"{value!r:.60} is not a number")
    return float(value)
