"""The assertions of a test, as it calls them; what each asserts is decided beside this file.

Each has an ``_async`` twin, which reads the store without blocking the running loop and asserts the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, Unpack

from pgjobs.app import PgJobs
from pgjobs.effects import Find
from pgjobs.rules.job import Job
from pgjobs.rules.selection import Selection
from pgjobs_testing.asserting.blocks import ExpectedAsync, ExpectedHere
from pgjobs_testing.asserting.enqueued import Enqueued
from pgjobs_testing.asserting.events import Seen
from pgjobs_testing.asserting.filters import JobFilters, RunFilters
from pgjobs_testing.asserting.order import in_order
from pgjobs_testing.asserting.performed import Performed
from pgjobs_testing.asserting.scene import Scene
from pgjobs_testing.trace import Event


class Assertions(PgJobs):
    """A ``PgJobs`` whose jobs a test can make assertions about.

    Each fails with an ``AssertionError`` that shows the nearest jobs field by field, and refuses with
    ``ConfigurationError`` what no job could answer: an unknown filter, a value that none can have.
    """

    def _scene(self) -> Scene:
        """What is looked at: the stored jobs, what happened, and what is known around it."""
        raise NotImplementedError

    async def _scene_async(self) -> Scene:
        """The same, with the jobs read without blocking the running loop."""
        scene = self._scene()
        stored = await self.runtime().store.run_async(Find(Selection()))
        return replace(scene, jobs=lambda: stored)

    # Waiting to run

    def assert_enqueued(
        self,
        *,
        count: int | None = None,
        at_least: int | None = None,
        delta: float | timedelta = 1,
        **filters: Unpack[JobFilters],
    ) -> Job:
        """A job that matches waits to run (``available``, ``scheduled`` or ``retryable``); return it.

        Filters: ``worker`` (object or name), ``queue``, ``args`` and ``meta`` (contained, at any
        depth; lists element by element), ``tags`` (has these), ``priority``, ``scheduled_at`` and
        ``scheduled_in`` (from now; within ``delta``), ``max_attempts``, ``attempt``, ``id``, and ``state``
        (one or a list, instead of waiting). Each takes ``ANY``, a type or a function of the value too,
        and so does every value inside args and meta.
        ``count`` asks for exactly so many, ``at_least`` for so many or more.
        """
        __tracebackhide__ = True
        return Enqueued(filters, delta, self._scene()).some(count, at_least)

    async def assert_enqueued_async(
        self,
        *,
        count: int | None = None,
        at_least: int | None = None,
        delta: float | timedelta = 1,
        **filters: Unpack[JobFilters],
    ) -> Job:
        """``assert_enqueued`` without blocking the running loop."""
        __tracebackhide__ = True
        return Enqueued(filters, delta, await self._scene_async()).some(count, at_least)

    def refute_enqueued(
        self, *, delta: float | timedelta = 1, **filters: Unpack[JobFilters]
    ) -> None:
        """No job that matches waits to run; the filters are those of ``assert_enqueued``."""
        __tracebackhide__ = True
        Enqueued(filters, delta, self._scene()).none()

    async def refute_enqueued_async(
        self, *, delta: float | timedelta = 1, **filters: Unpack[JobFilters]
    ) -> None:
        """``refute_enqueued`` without blocking the running loop."""
        __tracebackhide__ = True
        Enqueued(filters, delta, await self._scene_async()).none()

    def all_enqueued(
        self, *, delta: float | timedelta = 1, **filters: Unpack[JobFilters]
    ) -> list[Job]:
        """The jobs that match and wait to run, by id."""
        __tracebackhide__ = True
        return Enqueued(filters, delta, self._scene()).every()

    async def all_enqueued_async(
        self, *, delta: float | timedelta = 1, **filters: Unpack[JobFilters]
    ) -> list[Job]:
        """``all_enqueued`` without blocking the running loop."""
        __tracebackhide__ = True
        return Enqueued(filters, delta, await self._scene_async()).every()

    def expect_enqueued(
        self,
        *,
        count: int | None = None,
        at_least: int | None = None,
        delta: float | timedelta = 1,
        **filters: Unpack[JobFilters],
    ) -> ExpectedHere:
        """``with jobs.expect_enqueued(...) as expected:`` the block inserts a job that matches.

        Filters and counts are those of ``assert_enqueued``, and ``count=0`` expects none. Only what
        was inserted inside the block counts, in whichever thread, each job as it was inserted;
        ``scheduled_in`` counts from its insert. After the block ``expected.job`` and ``expected.jobs``
        are what matched. What the block raises passes as it is.
        """
        return ExpectedHere(self._scene, filters, delta, count, at_least)

    def expect_enqueued_async(
        self,
        *,
        count: int | None = None,
        at_least: int | None = None,
        delta: float | timedelta = 1,
        **filters: Unpack[JobFilters],
    ) -> ExpectedAsync:
        """``async with``: ``expect_enqueued`` without blocking the running loop."""
        return ExpectedAsync(self._scene, filters, delta, count, at_least, self._scene_async)

    # Having run

    def assert_performed(
        self,
        *,
        count: int | None = None,
        at_least: int | None = None,
        **filters: Unpack[RunFilters],
    ) -> Job:
        """A job that matches has run, to an end; return it as that run left it.

        Filters: those of a job, ``state`` (in which the run left it), ``attempt`` (its number, as the
        worker saw it) and ``error`` (a text that it contains, a type of exception, or None for no error).
        Each run counts: a job that failed twice and then completed has run three times.
        """
        __tracebackhide__ = True
        return Performed(filters, self._scene()).some(count, at_least)

    async def assert_performed_async(
        self,
        *,
        count: int | None = None,
        at_least: int | None = None,
        **filters: Unpack[RunFilters],
    ) -> Job:
        """``assert_performed`` without blocking the running loop."""
        __tracebackhide__ = True
        return Performed(filters, await self._scene_async()).some(count, at_least)

    def refute_performed(self, **filters: Unpack[RunFilters]) -> None:
        """No job that matches has run; the filters are those of ``assert_performed``."""
        __tracebackhide__ = True
        Performed(filters, self._scene()).none()

    async def refute_performed_async(self, **filters: Unpack[RunFilters]) -> None:
        """``refute_performed`` without blocking the running loop."""
        __tracebackhide__ = True
        Performed(filters, await self._scene_async()).none()

    def assert_order(self, order: Sequence[object]) -> list[Job]:
        """These jobs ran, or would run, in this order; return them.

        Each is a ``Job``, a worker (object or name) or a dict of filters; others may stand between. What
        has started comes first, in the order of the starts, then what waits: due jobs by priority,
        ``scheduled_at`` and id, as in a queue, later ones by their instant.
        """
        __tracebackhide__ = True
        return in_order(order, self._scene())

    async def assert_order_async(self, order: Sequence[object]) -> list[Job]:
        """``assert_order`` without blocking the running loop."""
        __tracebackhide__ = True
        return in_order(order, await self._scene_async())

    # Having happened

    def assert_event(
        self,
        event: str,
        /,
        *,
        times: int | None = None,
        at_least: int | None = None,
        **details: Any,
    ) -> Event:
        """A telemetry event of this name happened with these details; return it.

        Details are what the event tells (see the reference of telemetry): metadata such as ``worker``,
        ``queue``, ``attempt``, ``state``, ``error`` (contained) and ``node``, measurements such as
        ``duration`` and ``queue_time`` (seconds), and of an event with a job its ``args``, ``meta``, ``tags``
        and more. ``times`` asks for exactly so many events, ``at_least`` for so many or more.
        """
        __tracebackhide__ = True
        return Seen(event, details, self._scene()).some(times, at_least)

    async def assert_event_async(
        self,
        event: str,
        /,
        *,
        times: int | None = None,
        at_least: int | None = None,
        **details: Any,
    ) -> Event:
        """``assert_event``, for tests that await every call."""
        __tracebackhide__ = True
        return Seen(event, details, self._scene()).some(times, at_least)

    def refute_event(self, event: str, /, **details: Any) -> None:
        """No telemetry event of this name happened with these details."""
        __tracebackhide__ = True
        Seen(event, details, self._scene()).none()

    async def refute_event_async(self, event: str, /, **details: Any) -> None:
        """``refute_event`` without blocking the running loop."""
        __tracebackhide__ = True
        Seen(event, details, await self._scene_async()).none()
