"""What a run came to: answers, mistakes, and exceptions of every unpleasant kind."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgjobs.rules.errors import InvalidResultError
from pgjobs.rules.job import Cancel, Discard, Retry, Snooze
from pgjobs.rules.lifecycle import Event
from pgjobs.rules.outcome import (
    COMPLETED,
    ERROR_TEXT_LIMIT,
    describe,
    raised,
    returned,
    stacktrace,
)


def caught(error: BaseException) -> BaseException:
    """The error as it is when it was raised and caught."""
    try:
        raise error
    except BaseException as found:
        return found


@pytest.mark.parametrize(
    "value",
    [None, 0, False, "", "ok", "error", {}, [], ("a", 1), (), ("okay",), (1, "ok"), object()],
)
def test_anything_but_a_result_means_completed(value: object):
    assert COMPLETED == returned(value)


@pytest.mark.parametrize("answer", [returned, raised])
@pytest.mark.parametrize(
    "result, event, error",
    [
        (Retry("later"), Event.FAIL, "later"),
        (Discard("never"), Event.DISCARD, "never"),
        (Cancel("no"), Event.CANCEL, "no"),
        (Retry(), Event.FAIL, ""),
        (Retry(ValueError("x")), Event.FAIL, "ValueError: x"),
    ],
)
def test_a_result_answers_alike_returned_or_raised(
    answer: Any, result: Any, event: Event, error: str
):
    found = answer(result)
    assert (event, error, False) == (found.event, found.error, found.raised)


@pytest.mark.parametrize("answer", [returned, raised])
def test_a_snooze_carries_its_seconds_and_no_error(answer: Any):
    found = answer(Snooze(90))
    assert (Event.SNOOZE, 90.0, None) == (found.event, found.snooze_s, found.error)


def test_the_exception_of_a_reason_is_kept_for_telemetry():
    cause = ValueError("x")
    assert cause is returned(Retry(cause)).exception
    result = Retry("text")
    assert result is returned(result).exception


async def forgotten() -> None:
    """Never awaited."""


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: ValueError("x"), "returned the exception ValueError instead of raising it"),
        (KeyboardInterrupt, "returned the exception KeyboardInterrupt"),
        (lambda: Snooze, r"returned the class Snooze; .*Snooze\(60\)"),
        (lambda: Discard, r"returned the class Discard; .*Discard\(reason\)"),
        (lambda: ValueError, "returned the class ValueError"),
        (lambda: ("error", "x"), r"returned the tuple \('error', \.\.\.\)"),
        (lambda: ("ok", 1), "as Elixir workers do"),
        (lambda: ("snooze", 60), "tuple"),
        (lambda: ("discard", "x"), "tuple"),
        (lambda: ("cancel", "x"), "tuple"),
        (lambda: ("ok",), "tuple"),
        (forgotten, "make the worker `async def`, and await it there"),
    ],
)
def test_a_mistake_fails_with_an_error_that_names_the_remedy(make: Any, message: str):
    found = returned(make())
    assert (Event.FAIL, False) == (found.event, found.raised)
    assert isinstance(found.exception, InvalidResultError)
    assert found.error is not None
    with pytest.raises(InvalidResultError, match=message):
        raise found.exception
    assert found.error.startswith("InvalidResultError: the worker returned")


@pytest.mark.parametrize(
    "error",
    [
        ValueError("x"),
        asyncio.CancelledError(),
        SystemExit(1),
        KeyboardInterrupt(),
        GeneratorExit(),
        BaseExceptionGroup("many", [ValueError("x"), SystemExit(2)]),
        StopIteration(1),
        RecursionError(),
    ],
)
def test_whatever_is_raised_is_a_failed_attempt(error: BaseException):
    found = raised(caught(error))
    assert (Event.FAIL, True) == (found.event, found.raised)
    assert error is found.exception
    assert found.error is not None
    assert found.error.startswith(type(error).__qualname__)


def test_the_text_of_an_error_is_its_summary_and_its_traceback():
    def inner() -> None:
        raise LookupError("deep")

    text = ""
    try:
        inner()
    except LookupError as error:
        text = describe(error)
    assert "LookupError: deep" == text.split("\n")[0]
    assert "in inner" in text
    assert text.rstrip().endswith("LookupError: deep")


def test_an_exception_without_a_message_is_named_by_its_type():
    assert "ValueError" == describe(ValueError())


def test_an_exception_that_was_never_raised_has_no_traceback():
    assert "" == stacktrace(ValueError("x"))


def unprintable(how: BaseException) -> BaseException:
    class UnprintableError(Exception):
        def __str__(self) -> str:
            raise how

        __repr__ = __str__

    return UnprintableError("never seen")


@pytest.mark.parametrize(
    "how", [RuntimeError("no"), SystemExit(3), asyncio.CancelledError(), RecursionError()]
)
def test_an_exception_that_cannot_be_printed_is_described_all_the_same(how: BaseException):
    found = raised(caught(unprintable(how)))
    assert Event.FAIL is found.event
    assert found.error is not None
    assert "UnprintableError: <its message could not be printed>" in found.error


def test_a_message_that_is_no_text_is_described_all_the_same():
    class OddError(Exception):
        def __str__(self) -> Any:
            return 5  # noqa: PLE0307 - on purpose

    assert "OddError: <its message could not be printed>" in describe(OddError())


@pytest.mark.parametrize("reason", ["a\x00b\ud800c", ValueError("a\x00b\ud800c")])
def test_what_jsonb_cannot_hold_is_escaped(reason: Any):
    assert r"a\x00b\ud800c" in describe(reason)


@given(st.text(max_size=50))
def test_every_text_of_an_error_can_be_stored(text: str):
    stored = describe(caught(ValueError(text)))
    assert "\x00" not in stored
    stored.encode()


@pytest.mark.parametrize("length", [ERROR_TEXT_LIMIT, ERROR_TEXT_LIMIT + 1, 10 * ERROR_TEXT_LIMIT])
def test_a_long_text_loses_its_middle(length: int):
    text = "a" * (length // 2) + "z" * (length - length // 2)
    found = describe(text)
    assert found.startswith("aaa")
    assert found.endswith("zzz")
    assert len(found) <= ERROR_TEXT_LIMIT + 50
    if length == ERROR_TEXT_LIMIT:
        assert text == found
    else:
        assert f"... {length - ERROR_TEXT_LIMIT} characters left out ..." in found


def test_an_endless_chain_of_calls_is_described_within_bounds():
    def forever() -> None:
        forever()

    found = None
    try:
        forever()
    except RecursionError as error:
        found = raised(error)
    assert found is not None
    assert found.error is not None
    assert found.error.startswith("RecursionError")
    assert len(found.error) <= ERROR_TEXT_LIMIT + 50
