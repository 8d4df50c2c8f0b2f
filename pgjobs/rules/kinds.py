"""How the annotation of a dataclass's field reads a JSON value, and writes one.

A reader is strict: it takes the JSON form, or a value of the annotated type itself, and converts
nothing else, but an int where a float is asked for. The members of a union are tried in their order.

| annotation | JSON |
|---|---|
| ``str int float bool None Any`` | as they are |
| ``list[X]``, ``tuple[X, ...]``, ``tuple[X, Y]`` | an array |
| ``dict[str, X]``, a dataclass | an object |
| ``datetime date`` | ISO 8601 |
| ``UUID Decimal`` | a text (a whole number is read as a ``Decimal``, too) |
| ``Literal``, an ``Enum`` | the value |
| ``X \\| Y``, ``Optional[X]`` | that of a member |
"""

from __future__ import annotations

import dataclasses
import enum
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from pgjobs.rules.errors import nearest

Read = Callable[[Any, str], Any]
Write = Callable[[Any], Any]

SUPPORTED = (
    "str, int, float, bool, None, Any, list, tuple, dict[str, ...], datetime, date, UUID, Decimal, "
    "Literal, Enum, dataclasses and unions of them"
)
_PLAIN: tuple[type, ...] = (str, bool, int, types.NoneType)


class MismatchError(Exception):
    """A value that its annotation does not take; the text says where, what is expected and found."""


class UnsupportedError(Exception):
    """An annotation that has no JSON form."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One annotation: ``name`` as errors show it, ``read(value, path)`` and ``write(value)``."""

    name: str
    read: Read
    write: Write


def kind_of(hint: Any, known: dict[type, Kind]) -> Kind:
    """The kind of a resolved annotation. ``known`` holds the dataclasses met so far."""
    if isinstance(hint, typing.NewType):
        return kind_of(hint.__supertype__, known)
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return kind_of(inner[0], known)
    if origin is typing.Union or origin is types.UnionType:
        return _union([kind_of(each, known) for each in inner])
    if origin is typing.Literal:
        return _literal(inner)
    if hint is Any or hint is object:
        return Kind("any JSON value", _anything, _same)
    if hint is None:
        hint = types.NoneType
    if (origin or hint) is list:
        return _list(kind_of(inner[0] if inner else Any, known))
    if (origin or hint) is tuple:
        return _tuple(inner or (Any, ...), known)
    if (origin or hint) is dict:
        if inner and inner[0] is not str:
            raise UnsupportedError(f"{_named(hint)}: keys of a JSON object are str")
        return _dict(kind_of(inner[1] if inner else Any, known))
    if isinstance(hint, type) and origin is None:
        found = _of_class(hint, known)
        if found is not None:
            return found
    raise UnsupportedError(_named(hint))


def object_of(model: type, known: dict[type, Kind]) -> Kind:
    """The kind of a dataclass; its fields' annotations are resolved here."""
    if model in known:
        return known[model]
    fields = {each.name: each for each in dataclasses.fields(model) if each.init}
    kinds: dict[str, Kind] = {}

    def read(value: Any, path: str) -> Any:
        if isinstance(value, model):
            value = {name: getattr(value, name) for name in fields}
        if not isinstance(value, Mapping):
            raise _mismatch(path, model.__name__, value)
        for name in value:
            if name not in fields:
                raise MismatchError(f"{path} has no field {name!r}{nearest(str(name), fields)}")
        for name, each in fields.items():
            if name not in value and _is_required(each):
                raise MismatchError(f"{path}.{name} is missing; it must be {kinds[name].name}")
        found = {name: kinds[name].read(item, f"{path}.{name}") for name, item in value.items()}
        try:
            return model(**found)
        except Exception as error:  # its own __post_init__ refuses
            raise MismatchError(f"{path} is refused: {type(error).__name__}: {error}") from error

    def write(value: Any) -> Any:
        return {name: kinds[name].write(getattr(value, name)) for name in fields}

    known[model] = Kind(model.__name__, read, write)  # before its fields, which may name it
    hints = typing.get_type_hints(model, localns={model.__name__: model})
    for name in fields:
        try:
            kinds[name] = kind_of(hints[name], known)
        except UnsupportedError as error:
            raise UnsupportedError(f"{model.__name__}.{name} is {error}") from None
    return known[model]


def _of_class(hint: type, known: dict[type, Kind]) -> Kind | None:
    if hint in _PLAIN:
        name = "None" if hint is types.NoneType else hint.__name__
        return Kind(name, _exactly(hint, name), _same)
    if hint is float:
        return Kind("float", _float, _same)
    if hint is datetime:
        return _text_kind(hint, datetime.fromisoformat, datetime.isoformat, (str,))
    if hint is date:
        return _text_kind(hint, date.fromisoformat, date.isoformat, (str,))
    if hint is Decimal:
        return _text_kind(hint, Decimal, str, (str, int))
    if (hint.__module__, hint.__name__) == (
        "uuid",
        "UUID",
    ):  # named, since imports of it are banned
        return _text_kind(hint, hint, str, (str,))
    if issubclass(hint, enum.Enum):
        return _enum(hint)
    if dataclasses.is_dataclass(hint):
        return object_of(hint, known)
    return None


def _same(value: Any) -> Any:
    return value


def _anything(value: Any, _path: str) -> Any:
    return value


def _exactly(kind: type, name: str) -> Read:
    def read(value: Any, path: str) -> Any:
        if type(value) is not kind:
            raise _mismatch(path, name, value)
        return value

    return read


def _float(value: Any, path: str) -> float:
    if type(value) is float:
        return value
    try:
        if type(value) is int:
            return float(value)
    except OverflowError:
        pass
    raise _mismatch(path, "float", value)


def _text_kind(
    kind: type, parse: Callable[[Any], Any], write: Write, forms: tuple[type, ...]
) -> Kind:
    """A type whose JSON form is a text that ``parse`` reads."""

    def read(value: Any, path: str) -> Any:
        if isinstance(value, kind) and not (kind is date and isinstance(value, datetime)):
            return value
        try:
            if type(value) in forms:
                return parse(value)
        except (ValueError, InvalidOperation):
            pass
        raise _mismatch(path, kind.__name__, value)

    return Kind(kind.__name__, read, write)


def _enum(kind: type[enum.Enum]) -> Kind:
    values = {_typed(each.value): each for each in kind}
    for each in kind:
        if type(each.value) not in (*_PLAIN, float):
            raise UnsupportedError(f"{kind.__name__}, whose {each.name} is no JSON value")
    name = f"one of {', '.join(repr(each.value) for each in kind)}"

    def read(value: Any, path: str) -> Any:
        if isinstance(value, kind):
            return value
        found = values.get(_typed(value)) if isinstance(value, (*_PLAIN, float)) else None
        if found is None:
            raise _mismatch(path, name, value)
        return found

    return Kind(name, read, lambda value: value.value)


def _literal(values: tuple[Any, ...]) -> Kind:
    for each in values:
        if type(each) not in _PLAIN:
            raise UnsupportedError(f"Literal[{each!r}]")
    allowed = {_typed(each) for each in values}
    name = f"one of {', '.join(map(repr, values))}"

    def read(value: Any, path: str) -> Any:
        if not isinstance(value, _PLAIN) or _typed(value) not in allowed:
            raise _mismatch(path, name, value)
        return value

    return Kind(name, read, _same)


def _union(members: list[Kind]) -> Kind:
    name = " | ".join(each.name for each in members)

    def read(value: Any, path: str) -> Any:
        if type(value) is int:  # a float would take it, and lose what it is
            for each in members:
                if each.name == "int":
                    return value
        inside: MismatchError | None = None
        for each in members:
            try:
                return each.read(value, path)
            except MismatchError as error:
                if not str(error).startswith(f"{path} must be"):
                    inside = error  # this member takes such values, but not all that is in this one
        raise inside or _mismatch(path, name, value)

    def write(value: Any) -> Any:
        for each in members:
            try:
                each.read(value, "")
            except MismatchError:
                continue
            return each.write(value)
        return value  # no member: reading it back says so

    return Kind(name, read, write)


def _list(item: Kind) -> Kind:
    def read(value: Any, path: str) -> Any:
        if not isinstance(value, list):
            raise _mismatch(path, f"list of {item.name}", value)
        return [item.read(each, f"{path}[{n}]") for n, each in enumerate(value)]

    return Kind(f"list of {item.name}", read, lambda value: [item.write(each) for each in value])


def _tuple(inner: tuple[Any, ...], known: dict[type, Kind]) -> Kind:
    if inner[-1] is Ellipsis:
        item = kind_of(inner[0], known)
        name, items = f"tuple of {item.name}", None
    else:
        items = [kind_of(each, known) for each in inner]
        item, name = items[0], f"tuple of {', '.join(each.name for each in items)}"

    def kinds(count: int) -> list[Kind]:
        return [item] * count if items is None else items

    def read(value: Any, path: str) -> Any:
        if not isinstance(value, list | tuple) or len(kinds(len(value))) != len(value):
            raise _mismatch(path, name, value)
        pairs = zip(kinds(len(value)), value, strict=True)
        return tuple(each.read(found, f"{path}[{n}]") for n, (each, found) in enumerate(pairs))

    def write(value: Any) -> Any:
        pairs = zip(kinds(len(value)), value, strict=True)
        return [each.write(found) for each, found in pairs]

    return Kind(name, read, write)


def _dict(item: Kind) -> Kind:
    def read(value: Any, path: str) -> Any:
        if not isinstance(value, Mapping):
            raise _mismatch(path, f"dict of {item.name}", value)
        for key in value:
            if type(key) is not str:
                raise _mismatch(f"a key of {path}", "str", key)
        return {key: item.read(each, f"{path}.{key}") for key, each in value.items()}

    return Kind(
        f"dict of {item.name}",
        read,
        lambda value: {key: item.write(each) for key, each in value.items()},
    )


def _is_required(field: dataclasses.Field[Any]) -> bool:
    missing = dataclasses.MISSING
    return field.default is missing and field.default_factory is missing


def _typed(value: Any) -> tuple[type, Any]:
    """A value that True and 1 do not share."""
    return type(value), value


def _mismatch(path: str, expected: str, found: Any) -> MismatchError:
    try:
        text = repr(found)
    except Exception:
        text = "an unprintable value"
    shown = text if len(text) <= 80 else text[:77] + "..."
    return MismatchError(f"{path} must be {expected}, not {shown} ({type(found).__name__})")


def _named(hint: Any) -> str:
    return hint.__qualname__ if isinstance(hint, type) else str(hint)
