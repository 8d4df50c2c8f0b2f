"""What a run came to: a worker's answer, or its exception, as one value to settle by."""

from __future__ import annotations

import inspect
import traceback

from pgjobs.rules.errors import InvalidResultError, RemoteError
from pgjobs.rules.job import Cancel, Discard, Result, Retry, Snooze
from pgjobs.rules.jsonb import storable_text
from pgjobs.rules.lifecycle import Event, Outcome

ERROR_TEXT_LIMIT = 8_000
"""Characters of an error that are stored; the middle of a longer text is left out."""

_GUIDE_TAGS = frozenset({"ok", "error", "discard", "snooze", "cancel"})


COMPLETED = Outcome(Event.COMPLETE)


def returned(value: object) -> Outcome:
    """The outcome of a run that returned ``value``: anything but a result means it is done."""
    if value is None:
        return COMPLETED
    if isinstance(value, Result):
        return _answered(value)
    mistake = _mistake(value)
    return failed(InvalidResultError(mistake)) if mistake else COMPLETED


def raised(error: BaseException) -> Outcome:
    """The outcome of a run that raised: a raised result is an answer, all else is a failure."""
    if isinstance(error, Result):
        return _answered(error)
    trace = error.__traceback__
    if trace is not None and trace.tb_next is not None:
        error.__traceback__ = trace.tb_next  # the first frame is the engine's own
    return failed(error, raised=True)


def failed(error: BaseException, *, raised: bool = False) -> Outcome:
    """A failed attempt, with the exception's summary and traceback as its text."""
    trace = stacktrace(error)
    return Outcome(
        Event.FAIL, _described(error, trace), exception=error, raised=raised, stacktrace=trace
    )


def describe(reason: str | BaseException) -> str:
    """The text that is stored for a reason: an exception's type and message come first."""
    if isinstance(reason, str):
        return bounded(storable_text(reason))
    return _described(reason, stacktrace(reason))


def _described(error: BaseException, trace: str) -> str:
    first = summary(error)
    return bounded(storable_text(f"{first}\n\n{trace}" if trace else first))


def summary(error: BaseException) -> str:
    """An exception's type and message."""
    try:
        return f"{type(error).__qualname__}: {error}".removesuffix(": ")
    except BaseException:  # it comes from a worker's own __str__, and must not end the engine
        return f"{type(error).__qualname__}: <its message could not be printed>"


def stacktrace(error: BaseException) -> str:
    """The traceback of an exception as text, or an empty string when it was never raised."""
    if isinstance(error, RemoteError):
        return error.stacktrace
    if error.__traceback__ is None:
        return ""
    try:
        return "".join(traceback.format_exception(type(error), error, error.__traceback__))
    except BaseException:  # as above
        return "".join(traceback.format_tb(error.__traceback__))


def _answered(result: Result) -> Outcome:
    if isinstance(result, Snooze):
        return Outcome(Event.SNOOZE, snooze_s=result.seconds)
    events = {Retry: Event.FAIL, Discard: Event.DISCARD, Cancel: Event.CANCEL}
    for kind, event in events.items():
        if isinstance(result, kind):
            cause = result.reason if isinstance(result.reason, BaseException) else result
            return Outcome(event, describe(result.reason), exception=cause)
    raise AssertionError(f"a result without an event: {result!r}")


def _mistake(value: object) -> str | None:
    """Why ``value`` is no answer, or None when it is one."""
    if isinstance(value, BaseException):
        return (
            f"the worker returned the exception {type(value).__qualname__} instead of raising it; "
            "raise it, or return Retry(error)"
        )
    if isinstance(value, type) and issubclass(value, Result | BaseException):
        return (
            f"the worker returned the class {value.__qualname__}; return an instance of it, "
            f"as in {'Snooze(60)' if value is Snooze else value.__qualname__ + '(reason)'}"
        )
    if isinstance(value, tuple) and value and isinstance(value[0], str) and value[0] in _GUIDE_TAGS:
        return (
            f"the worker returned the tuple ({value[0]!r}, ...), as Elixir workers do; "
            "return None, or Retry, Discard, Snooze or Cancel"
        )
    if inspect.isgenerator(value) or inspect.isasyncgen(value):
        return "the worker is a generator function, which only makes a generator: remove its yield"
    if inspect.iscoroutine(value):
        value.close()
        return (
            f"the worker returned a coroutine that nobody awaited ({value.__qualname__}); make the "
            "worker `async def`, and await it there"
        )
    return None


def bounded(text: str) -> str:
    """A text as it is stored: without its middle where it is too long."""
    if len(text) <= ERROR_TEXT_LIMIT:
        return text
    half = ERROR_TEXT_LIMIT // 2
    left_out = len(text) - 2 * half
    return f"{text[:half]}\n... {left_out} characters left out ...\n{text[-half:]}"
