"""How a type of the format says what it accepts: in every error of a value, and in the JSON Schema."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from pydantic import BeforeValidator, WithJsonSchema, WrapValidator
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from pgjobs_testing.scenarios.mistakes import did_you_mean

T = TypeVar("T")


def accepts(what: str) -> WrapValidator:
    """Say in every error of a type what it accepts."""

    def check(value: Any, handler: Callable[[Any], Any]) -> Any:
        try:
            return handler(value)
        except ValueError:
            raise wrong(what) from None

    return WrapValidator(check)


def wrong(accepted: str, hint: str = "") -> PydanticCustomError:
    """The error of a value that is not as ``accepted`` says; ``hint`` follows it, with its own separator."""
    return PydanticCustomError("accepted", "{accepted}", {"accepted": accepted, "hint": hint})


def one_or_more(check: Callable[[object], Any]) -> Callable[[object], tuple[Any, ...]]:
    """A check for one value or a list of values; an error tells the item that is wrong."""

    def checked(value: object) -> tuple[Any, ...]:
        found: list[Any] = []
        for item in value if isinstance(value, list) else [value]:
            try:
                found.append(check(item))
            except PydanticCustomError as error:
                context = {**(error.context or {}), "found": item}
                raise PydanticCustomError("accepted", "{accepted}", context) from None
        return tuple(found)

    return checked


def one_of(names: tuple[str, ...]) -> Callable[[object], str]:
    """A check for one of these names."""

    def check(value: object) -> str:
        if value not in names:
            raise wrong(f"one of {', '.join(names)}", did_you_mean(value, names))
        return str(value)

    return check


def _present(value: object) -> object:
    if value is None:
        raise wrong("a value, or the key left out")
    return value


class _Present:
    """In the JSON Schema, a key that may be left out and is never null."""

    def __get_pydantic_json_schema__(self, core_schema: Any, handler: Any) -> dict[str, Any]:
        schema: dict[str, Any] = handler(core_schema)
        others = [each for each in schema.get("anyOf", ()) if each != {"type": "null"}]
        return others[0] if len(others) == 1 else {**schema, "anyOf": others} if others else schema


Maybe = Annotated[T | None, BeforeValidator(_present), _Present()]
"""A key that may be left out; None is what it then has, and never what it may be given."""


def whole(least: int, most: int) -> Callable[[object], int]:
    """A check for a whole number from ``least`` to ``most``, which true and false are not."""

    def check(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise wrong(f"a whole number from {least} to {most}")
        return value

    return check


@dataclass(frozen=True, slots=True)
class Between:
    """Whole numbers from ``least`` to ``most``, as pydantic asks for what annotates a type."""

    least: int
    most: int

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(whole(self.least, self.most))

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        return {"type": "integer", "minimum": self.least, "maximum": self.most}


def listed(schema: dict[str, Any]) -> WithJsonSchema:
    """The JSON Schema of one such value, or a list of them."""
    return WithJsonSchema({"anyOf": [schema, {"type": "array", "items": schema}]})
