"""What a value in an assertion matches: itself, as much of it as is given, or what a function accepts.

``pattern`` compiles a value, once for an assertion; a value that nothing can match is refused.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from enum import Enum
from pathlib import PurePath
from typing import Any, get_origin

from pgjobs.rules.errors import ConfigurationError, InvalidJobError, shown
from pgjobs.rules.jsonb import MAX_DEPTH, is_plain, normal_object, normal_value
from pgjobs.worker import Worker
from pgjobs_testing.nested import Containing, Listed
from pgjobs_testing.patterns import Accepted, Anything, Exactly, Kind, Pattern


class _Any:
    """Equals everything: ``args={"id": ANY}`` asks that the key is there."""

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 0

    def __repr__(self) -> str:
        return "ANY"


ANY = _Any()


def pattern(value: Any, path: str, depth: int = 0) -> Pattern:
    """Compile a value of an assertion; ``ConfigurationError`` for what no JSON value can match."""
    kind = type(value)
    if kind in _SCALARS:
        return Exactly(value) if is_plain(value) else _exactly(value, path)
    if kind is not dict and (made := matcher(value, path)) is not None:
        return made
    if depth > MAX_DEPTH:
        raise ConfigurationError(f"{path[:80]}... is nested more than {MAX_DEPTH} levels deep")
    if kind is dict or isinstance(value, Mapping):
        parts: dict[str, Pattern] = {}
        for key in value:
            parts[_key(key, path)] = pattern(value[key], f"{path}.{key}", depth + 1)
        return Containing(parts)
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        return Listed(tuple(pattern(e, f"{path}[{n}]", depth + 1) for n, e in enumerate(value)))
    return _exactly(value, path)


def _exactly(value: Any, path: str) -> Pattern:
    try:
        return Exactly(normal_value(value, path))
    except InvalidJobError as error:
        raise ConfigurationError(
            f"{error}; in an assertion also ANY, a type or a function of the value"
        ) from None


def matcher(value: Any, path: str) -> Pattern | None:
    """The pattern for ANY, a type, a function or what knows what equals it; None for another value."""
    if type(value) in _PLAIN:
        return None
    if isinstance(value, _Any):
        return Anything()
    if isinstance(value, Worker):
        raise ConfigurationError(f"{path} cannot be a worker, as in {shown(value)}")
    if isinstance(value, type):
        if not any(issubclass(each, value) for each in _KINDS):
            raise ConfigurationError(
                f"{path} is given the class {value.__name__}, of which no value there is an instance: "
                "give a value, ANY, a type of JSON (str, int, float, bool, list, dict) or a function"
            )
        return Kind(value)
    if get_origin(value) is not None:
        raise ConfigurationError(
            f"{path} is given {shown(value)}, which cannot be asked whether a value is one: give the "
            "type alone, as in list, or a function of the value"
        )
    if _compares_by_itself(value):
        return Accepted(value, called=False)
    if not callable(value):
        return None
    if inspect.iscoroutinefunction(value):
        raise ConfigurationError(
            f"{path} is given {shown(value)}, which is asynchronous, and so would always seem true: "
            "give a function that answers at once"
        )
    return Accepted(value, called=True)


_KINDS = (str, int, float, bool, list, dict, tuple, datetime, type(None))
"""The types of all values that an assertion can look at."""
_SCALARS = frozenset((str, int, float, bool, type(None)))
_PLAIN = _SCALARS | {list, dict}
"""The types of JSON, of which nearly all given values are: the other questions need not be asked of them."""


def _compares_by_itself(value: object) -> bool:
    """Whether an object knows what equals it (``pytest.approx``, ``mock.ANY``), and is no mere datum.

    What the standard library can compare (a path, an address, a compiled expression) equals its like
    alone, so that no value of a job would ever match, and a refutation always pass.
    """
    kind = type(value)
    home = kind.__module__.partition(".")[0]
    return (
        kind.__eq__ is not object.__eq__
        and (home not in sys.stdlib_module_names or home == "unittest")
        and not isinstance(value, _DATA)
        and not any(hasattr(kind, fields) for fields in _FIELDS)
    )


_DATA = (*_KINDS, bytes, timedelta, date, set, frozenset, Mapping, PurePath, BaseException, Enum)
"""The types of plain values: a class of the caller's that extends one is such a value too."""
_FIELDS = ("__dataclass_fields__", "__attrs_attrs__", "model_fields", "_fields")
"""What classes of records have."""


def _key(key: object, path: str) -> str:
    if type(key) is str and key.isascii() and key.isprintable():
        return key  # it is its own normal form
    try:
        return next(iter(normal_object({key: None}, path)))
    except InvalidJobError as error:
        raise ConfigurationError(str(error)) from None
