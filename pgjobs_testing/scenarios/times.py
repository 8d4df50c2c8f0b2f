"""How a scenario writes durations, instants and schedules: each a type that says what it accepts."""

from __future__ import annotations

import re
import zoneinfo
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import PlainValidator, WithJsonSchema

from pgjobs.plugins import LEAST_INTERVAL_S
from pgjobs.rules import crontab
from pgjobs.rules.errors import ConfigurationError
from pgjobs.rules.schedule import instant, time_zone
from pgjobs_testing.scenarios.accepting import wrong
from pgjobs_testing.scenarios.mistakes import did_you_mean

END = "end"
START = datetime(2025, 1, 1, tzinfo=UTC)
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
A_DURATION = "a duration such as 250ms, 2s, 90s, 5m, 1h, 7d or 1h30m"
AN_INSTANT = f"{A_DURATION} after the start, or a date and time with its zone"


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


def _duration(value: object) -> timedelta:
    found = span(value)
    if found is None:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        raise wrong(A_DURATION, f"; give a unit, as in {value}s" if number else "")
    return found


def _positive(value: object) -> timedelta:
    found = _duration(value)
    if not found:
        raise wrong(f"{A_DURATION}, more than 0s")
    return found


def _interval(value: object) -> timedelta:
    found = _duration(value)
    if found < LEAST_INTERVAL:
        raise wrong(f"{A_DURATION}, at least 100ms")
    return found


def _signed(value: object) -> timedelta:
    behind = isinstance(value, str) and value.startswith("-")
    found = span(str(value)[1:] if behind else value)
    if found is None:
        raise wrong(f"{A_DURATION}, or one behind such as -5s")
    if found > FURTHEST:
        raise wrong(f"{A_DURATION}, or one behind such as -5s, up to {FURTHEST.days}d")
    return -found if behind else found


def _crontab(value: object) -> str:
    try:
        return str(crontab.parse(value))
    except ConfigurationError as error:
        raise wrong("a cron expression such as '0 * * * *'", f" ({error})") from None


def _zone(value: object) -> str:
    try:
        time_zone(value)
    except ConfigurationError:
        known = zoneinfo.available_timezones()
        raise wrong("an IANA time zone such as Europe/Berlin", did_you_mean(value, known)) from None
    return str(value)


def _instant(value: object) -> Instant:
    found = moment(value)
    if found is None:
        raise wrong(AN_INSTANT, _zone_hint(value))
    return found


def _date_time(value: object) -> datetime:
    found = moment(value)
    if not isinstance(found, datetime):
        accepted = "a date and time with its zone, such as 2025-01-01T00:00:00Z"
        raise wrong(accepted, _zone_hint(value))
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
        raise wrong(f"{AN_INSTANT}, or end", did_you_mean(value, [END]) or _zone_hint(value))
    return found


def _instant_or_nothing(value: object) -> Instant | None:
    return None if value is None else _instant(value)


def _horizon(value: object) -> timedelta | bool:
    return value if isinstance(value, bool) else _duration(value)


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
PeriodOrNone = Annotated[
    timedelta | None,
    PlainValidator(lambda value: None if value is None else _positive(value)),
    WithJsonSchema({"anyOf": [_POSITIVE_SCHEMA, {"type": "null"}]}),
]
