"""What a test asserts of jobs: that one which matches waits to run, or that none does.

``matching`` holds one job against an expectation; here it is decided what an assertion makes of all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from pgjobs.app import PgJobs
from pgjobs.effects import Find
from pgjobs.rules import options
from pgjobs.rules.errors import ConfigurationError
from pgjobs.rules.job import Job
from pgjobs.rules.selection import Selection
from pgjobs_testing import matching
from pgjobs_testing.clock import VirtualClock
from pgjobs_testing.matching import Compared, Expectation


class Assertions(PgJobs):
    """A ``PgJobs`` whose jobs a test can make assertions about; each fails with ``AssertionError``."""

    @property
    def clock(self) -> VirtualClock:
        """The clock of the test."""
        raise NotImplementedError

    def assert_enqueued(
        self,
        *,
        count: int | None = None,
        at_least: int | None = None,
        delta: float | timedelta = 1,
        **filters: Any,
    ) -> Job:
        """A job that matches waits to run (``available``, ``scheduled`` or ``retryable``); return it.

        Filters: ``worker`` (object or name), ``queue``, ``args`` and ``meta`` (contained, at any
        depth), ``tags`` (has these), ``priority``, ``state``, ``scheduled_at``, ``scheduled_in``
        (within ``delta``), ``max_attempts``, ``attempt``, ``id``. ``ANY`` and callables match inside.
        ``count`` asks for exactly so many, ``at_least`` for so many or more.
        """
        __tracebackhide__ = True
        expected, compared = self._compared(filters, delta, self._stored())
        self._saw(each.job for each in compared if each.matched)
        return _assert_found(expected, compared, count, at_least)

    async def assert_enqueued_async(
        self,
        *,
        count: int | None = None,
        at_least: int | None = None,
        delta: float | timedelta = 1,
        **filters: Any,
    ) -> Job:
        """``assert_enqueued`` without blocking the running loop."""
        __tracebackhide__ = True
        expected, compared = self._compared(filters, delta, await self._stored_async())
        self._saw(each.job for each in compared if each.matched)
        return _assert_found(expected, compared, count, at_least)

    def refute_enqueued(self, *, delta: float | timedelta = 1, **filters: Any) -> None:
        """No job that matches waits to run."""
        __tracebackhide__ = True
        _assert_none(*self._compared(filters, delta, self._stored()))

    async def refute_enqueued_async(self, *, delta: float | timedelta = 1, **filters: Any) -> None:
        """``refute_enqueued`` without blocking the running loop."""
        __tracebackhide__ = True
        _assert_none(*self._compared(filters, delta, await self._stored_async()))

    def all_enqueued(self, *, delta: float | timedelta = 1, **filters: Any) -> list[Job]:
        """The jobs that match and wait to run, by id."""
        _, compared = self._compared(filters, delta, self._stored())
        found = [each.job for each in compared if each.matched]
        self._saw(found)
        return found

    async def all_enqueued_async(
        self, *, delta: float | timedelta = 1, **filters: Any
    ) -> list[Job]:
        """``all_enqueued`` without blocking the running loop."""
        _, compared = self._compared(filters, delta, await self._stored_async())
        found = [each.job for each in compared if each.matched]
        self._saw(found)
        return found

    def _stored(self) -> list[Job]:
        """Every job; that an assertion reads it is no look of the test's at it."""
        return self.runtime().store.run(Find(Selection()))

    async def _stored_async(self) -> list[Job]:
        return await self.runtime().store.run_async(Find(Selection()))

    def _saw(self, jobs: Iterable[Job]) -> None:
        """An assertion of the test matched these jobs."""
        raise NotImplementedError

    def _compared(
        self, filters: Mapping[str, Any], delta: float | timedelta, jobs: list[Job]
    ) -> tuple[Expectation, list[Compared]]:
        expected = Expectation(filters, delta, self.clock.now())
        return expected, [expected.compare(job) for job in jobs]


def _assert_found(
    expected: Expectation, compared: list[Compared], count: int | None, at_least: int | None
) -> Job:
    __tracebackhide__ = True
    if count is not None and at_least is not None:
        raise ConfigurationError("give count or at_least, not both")
    if count is not None:
        options.whole(count, "count", 0, 2**63 - 1)
    if count == 0:
        raise ConfigurationError("count=0 is what refute_enqueued asserts: use that")
    if at_least is not None:
        options.whole(at_least, "at_least", 1, 2**63 - 1)
    found = [each.job for each in compared if each.matched]
    if count is not None and len(found) != count:
        headline = f"expected {count} enqueued job(s) that match, found {len(found)}"
    elif len(found) < (at_least or 1):
        wanted = "a job" if at_least is None else f"{at_least} jobs or more"
        verb = "matches" if at_least is None else "match"
        headline = f"expected {wanted} to be enqueued that {verb}, found {len(found)}"
    else:
        return found[0]
    raise AssertionError(matching.failure(expected, compared, headline))


def _assert_none(expected: Expectation, compared: list[Compared]) -> None:
    __tracebackhide__ = True
    found = [each for each in compared if each.matched]
    if found:
        headline = f"expected no enqueued job that matches, found {len(found)}"
        raise AssertionError(matching.failure(expected, found, headline))
