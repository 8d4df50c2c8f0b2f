"""What is not accepted is refused in the package's own words, wherever options are given.

Each call below that a type checker refuses has an ignore of that refusal: the checker, which reports an
ignore that it does not need, proves that the real signatures are still known to it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from pgjobs import (
    ConfigurationError,
    Cron,
    LeaderTasks,
    MemoryStore,
    PgJobs,
    Pruner,
    Queue,
    RateLimit,
    Stalled,
    Unique,
    backoff,
)
from pgjobs.adapters.postgres.store import PostgresStore
from pgjobs.rules.signatures import checks_options


def refused(call: Callable[[], object]) -> str:
    with pytest.raises(ConfigurationError) as caught:
        call()
    assert caught.value.__context__ is None or caught.value.__suppress_context__
    return str(caught.value)


def test_an_unknown_option_is_named_with_the_nearest_and_with_all() -> None:
    text = refused(lambda: Queue(concurency=1))  # type: ignore[call-arg]  # the mistake in question
    assert text == (
        "unknown option of Queue 'concurency': did you mean 'concurrency'? "
        "Queue takes concurrency, paused, global_concurrency, rate_limit"
    )


def test_an_option_that_is_like_no_other_is_named_with_all() -> None:
    text = refused(lambda: RateLimit(allowed=1, period=1, zzz=3))  # type: ignore[call-arg]  # the mistake
    assert text == "unknown option of RateLimit 'zzz': RateLimit takes allowed, period"


@pytest.mark.parametrize(
    "make, wrong, right",
    [
        (lambda: PgJobs("postgresql://x", queue={"a": 1}), "queue", "queues"),  # type: ignore[call-arg]  # the mistake
        (lambda: Unique(perod=3), "perod", "period"),  # type: ignore[call-arg]  # the mistake
        (lambda: Pruner(maxage=3), "maxage", "max_age"),  # type: ignore[call-arg]  # the mistake
        (lambda: Stalled(rescue=3), "rescue", "rescue_after"),  # type: ignore[call-arg]  # the mistake
        (lambda: Cron([], time_zone="UTC"), "time_zone", "timezone"),  # type: ignore[call-arg]  # the mistake
        (lambda: LeaderTasks([], timezon="UTC"), "timezon", "timezone"),  # type: ignore[call-arg]  # the mistake
        (lambda: RateLimit(allow=1, period=1), "allow", "allowed"),  # type: ignore[call-arg]  # the mistake
        (lambda: PostgresStore("postgresql://x", scema="a"), "scema", "schema"),  # type: ignore[call-arg]  # the mistake
        (lambda: MemoryStore(firstid=1), "firstid", "first_id"),  # type: ignore[call-arg]  # the mistake
        (lambda: backoff.guide(jiter=0.1), "jiter", "jitter"),  # type: ignore[call-arg]  # the mistake
        (lambda: backoff.constant(second=1), "second", "seconds"),  # type: ignore[call-arg]  # the mistake
        (lambda: backoff.linear(1, maxx=1), "maxx", "max"),  # type: ignore[call-arg]  # the mistake
        (lambda: backoff.exponential(fist=1), "fist", "first"),  # type: ignore[call-arg]  # the mistake
    ],
)
def test_every_place_that_takes_options_says_so(
    make: Callable[[], object], wrong: str, right: str
) -> None:
    text = refused(make)
    assert f"{wrong!r}: did you mean {right!r}?" in text


def test_values_without_a_name_are_counted() -> None:
    text = refused(lambda: PgJobs("postgresql://x", {"a": 1}))  # type: ignore[call-arg, arg-type]  # the mistake
    assert text.startswith(
        "PgJobs takes dsn without a name, and got 2 such: name the others, as in PgJobs(name=...). "
        "PgJobs takes dsn, name, node, queues, "
    )
    assert refused(lambda: backoff.guide(0.3)) == (  # type: ignore[call-arg]  # the mistake
        "guide takes nothing without a name, and got 1 such: name the others, as in "
        "guide(jitter=...). guide takes jitter, max"
    )
    assert refused(lambda: RateLimit(1, 2, 3)) == (  # type: ignore[call-arg]  # the mistake
        "RateLimit got 3 values, too many: RateLimit takes allowed, period"
    )


def test_what_is_missing_is_named() -> None:
    text = refused(lambda: RateLimit(5))  # type: ignore[call-arg]  # the mistake
    assert text == "RateLimit needs period: RateLimit takes allowed, period"


def test_what_is_given_twice_is_named() -> None:
    text = refused(lambda: RateLimit(5, 60, allowed=1))  # type: ignore[misc]  # the mistake
    assert text == "RateLimit got 'allowed' twice, with and without its name: give it once"


def test_a_type_error_from_inside_is_passed_on() -> None:
    @checks_options
    def broken(value: int) -> Any:
        raise TypeError("of its own")

    with pytest.raises(TypeError, match="of its own"):
        broken(1)


def test_the_signature_stays_what_it_is() -> None:
    assert [*inspect.signature(Queue).parameters] == [
        "concurrency",
        "paused",
        "global_concurrency",
        "rate_limit",
    ]
    assert backoff.linear.__name__ == "linear"
    assert replace(Queue(3), paused=True) == Queue(3, paused=True)
