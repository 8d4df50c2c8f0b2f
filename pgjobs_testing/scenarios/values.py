"""How a scenario writes durations, instants, names and numbers: each a type that says what it accepts."""

from __future__ import annotations

import builtins
import re
import zoneinfo
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    BeforeValidator,
    Field,
    PlainValidator,
    ValidationInfo,
    WithJsonSchema,
    WrapValidator,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from pgjobs.plugins import LEAST_INTERVAL_S, MAX_PAGE
from pgjobs.rules import crontab, replacing, unique
from pgjobs.rules.errors import ConfigurationError, PgJobsError
from pgjobs.rules.job import MAX_ATTEMPTS, JobState
from pgjobs.rules.jsonb import normal_object
from pgjobs.rules.options import LOWEST_PRIORITY, MAX_ALLOWED, MAX_CONCURRENCY, NAME_LIMIT
from pgjobs.rules.schedule import instant, time_zone
from pgjobs.worker import Worker
from pgjobs_testing.scenarios.mistakes import did_you_mean
from pgjobs_testing.scenarios.real import PATTERN, Imports
from pgjobs_testing.simulation.traps import ANY, EFFECTS, FAILURES

T = TypeVar("T")

END = "end"
PLUGINS = ("stalled", "pruner", "cron")
"""The plugins that a file may name."""
FURTHEST = timedelta(days=36_500)
"""How far a clock may be off: further, it would leave the calendar."""
LEAST_INTERVAL = timedelta(seconds=LEAST_INTERVAL_S)
Instant = timedelta | datetime
"""An instant as it is written: a duration after the start, or a date and time."""

_SPAN = re.compile(
    r"(?:(\d{1,9})d)?(?:(\d{1,9})h)?(?:(\d{1,9})m(?!s))?(?:(\d{1,12}(?:\.\d{1,6})?)s)?(?:(\d{1,12})ms)?",
    re.ASCII,
)
_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ].*", re.ASCII)
_STATES = tuple(str(state) for state in JobState)

A_DURATION = "a duration such as 250ms, 2s, 90s, 5m, 1h, 7d or 1h30m"
AN_INSTANT = f"{A_DURATION} after the start, or a date and time with its zone"


def accepts(what: str) -> WrapValidator:
    """Say in every error of a type what it accepts."""

    def check(value: Any, handler: Callable[[Any], Any]) -> Any:
        try:
            return handler(value)
        except ValueError:
            raise _wrong(what) from None

    return WrapValidator(check)


def span(text: object) -> timedelta | None:
    """A duration, or None where ``text`` is none."""
    found = _SPAN.fullmatch(text) if isinstance(text, str) and text else None
    if found is None:
        return None
    days, hours, minutes, seconds, millis = (part or "0" for part in found.groups())
    whole, _, fraction = seconds.partition(".")
    try:
        return timedelta(
            days=int(days),
            hours=int(hours),
            minutes=int(minutes),
            seconds=int(whole),
            milliseconds=int(millis),
            microseconds=int(fraction.ljust(6, "0")) if fraction else 0,
        )
    except OverflowError:
        return None


def moment(text: object) -> Instant | None:
    """An instant, or None where ``text`` is none."""
    after = span(text)
    if after is not None:
        return after
    if not isinstance(text, str) or not _DATE_TIME.fullmatch(text):
        return None
    try:
        return instant(datetime.fromisoformat(text), "an instant")
    except ValueError:
        return None


def builtin_exception(name: str) -> type[BaseException] | None:
    """The exception that Python knows by that name, if it can be made of one text."""
    kind = getattr(builtins, name, None)
    if not isinstance(kind, type) or not issubclass(kind, BaseException):
        return None
    try:
        kind("")
    except TypeError:
        return None
    return kind


def _wrong(accepted: str, hint: str = "") -> PydanticCustomError:
    return PydanticCustomError("accepted", "{accepted}", {"accepted": accepted, "hint": hint})


def _duration(value: object) -> timedelta:
    found = span(value)
    if found is None:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        raise _wrong(A_DURATION, f"; give a unit, as in {value}s" if number else "")
    return found


def _positive(value: object) -> timedelta:
    found = _duration(value)
    if not found:
        raise _wrong(f"{A_DURATION}, more than 0s")
    return found


def _interval(value: object) -> timedelta:
    found = _duration(value)
    if found < LEAST_INTERVAL:
        raise _wrong(f"{A_DURATION}, at least 100ms")
    return found


def _signed(value: object) -> timedelta:
    behind = isinstance(value, str) and value.startswith("-")
    found = span(str(value)[1:] if behind else value)
    if found is None:
        raise _wrong(f"{A_DURATION}, or one behind such as -5s")
    if found > FURTHEST:
        raise _wrong(f"{A_DURATION}, or one behind such as -5s, up to {FURTHEST.days}d")
    return -found if behind else found


def _crontab(value: object) -> str:
    try:
        return str(crontab.parse(value))
    except ConfigurationError as error:
        raise _wrong("a cron expression such as '0 * * * *'", f" ({error})") from None


def _zone(value: object) -> str:
    try:
        time_zone(value)
    except ConfigurationError:
        known = zoneinfo.available_timezones()
        raise _wrong(
            "an IANA time zone such as Europe/Berlin", did_you_mean(value, known)
        ) from None
    return str(value)


def _instant(value: object) -> Instant:
    found = moment(value)
    if found is None:
        raise _wrong(AN_INSTANT, _zone_hint(value))
    return found


def _date_time(value: object) -> datetime:
    found = moment(value)
    if not isinstance(found, datetime):
        accepted = "a date and time with its zone, such as 2025-01-01T00:00:00Z"
        raise _wrong(accepted, _zone_hint(value))
    return found


def _zone_hint(value: object) -> str:
    try:
        naive = isinstance(value, str) and datetime.fromisoformat(value).tzinfo is None
    except ValueError:
        naive = False
    return f"; add the zone, as in {value}Z" if naive and "T" in str(value) else ""


def _instant_or_end(value: object) -> Instant | str:
    if value == END:
        return END
    found = moment(value)
    if found is None:
        raise _wrong(f"{AN_INSTANT}, or end", did_you_mean(value, [END]) or _zone_hint(value))
    return found


def _instant_or_nothing(value: object) -> Instant | None:
    return None if value is None else _instant(value)


def _given(value: object) -> bool:
    if value is None or value is True:
        return True
    raise _wrong("nothing, or true")


def _horizon(value: object) -> timedelta | bool:
    return value if isinstance(value, bool) else _duration(value)


def _state(value: object) -> JobState:
    if value not in _STATES:
        raise _wrong(f"one of {', '.join(_STATES)}", did_you_mean(value, _STATES))
    return JobState(str(value))


def _one_of(names: tuple[str, ...]) -> Callable[[object], str]:
    def check(value: object) -> str:
        if value not in names:
            raise _wrong(f"one of {', '.join(names)}", did_you_mean(value, names))
        return str(value)

    return check


def _replace(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _wrong("a mapping of states to fields, or to true")
    try:
        replacing.replace(value)
    except PgJobsError as error:
        raise _wrong("a mapping of states to fields, or to true", f" ({error})") from None
    return value


def _exception(value: object) -> BaseException:
    accepted = 'the name of a built-in exception, or that and its message: "ValueError: why"'
    if not isinstance(value, str):
        raise _wrong(accepted)
    name, _, message = value.partition(":")
    kind = builtin_exception(name)
    if kind is None:
        known = [each for each in dir(builtins) if builtin_exception(each)]
        raise _wrong(accepted, did_you_mean(name, known))
    return kind(message.strip()) if message.strip() else kind()


def _json_object(what: str) -> PlainValidator:
    def check(value: object) -> dict[str, Any]:
        try:
            return normal_object(value, what)
        except PgJobsError as error:
            raise _wrong("an object that JSON can hold", f" ({error})") from None

    return PlainValidator(check)


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


def _name(value: object) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= NAME_LIMIT:
        quote = isinstance(value, int | float | bool)
        raise _wrong(_A_NAME, f"; quote it: {_yaml(value)!r}" if quote else "")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        quote = isinstance(value, int | float | bool)
        raise _wrong("a text", f"; quote it: {_yaml(value)!r}" if quote else "")
    return value


def _text_or_nothing(value: object) -> str | None:
    return None if value is None else _text(value)


def _yaml(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _real(value: object, info: ValidationInfo) -> Worker[Any, Any]:
    """The worker itself, imported if the context of the reading allows it."""
    imports = info.context if isinstance(info.context, Imports) else Imports()
    return imports.worker(value)


def _whole(least: int, most: int) -> Callable[[object], int]:
    def check(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise _wrong(f"a whole number from {least} to {most}")
        return value

    return check


def _present(value: object) -> object:
    if value is None:
        raise _wrong("a value, or the key left out")
    return value


def _share(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise _wrong("a number from 0 to 1")
    return float(value)


@dataclass(frozen=True, slots=True)
class _Between:
    """Whole numbers from ``least`` to ``most``, as pydantic asks for what annotates a type."""

    least: int
    most: int

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(_whole(self.least, self.most))

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        return {"type": "integer", "minimum": self.least, "maximum": self.most}


def _listed(schema: dict[str, Any]) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [schema, {"type": "array", "items": schema}]})


_A_NAME = f"a text of 1 to {NAME_LIMIT} characters"
_DURATION_PATTERN = (
    r"([0-9]{1,9}d)?([0-9]{1,9}h)?([0-9]{1,9}m)?([0-9]{1,12}(\.[0-9]{1,6})?s)?([0-9]{1,12}ms)?"
)
_ZONE_PATTERN = r"([Zz]|[+-][0-9]{2}(:?[0-9]{2}(:?[0-9]{2}(\.[0-9]+)?)?)?)"
_DURATION_SCHEMA = {
    "type": "string",
    "pattern": rf"^{_DURATION_PATTERN}$",
    "minLength": 2,
    "description": A_DURATION,
    "patternErrorMessage": f"Expected {A_DURATION}.",
    "examples": ["250ms", "2s", "5m", "1h", "7d", "1h30m"],
}
_POSITIVE_SCHEMA = _DURATION_SCHEMA | {"pattern": rf"^(?=.*[1-9]){_DURATION_PATTERN}$"}
_SIGNED_SCHEMA = {
    "type": "string",
    "pattern": rf"^-?{_DURATION_PATTERN}$",
    "minLength": 2,
    "description": f"{A_DURATION}, or one behind such as -5s",
    "patternErrorMessage": f"Expected {A_DURATION}, or one behind such as -5s.",
}
_DATE_SCHEMA = {
    "type": "string",
    "format": "date-time",
    "patternErrorMessage": "Expected a date and time with its zone, such as 2025-01-01T00:00:00Z.",
    "pattern": rf"^[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}[Tt ].*{_ZONE_PATTERN}$",
}
_INSTANT_SCHEMA = {"anyOf": [_DURATION_SCHEMA, _DATE_SCHEMA], "description": AN_INSTANT}
NAME_SCHEMA = {"type": "string", "minLength": 1, "maxLength": NAME_LIMIT}
_STATE_SCHEMA = {"type": "string", "enum": list(_STATES)}
_WHOLE_SCHEMA = {"type": "integer", "minimum": 0}


class _Present:
    """In the JSON Schema, a key that may be left out and is never null."""

    def __get_pydantic_json_schema__(self, core_schema: Any, handler: Any) -> dict[str, Any]:
        schema: dict[str, Any] = handler(core_schema)
        others = [each for each in schema.get("anyOf", ()) if each != {"type": "null"}]
        return others[0] if len(others) == 1 else schema


Maybe = Annotated[T | None, BeforeValidator(_present), _Present()]
"""A key that may be left out; None is what it then has, and never what it may be given."""
Name = Annotated[str, PlainValidator(_name), WithJsonSchema(NAME_SCHEMA)]
Text = Annotated[str, PlainValidator(_text), WithJsonSchema({"type": "string"})]
TextOrNothing = Annotated[
    str | None, PlainValidator(_text_or_nothing), WithJsonSchema({"type": ["string", "null"]})
]
Flag = Annotated[
    bool,
    Field(strict=True),
    accepts("true or false"),
]
Given = Annotated[bool, PlainValidator(_given), WithJsonSchema({"enum": [None, True]})]
Hang = Annotated[Literal[True], accepts("true")]
Duration = Annotated[timedelta, PlainValidator(_duration), WithJsonSchema(_DURATION_SCHEMA)]
HorizonSpec = Annotated[
    timedelta | bool,
    PlainValidator(_horizon),
    WithJsonSchema({"anyOf": [{"type": "boolean"}, _DURATION_SCHEMA]}),
]
PositiveDuration = Annotated[timedelta, PlainValidator(_positive), WithJsonSchema(_POSITIVE_SCHEMA)]
Interval = Annotated[timedelta, PlainValidator(_interval), WithJsonSchema(_POSITIVE_SCHEMA)]
SignedDuration = Annotated[timedelta, PlainValidator(_signed), WithJsonSchema(_SIGNED_SCHEMA)]
CronExpression = Annotated[str, PlainValidator(_crontab), WithJsonSchema({"type": "string"})]
TimeZone = Annotated[str, PlainValidator(_zone), WithJsonSchema({"type": "string"})]
UpOrDown = Annotated[Literal["up", "down"], accepts("up or down")]
WrittenInstant = Annotated[Any, PlainValidator(_instant), WithJsonSchema(_INSTANT_SCHEMA)]
InstantOrNothing = Annotated[
    Any,
    PlainValidator(_instant_or_nothing),
    WithJsonSchema({"anyOf": [_INSTANT_SCHEMA, {"type": "null"}]}),
]
InstantOrEnd = Annotated[
    Any,
    PlainValidator(_instant_or_end),
    WithJsonSchema({"anyOf": [_INSTANT_SCHEMA, {"const": END}]}),
]
DateTime = Annotated[datetime, PlainValidator(_date_time), WithJsonSchema(_DATE_SCHEMA)]
Raised = Annotated[BaseException, PlainValidator(_exception), WithJsonSchema({"type": "string"})]
RealWorker = Annotated[
    Any, PlainValidator(_real), WithJsonSchema({"type": "string", "pattern": PATTERN})
]
State = Annotated[JobState, PlainValidator(_state), WithJsonSchema(_STATE_SCHEMA)]
States = Annotated[
    tuple[JobState, ...], PlainValidator(one_or_more(_state)), _listed(_STATE_SCHEMA)
]
Names = Annotated[tuple[str, ...], PlainValidator(one_or_more(_name)), _listed(NAME_SCHEMA)]
Wholes = Annotated[
    tuple[int, ...], PlainValidator(one_or_more(_whole(0, 2**31 - 1))), _listed(_WHOLE_SCHEMA)
]
NameOrNothing = Annotated[
    str | None,
    PlainValidator(lambda value: None if value is None else _name(value)),
    WithJsonSchema({"anyOf": [NAME_SCHEMA, {"type": "null"}]}),
]
PeriodOrNone = Annotated[
    timedelta | None,
    PlainValidator(lambda value: None if value is None else _positive(value)),
    WithJsonSchema({"anyOf": [_POSITIVE_SCHEMA, {"type": "null"}]}),
]
UniqueFields = Annotated[
    tuple[str, ...],
    PlainValidator(one_or_more(_one_of(unique.FIELDS))),
    _listed({"type": "string", "enum": list(unique.FIELDS)}),
]
Timestamp = Annotated[
    str,
    PlainValidator(_one_of(unique.TIMESTAMPS)),
    WithJsonSchema({"type": "string", "enum": list(unique.TIMESTAMPS)}),
]
ReplaceSpec = Annotated[
    dict[str, Any],
    PlainValidator(_replace),
    WithJsonSchema(
        {
            "type": "object",
            "propertyNames": {"enum": list(_STATES)},
            "additionalProperties": {
                "anyOf": [
                    {"type": "boolean"},
                    {
                        "type": "array",
                        "items": {"type": "string", "enum": list(replacing.FIELDS)},
                    },
                ]
            },
        }
    ),
]
EffectName = Annotated[
    str,
    PlainValidator(_one_of((*EFFECTS, ANY))),
    WithJsonSchema({"type": "string", "enum": [*EFFECTS, ANY]}),
]
FailureName = Annotated[
    str,
    PlainValidator(_one_of(FAILURES)),
    WithJsonSchema({"type": "string", "enum": list(FAILURES)}),
]
PluginNames = Annotated[
    tuple[str, ...],
    PlainValidator(one_or_more(_one_of(PLUGINS))),
    _listed({"type": "string", "enum": list(PLUGINS)}),
]
Args = Annotated[dict[str, Any], _json_object("args"), WithJsonSchema({"type": "object"})]
Meta = Annotated[dict[str, Any], _json_object("meta"), WithJsonSchema({"type": "object"})]
Priority = Annotated[int, _Between(0, LOWEST_PRIORITY)]
Attempts = Annotated[int, _Between(1, MAX_ATTEMPTS)]
Page = Annotated[int, _Between(1, MAX_PAGE)]
Concurrency = Annotated[int, _Between(1, MAX_CONCURRENCY)]
Allowed = Annotated[int, _Between(1, MAX_ALLOWED)]
Whole = Annotated[int, _Between(0, 2**31 - 1)]
Seed = Annotated[int, _Between(0, 2**64 - 1)]
Times = Annotated[int, _Between(1, 1_000)]
Drift = Annotated[int, _Between(-100_000, 100_000)]
Share = Annotated[
    float,
    PlainValidator(_share),
    WithJsonSchema({"type": "number", "minimum": 0, "maximum": 1}),
]
START = datetime(2025, 1, 1, tzinfo=UTC)
