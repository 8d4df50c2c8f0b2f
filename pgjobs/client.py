"""What a client does, as programs: generators that yield effects and are sent their answers.

Each program is driven by a blocking call or by its ``_async`` twin; what it does is written once.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from pgjobs import effects
from pgjobs.effects import Effect
from pgjobs.rules import lifecycle, options, ratelimit, selection
from pgjobs.rules.control import EVERY_QUEUE, Control, effective
from pgjobs.rules.errors import (
    ConfigurationError,
    InvalidJobError,
    JobNotFoundError,
    reject_unknown,
    shown,
)
from pgjobs.rules.job import COLUMNS, Job, JobState, NewJob
from pgjobs.rules.newjobs import insertable
from pgjobs.rules.options import Queue, RateLimit
from pgjobs.rules.ratelimit import Window
from pgjobs.rules.schedule import LAST_INSTANT, duration, instant, later
from pgjobs.rules.selection import OneOf, Selection
from pgjobs.telemetry import Telemetry
from pgjobs.worker import Worker, worker_name

if TYPE_CHECKING:
    from pgjobs.gathering import Surroundings
    from pgjobs.ports import Clock, Store
    from pgjobs.rules.explaining import Explanation

T = TypeVar("T")
Program = Generator[Effect[Any], Any, T]

BATCH = 1_000
"""Jobs that one effect of ``cancel_all_jobs`` and its kin changes; more are changed by more effects."""
LOOK = 250_000
"""Jobs that are looked for at once to be changed so, by id; 10 MB. More take another look behind them."""
INSERTED = ("pgjobs.job.insert", "pgjobs.job.conflict", "pgjobs.job.replace")
"""What an insert may tell of each job."""
COUNT_BY = ("state", "queue", "worker")
ORDERS = tuple(name for name in COLUMNS if name not in ("args", "meta", "tags", "errors"))


def drive(store: Store, program: Program[T], connection: object = None) -> T:
    """Run a program to its end, blocking; within the transaction of the caller's ``connection``."""
    try:
        effect = next(program)
        while True:
            if connection is None:
                answer = store.run(effect)
            else:
                answer = store.run_within(effect, connection)
            effect = program.send(answer)
    except StopIteration as stop:
        result: T = stop.value
        return result


async def drive_async(store: Store, program: Program[T], connection: object = None) -> T:
    """The same on the running event loop."""
    try:
        effect = next(program)
        while True:
            if connection is None:
                answer = await store.run_async(effect)
            else:
                answer = await store.run_within_async(effect, connection)
            effect = program.send(answer)
    except StopIteration as stop:
        result: T = stop.value
        return result


@dataclass(frozen=True, slots=True)
class WindowStatus:
    """A rate limit in use: ``used`` of ``allowed`` starts lie within the ``period`` that ends now.

    ``opens_at`` is when a job may start next, None where one may now.
    """

    allowed: int
    period: timedelta
    used: int
    opens_at: datetime | None


@dataclass(frozen=True, slots=True)
class QueueStatus:
    """What one queue looks like: as configured and set by hand, and what is in it.

    ``running`` counts executing jobs on all nodes, ``available`` those that wait to start.
    """

    queue: str
    concurrency: int
    paused: bool
    running: int
    available: int
    global_concurrency: int | None = None
    rate_limit: RateLimit | None = None
    window: WindowStatus | None = None


@dataclass(eq=False, slots=True)
class Client:
    """The programs of one instance."""

    clock: Clock
    telemetry: Telemetry
    queues: Mapping[str, Queue]

    def insert(self, job: object) -> Program[Job]:
        new = _checked(job)
        stored: list[Job] = yield effects.Insert((new,), self.clock.now())
        row = stored[0]
        self._tell(row.came_of, row, new=new)
        return row

    def insert_all(self, jobs: Iterable[object]) -> Program[list[Job]]:
        if not isinstance(jobs, Iterable):
            raise InvalidJobError(
                f"insert_all takes many of what worker.new(...) makes, not {shown(jobs)}"
            )
        new = tuple(map(_checked, jobs))
        if not new:
            return []
        stored: list[Job] = yield effects.Insert(new, self.clock.now())
        self._tell_inserted(stored, new)
        return stored

    def _tell_inserted(self, stored: list[Job], new: tuple[NewJob, ...]) -> None:
        if any(map(self.telemetry.wanted, INSERTED)):  # of thousands, and mostly nobody listens
            for job, asked in zip(stored, new, strict=True):
                self._tell(job.came_of, job, new=asked)

    def get(self, job: object) -> Program[Job]:
        found = yield effects.Find(selection.by_id(_id(job)), limit=1)
        if not found:
            raise JobNotFoundError(f"no job has the id {_id(job)}: it was deleted, or never stored")
        result: Job = found[0]
        return result

    def find(
        self, limit: int | None, order_by: str, after: object, filters: Mapping[str, Any]
    ) -> Program[list[Job]]:
        chosen = filtered(filters)
        if limit is not None:
            options.whole(limit, "limit", 0, 2**63 - 1)
        reject_unknown((str(order_by).removeprefix("-"),), ORDERS, "column to order by")
        behind = None if after is None else (yield from self._reference(after))
        found: list[Job] = yield effects.Find(chosen, order_by, limit, behind)
        return found

    def count(self, by: str | None, filters: Mapping[str, Any]) -> Program[Any]:
        chosen = filtered(filters)
        if by is not None:
            reject_unknown((by,), COUNT_BY, "column to count by")
        counts: dict[str, int] = yield effects.Count(chosen, by)
        return counts.get("", 0) if by is None else counts

    def cancel(self, job: object) -> Program[Job]:
        return (yield from self._change_one(job, lifecycle.cancel(self.clock.now())))

    def retry(self, job: object) -> Program[Job]:
        return (yield from self._change_one(job, lifecycle.retry(self.clock.now())))

    def delete(self, job: object) -> Program[Job]:
        deleted = yield effects.Delete(selection.by_id(_id(job)), 1)
        if not deleted:
            raise JobNotFoundError(f"no job has the id {_id(job)}: it was deleted, or never stored")
        self._tell("delete", deleted[0])
        result: Job = deleted[0]
        return result

    def cancel_all(self, filters: Mapping[str, Any]) -> Program[int]:
        return (yield from self._change_all(filters, lifecycle.cancel(self.clock.now())))

    def retry_all(self, filters: Mapping[str, Any]) -> Program[int]:
        return (yield from self._change_all(filters, lifecycle.retry(self.clock.now())))

    def delete_all(self, filters: Mapping[str, Any]) -> Program[int]:
        chosen = filtered(filters)
        return (yield from self._all(chosen, lambda page: effects.Delete(page, BATCH), "delete"))

    def pause(self, queue: str) -> Program[None]:
        control = Control(paused=True, paused_over=self._configured(queue).paused)
        yield from self._set(queue, control, "pause")

    def resume(self, queue: str) -> Program[None]:
        control = Control(paused=False, paused_over=self._configured(queue).paused)
        yield from self._set(queue, control, "resume")

    def scale(self, queue: str, concurrency: int) -> Program[None]:
        options.whole(concurrency, "the concurrency of a queue", 1, options.MAX_CONCURRENCY)
        over = self._configured(queue).concurrency
        control = Control(concurrency=concurrency, concurrency_over=over)
        yield from self._set(queue, control, "scale")

    def pause_all(self) -> Program[None]:
        yield from self._set(EVERY_QUEUE, Control(paused=True), "pause")

    def resume_all(self) -> Program[None]:
        yield from self._set(EVERY_QUEUE, Control(paused=False), "resume")

    def reset(self, queue: str) -> Program[None]:
        options.queue_name(queue, "a queue's name")
        yield effects.ResetControl(queue, self.clock.now())
        controls: Mapping[str, Control] = yield effects.Controls()
        if controls.get(EVERY_QUEUE, Control()).paused is not None:  # not for this one any more
            over = self.queues[queue].paused if queue in self.queues else None
            control = Control(paused=bool(over), paused_over=over)
            yield effects.SetControl(queue, control, self.clock.now())
        self.telemetry.emit("pgjobs.queue.reset", {}, {"queue": queue})

    def check(self, queue: str) -> Program[QueueStatus]:
        options.queue_name(queue, "a queue's name")
        controls = yield effects.Controls()
        served = effective(queue, self.queues.get(queue, Queue()), controls)
        states = (JobState.AVAILABLE, JobState.EXECUTING)
        chosen = Selection((OneOf("state", states), OneOf("queue", (queue,))))
        counts = yield effects.Count(chosen, "state")
        limit, window = served.rate_limit, None
        if limit is not None:
            windows: Mapping[str, Window] = yield effects.Windows()
            window = window_status(limit, windows.get(queue, ()), self.clock.now())
        return QueueStatus(
            queue,
            served.concurrency,
            served.paused,
            counts.get(JobState.EXECUTING, 0),
            counts.get(JobState.AVAILABLE, 0),
            served.global_concurrency,
            limit,
            window,
        )

    def explain(self, job: object, around: Surroundings) -> Program[Explanation]:
        from pgjobs import gathering
        from pgjobs.rules import explaining

        stood_in = isinstance(job, Job) and job.conflict and not job.replaced
        found = yield from gathering.facts(_id(job), stood_in, around, self.clock)
        return explaining.explain(found)

    def _reference(self, after: object) -> Program[Job]:
        return after if isinstance(after, Job) else (yield from self.get(after))

    def _change_one(self, job: object, change: lifecycle.Change) -> Program[Job]:
        """Change one job where its state allows; where it does not, the job comes back as it is."""
        changed = yield effects.Transition(selection.by_id(_id(job)), change, 1)
        if not changed:
            return (yield from self.get(job))
        self._tell(change.event, changed[0])
        result: Job = changed[0]
        return result

    def _change_all(self, filters: Mapping[str, Any], change: lifecycle.Change) -> Program[int]:
        chosen = filtered(filters).leaving(change.event)
        return (
            yield from self._all(
                chosen, lambda page: effects.Transition(page, change, BATCH), change.event
            )
        )

    def _all(
        self, chosen: Selection, step: Callable[[Selection], Effect[list[Job]]], event: str
    ) -> Program[int]:
        """Change what is there now, each job once: their ids are read, and then changed by pages.

        A page changes those of its jobs that are still of the selection, and looks past no other.
        """
        count, last = 0, None
        while True:
            ids: list[int] = yield effects.FindIds(chosen, LOOK, last)
            for start in range(0, len(ids), BATCH):
                changed: list[Job] = yield step(chosen.named(ids[start : start + BATCH]))
                for job in changed:
                    self._tell(event, job)
                count += len(changed)
            if len(ids) < LOOK:
                return count
            last = ids[-1]

    def _configured(self, queue: str) -> Queue:
        options.queue_name(queue, "a queue's name")
        return self.queues.get(queue, Queue())

    def _set(self, queue: str, control: Control, event: str) -> Program[None]:
        if queue != EVERY_QUEUE and queue not in self.queues:
            control = Control(paused=control.paused, concurrency=control.concurrency)
        yield effects.SetControl(queue, control, self.clock.now())
        metadata = {"queue": queue, "concurrency": control.concurrency}
        self.telemetry.emit(f"pgjobs.queue.{event}", {}, metadata)

    def _tell(self, event: str, job: Job, **more: object) -> None:
        name = f"pgjobs.job.{event}"
        if self.telemetry.wanted(name):
            metadata = {"job": job, "worker": job.worker, "queue": job.queue, **more}
            self.telemetry.emit(name, {}, metadata)


def window_status(limit: RateLimit, window: Window, now: datetime) -> WindowStatus:
    """How a rate limit stands at ``now``."""
    return WindowStatus(
        limit.allowed,
        limit.period,
        ratelimit.used(limit, window, now),
        ratelimit.opens_at(limit, window, now),
    )


def filtered(filters: Mapping[str, Any]) -> Selection:
    """A selection from the keyword filters of a client's call; workers by object or name."""
    given = dict(filters)
    if "worker" in given:
        named = given["worker"]
        listed = isinstance(named, list | tuple | set | frozenset)
        given["worker"] = [worker_name(each) for each in named] if listed else worker_name(named)
    return selection.filtered(given)


def horizon(with_scheduled: object, now: datetime) -> datetime:
    """Until when scheduled jobs count as due in a drain."""
    if with_scheduled is True:
        return LAST_INSTANT
    if with_scheduled is False:
        return now
    if isinstance(with_scheduled, timedelta):
        return later(now, duration(with_scheduled, "with_scheduled"))
    if not isinstance(with_scheduled, datetime):
        raise ConfigurationError(
            "with_scheduled takes True, False, an aware datetime or a timedelta, not "
            f"{shown(with_scheduled)}"
        )
    return instant(with_scheduled, "with_scheduled")


def _checked(job: object) -> NewJob:
    if isinstance(job, NewJob):
        return insertable(job)
    if isinstance(job, Job):
        raise InvalidJobError(
            f"job {job.id} is stored already: insert what worker.new(...) makes, or retry_job it"
        )
    if isinstance(job, Worker):
        raise InvalidJobError(
            f"insert takes what worker.new(...) makes, not the worker {job.name} itself: give what its "
            "new({...}) makes"
        )
    if isinstance(job, list | tuple | Iterator):
        raise InvalidJobError(f"insert takes one job, not {shown(job)}: insert_all takes many")
    raise InvalidJobError(f"insert takes what worker.new(...) makes, not {shown(job)}")


def _id(job: object) -> int:
    value = job.id if isinstance(job, Job) else job
    if isinstance(value, bool) or not isinstance(value, int):
        raise ConfigurationError(f"a job is given as a Job or by its id, not as {shown(job)}")
    return value
