"""When a job is due: durations and instants as users give them, and the first state of a job."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta, timezone, tzinfo

from pgjobs.rules.errors import ConfigurationError, closest, shown
from pgjobs.rules.job import JobState, NewJob, is_number

LAST_INSTANT = datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
"""Later instants do not exist: ``later`` stops here instead of overflowing."""

FIRST_INSTANT = datetime.min.replace(tzinfo=UTC) + timedelta(days=2)
"""No calculation goes further back; two days leave room for every time zone."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
_NOTHING = timedelta(0)
_PLAIN_S = 10**9
"""What most durations are given as: whole seconds, fewer than these. They need no further question."""


def duration(value: object, option: str, *, least_s: float = 0.0) -> timedelta:
    """A duration given as seconds or ``timedelta``; ``ConfigurationError`` names ``option``.

    Values below ``least_s`` seconds are refused; those beyond ``timedelta.max`` become it.
    """
    if type(value) is int and 0 <= value <= _PLAIN_S and least_s <= value:
        return timedelta(seconds=value)
    if isinstance(value, timedelta):
        span = value
    elif not is_number(value):
        raise ConfigurationError(f"{option} takes seconds or a timedelta, not {shown(value)}")
    else:
        try:
            span = timedelta(seconds=value)
        except OverflowError:
            span = timedelta.max if value > 0 else timedelta.min
    if span < (timedelta(seconds=least_s) if least_s else _NOTHING):
        raise ConfigurationError(f"{option} must be {least_s:g} s or more, not {shown(value)}")
    return span


def instant(value: object, option: str) -> datetime:
    """An aware datetime in UTC; ``ConfigurationError`` names ``option``."""
    if not isinstance(value, datetime):
        raise ConfigurationError(f"{option} takes an aware datetime, not {shown(value)}")
    if value.utcoffset() is None:
        raise ConfigurationError(
            f"{option} takes an aware datetime, and {shown(value)} has no time zone: "
            "add tzinfo=datetime.UTC, or the zone that it was meant in"
        )
    try:
        return value.astimezone(UTC)
    except OverflowError:
        return LAST_INSTANT if value.year > 1 else datetime.min.replace(tzinfo=UTC)


def later(now: datetime, span: timedelta | float) -> datetime:
    """``now + span`` (seconds or a timedelta), never past ``LAST_INSTANT`` and never before ``now``."""
    try:
        step = span if isinstance(span, timedelta) else timedelta(seconds=max(0.0, span))
        return now + step if step > _NOTHING else now
    except OverflowError:
        return LAST_INSTANT


def earlier(now: datetime, span: timedelta) -> datetime:
    """``now - span``, never before the first instant that there is."""
    try:
        return now - span
    except OverflowError:
        return FIRST_INSTANT


def micros(at: datetime) -> int:
    """Whole microseconds since ``EPOCH``."""
    return (at - EPOCH) // MICROSECOND


def from_micros(n: int) -> datetime:
    """The instant so many microseconds after ``EPOCH``; ``OverflowError`` where there is none."""
    return EPOCH + n * MICROSECOND


def due_at(new: NewJob, now: datetime) -> datetime:
    """When a new job falls due: at its instant, after its delay, or at once."""
    if new.scheduled_at is not None:
        return new.scheduled_at
    return now if new.schedule_in is None else later(now, new.schedule_in)


def first_state(scheduled_at: datetime, now: datetime) -> JobState:
    """A job due in the past, or just now, is available; any other is scheduled."""
    return JobState.AVAILABLE if scheduled_at <= now else JobState.SCHEDULED


def time_zone(zone: object) -> tzinfo:
    """A ``tzinfo`` as it is, or the IANA zone of that name."""
    if isinstance(zone, tzinfo):
        return zone
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

    like = None
    try:
        if isinstance(zone, str):
            return ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # a folder of zones is an OSError
        like = closest(str(zone), available_timezones())
    remedy = (
        "give an IANA name such as 'Europe/Berlin'" if like is None else f"did you mean {like!r}?"
    )
    raise ConfigurationError(f"no time zone {shown(zone)}: {remedy}")


def next_wall_time(wall: str, zone: tzinfo, now: datetime) -> datetime:
    """The first instant after ``now`` at which clocks in ``zone`` show ``wall`` ("HH:MM[:SS]").

    A wall time that a daylight-saving gap swallows counts as the first instant after the gap, and
    one that exists twice as its first occurrence.
    """
    try:
        hour, minute, *second = (int(part) for part in wall.split(":"))
        if len(second) > 1:
            raise ValueError
        clock = time(hour, minute, second[0] if second else 0)
    except (AttributeError, TypeError, ValueError):
        raise ConfigurationError(
            f"{shown(wall)} is no wall time: give hours and minutes as '06:30', or '06:30:15'"
        ) from None
    day = now.astimezone(zone).date()
    for ahead in range(-1, 4):
        local = datetime.combine(day + timedelta(days=ahead), clock)
        at = real_instant(local, zone)
        if at > now:
            return at
    raise AssertionError("a wall time comes once in four days in every time zone")


def real_instant(local: datetime, zone: tzinfo) -> datetime:
    """The UTC instant of a naive wall time: its first occurrence, or the end of the gap it is in."""
    at = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if at.astimezone(zone).replace(tzinfo=None) == local:
        return at
    local = local.replace(microsecond=0)  # offsets change at whole seconds
    before = local.replace(tzinfo=zone, fold=0).utcoffset()
    after = local.replace(tzinfo=zone, fold=1).utcoffset()
    assert before is not None and after is not None
    low = local.replace(tzinfo=timezone(max(before, after))).astimezone(UTC)
    high = local.replace(tzinfo=timezone(min(before, after))).astimezone(UTC)
    while high - low > timedelta(seconds=1):  # bisect to the second at which the offset changes
        middle = (low + (high - low) / 2).replace(microsecond=0)
        if middle.astimezone(zone).utcoffset() == low.astimezone(zone).utcoffset():
            low = middle
        else:
            high = middle
    return high
