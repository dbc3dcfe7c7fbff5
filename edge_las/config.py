"""One strict way from TOML or JSON into nested frozen dataclasses: nothing is guessed, nothing ignored."""

import dataclasses
import difflib
import math
import tomllib
import types
import typing
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from edge_las.errors import ConfigError, EdgeLasError, one_line, system_reason

T = TypeVar("T")


def load_config(path: str | Path, cls: type[T]) -> T:
    """Read a TOML file into the dataclass `cls`.

    Raises: ConfigError naming the file and the dotted key that is unknown, missing or of the wrong type.
    """
    path = Path(path)
    return from_dict(cls, read_toml(path), path.name)


def read_toml(path: str | Path) -> dict[str, Any]:
    """Read a TOML file as it is.

    Raises: ConfigError naming the file.
    """
    path = Path(path)
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {system_reason(error)}") from None
    except ValueError as error:  # tomllib's own, a wrong encoding, a number of thousands of digits
        raise ConfigError(f"{path}: not valid TOML: {one_line(error)}") from None


def from_dict(
    cls: type[T],
    values: Mapping[str, Any],
    source: str,
    error: type[EdgeLasError] = ConfigError,
    where: str = "",
) -> T:
    """Build the dataclass `cls` from plain values; messages name the file `source` and the table `where`.

    Integers are taken where floats are asked for, lists become tuples. A ConfigError of a dataclass's own
    checks should begin with the name of its field: the dotted path is put before it.
    Raises: `error`.
    """
    try:
        return typing.cast(T, _build(cls, values, where))
    except _Invalid as invalid:
        raise error(f"{source}: {one_line(invalid)}") from None


def to_dict(config: Any) -> dict[str, Any]:
    """Turn a config into plain values that `from_dict` takes back; tuples become lists."""
    return {field.name: _plain(getattr(config, field.name)) for field in dataclasses.fields(config)}


def check_at_least(config: object, least: float, *names: str) -> None:
    """Raise ConfigError naming the first of these fields that is below `least`, or NaN."""
    for name in names:
        value = getattr(config, name)
        if not value >= least:
            raise ConfigError(f"{name} is {value}, must be at least {least:g}")


def check_share(config: object, *names: str) -> None:
    """Raise ConfigError naming the first of these fields that is no share: from 0 to 1."""
    for name in names:
        value = getattr(config, name)
        if not 0.0 <= value <= 1.0:
            raise ConfigError(f"{name} is {value}, must be from 0 to 1")


class _Invalid(Exception):
    """What is wrong, without the file's name."""


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return to_dict(value)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


@lru_cache(maxsize=256)
def _fields(cls: type) -> dict[str, tuple[Any, bool]]:
    """Map each field to its type and whether it must be given."""
    hints = typing.get_type_hints(cls)
    missing = dataclasses.MISSING
    return {
        field.name: (hints[field.name], field.default is missing and field.default_factory is missing)
        for field in dataclasses.fields(cls)
        if field.init
    }


def _build(cls: Any, values: Any, where: str) -> Any:
    if not isinstance(values, Mapping):
        raise _Invalid(f"{where or 'the top level'} is {_kind(values)}, must be a table")
    fields = _fields(cls)
    for key in values:
        if key not in fields:
            raise _Invalid(f"{_join(where, key)} is unknown{_hint(key, fields)}")
    arguments = {}
    for name, (hint, required) in fields.items():
        if name in values:
            arguments[name] = _convert(hint, values[name], _join(where, name))
        elif required:
            raise _Invalid(f"{_join(where, name)} is missing")
    try:
        return cls(**arguments)
    except (EdgeLasError, ValueError) as problem:
        raise _Invalid(_join(where, one_line(problem))) from None


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return value
    if dataclasses.is_dataclass(hint):
        return _build(hint, value, where)
    if origin in (typing.Union, types.UnionType):
        return _convert_union(arguments, value, where)
    if origin is typing.Literal:
        if any(value == choice and type(value) is type(choice) for choice in arguments):
            return value
        raise _Invalid(f"{where} is {value!r}, must be one of {', '.join(map(repr, arguments))}")
    if origin is tuple:
        return _convert_tuple(arguments, value, where)
    if origin in (dict, Mapping):
        return _convert_dict(arguments, value, where)
    return _convert_scalar(hint, value, where)


def _convert_scalar(hint: Any, value: Any, where: str) -> Any:
    if hint is float and type(value) in (int, float):
        return _finite(value, where)
    if hint is Path and isinstance(value, str):
        return Path(value)
    if hint is int and type(value) is int and abs(value) > _LARGEST:
        raise _Invalid(f"{where} is too large")
    # `type` and not isinstance: True is no integer here.
    if hint in (int, bool, str) and type(value) is hint:
        return value
    if hint not in (int, float, bool, str, Path):
        raise TypeError(f"{where}: fields of type {hint} are not supported")
    raise _Invalid(f"{where} is {_kind(value)}, must be {_NAMES[hint]}")


def _finite(value: int | float, where: str) -> float:
    try:
        number = float(value)
    except OverflowError:
        raise _Invalid(f"{where} is too large") from None
    if not math.isfinite(number):
        raise _Invalid(f"{where} is {number}, must be finite")
    return number


def _convert_union(choices: tuple[Any, ...], value: Any, where: str) -> Any:
    if value is None and type(None) in choices:
        return None
    kinds = [choice for choice in choices if choice is not type(None)]
    if len(kinds) == 1:
        return _convert(kinds[0], value, where)
    for kind in kinds:  # an exact type first, so that `int | float` keeps an int
        if type(value) is kind:
            return _convert(kind, value, where)
    for kind in kinds:
        try:
            return _convert(kind, value, where)
        except _Invalid:
            continue
    raise _Invalid(f"{where} is {_kind(value)}, must be {' or '.join(_NAMES.get(k, str(k)) for k in kinds)}")


def _convert_tuple(arguments: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, (list, tuple)):
        raise _Invalid(f"{where} is {_kind(value)}, must be a list")
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return tuple(_convert(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if len(value) != len(arguments):
        raise _Invalid(f"{where} has {len(value)} items, must have {len(arguments)}")
    pairs = zip(arguments, value, strict=True)
    return tuple(_convert(kind, item, f"{where}[{i}]") for i, (kind, item) in enumerate(pairs))


def _convert_dict(arguments: tuple[Any, ...], value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise _Invalid(f"{where} is {_kind(value)}, must be a table")
    return {
        _convert(arguments[0], key, where): _convert(arguments[1], item, _join(where, key))
        for key, item in value.items()
    }


# TOML's integers have 64 bits; JSON's have no bound, and would overflow somewhere later.
_LARGEST = 2**63 - 1

_NAMES: dict[Any, str] = {
    int: "an integer",
    float: "a number",
    bool: "true or false",
    str: "a string",
    Path: "a path",
}


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, (list, tuple)):
        return "a list"
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."


def _join(where: str, key: str) -> str:
    return f"{where}.{key}" if where else str(key)


def _hint(key: str, known: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(str(key), known, n=1)
    return f" (did you mean {close[0]}?)" if close else ""
