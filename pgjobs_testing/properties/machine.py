"""``JobsMachine``: any order of inserts, time, operators' hands and drains, held to the model.

It drives the real engine through the harness, and judges it by one invariant: everything that happened was
lawful, nothing was left undone, and every stored job is as it ought to be. A project subclasses it with
its own workers::

    class ShopMachine(JobsMachine):
        workers = {send_invoice: st.fixed_dictionaries({"id": st.integers(1, 3)})}
        queues = {"default": 2, "mail": 1}

    TestShop = ShopMachine.TestCase
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, ClassVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
)
from hypothesis.stateful import MultipleResults as Many

from pgjobs import JobNotFoundError, JobState, LivelockError, NewJob, Queue, Worker
from pgjobs.adapters.local import LocalStore
from pgjobs.rules.errors import ConfigurationError
from pgjobs.rules.schedule import duration
from pgjobs.worker import REGISTRY
from pgjobs_testing import capture, session
from pgjobs_testing.fixture import Harness, harness
from pgjobs_testing.properties import facts
from pgjobs_testing.properties.given import check_attributes, check_queues, check_workers
from pgjobs_testing.properties.instants import START, beside, spans
from pgjobs_testing.properties.model import Model, ModelError
from pgjobs_testing.properties.options import job_options, new_jobs
from pgjobs_testing.properties.scripted import WORDS, scripted, scripted_async
from pgjobs_testing.properties.watching import Watching
from pgjobs_testing.stores import MemorySource, StoreSource

REPLACED = ("args", "max_attempts", "meta", "priority", "queue", "scheduled_at", "tags")
MOST_ATTEMPTS = 20
"""A drain tries a job as often as it may, at one instant: more would be slow, and show nothing more."""
SHOWN = 30
"""Lines of the timeline that a failure shows."""

_script = st.lists(st.sampled_from(WORDS), min_size=1, max_size=4)
_of_few = {"script": _script, "k": st.integers(1, 2)}
SCRIPTED: Mapping[Worker[..., Any], st.SearchStrategy[Any]] = {
    scripted: st.fixed_dictionaries(_of_few),
    scripted_async: st.fixed_dictionaries(
        {**_of_few, "takes": st.sampled_from([0, 1, 9.5, 10, 11])}
    ),
}
"""Workers that end as their args say: of a machine that names none."""


class _TestCase:
    """``TestCase`` with settings that neither flake nor hide: see ``chosen_settings``."""

    def __get__(self, machine: object, kind: Any) -> Any:
        made = kind._to_test_case()
        if not hasattr(made, "pgjobs"):
            made.pgjobs, made.settings = True, chosen_settings()
        return made


def chosen_settings(parent: settings | None = None, **more: Any) -> settings:
    """Hypothesis' settings for a machine; ``more`` wins over them.

    No deadline: an example's first rule may start a server. ``print_blob``, so that a failure in CI can be
    had again anywhere. Of the health checks only "too slow" is off, since a step is many statements;
    those that say that a machine does nothing useful stay on. The database, the number of examples
    and whether chance is fixed (``derandomize``) are those of the profile.
    """
    chosen: dict[str, Any] = {
        "deadline": None,
        "print_blob": True,
        "suppress_health_check": [HealthCheck.too_slow],
        "stateful_step_count": 20,
    }
    return settings(parent or settings(), **(chosen | more))


class _Watched:
    """A source of stores that are watched."""

    def __init__(self, source: StoreSource) -> None:
        self._source = source
        self.made: list[LocalStore] = []

    def store(self, n: int) -> LocalStore:
        self.made.append(self._source.store(n))
        return self.made[-1]


def _mine(name: str) -> st.SearchStrategy[Any]:
    """What the machine that runs answers to ``name()``: a strategy, which is asked for once."""

    def asked(machine: JobsMachine) -> st.SearchStrategy[Any]:
        if name not in machine.asked:
            machine.asked[name] = getattr(machine, name)()
        return machine.asked[name]

    return st.runner().flatmap(asked)


# Strategies are checked when they are first drawn from, so that one is kept for all examples.


@lru_cache
def _jobs_of(
    workers: tuple[tuple[Worker[..., Any], st.SearchStrategy[Any]], ...],
    options: st.SearchStrategy[dict[str, Any]],
) -> st.SearchStrategy[NewJob]:
    return new_jobs(dict(workers), options)


@lru_cache
def _options_for(queues: tuple[str, ...], longest_s: float) -> st.SearchStrategy[dict[str, Any]]:
    return job_options(START, queues, (), longest_s, MOST_ATTEMPTS, _replaces())


def _replaces() -> st.SearchStrategy[dict[str, Any]]:
    """What is replaced of jobs that a machine inserts.

    Running jobs are left out: a run ends by what its claim saw.
    """
    fields = st.lists(st.sampled_from(REPLACED), min_size=1, unique=True)
    states = st.sampled_from([str(state) for state in JobState if state != "executing"])
    return st.dictionaries(states, fields, min_size=1, max_size=3)


_spans = lru_cache(spans)


class JobsMachine(RuleBasedStateMachine):
    """The engine and its model. Subclass it with ``workers``; everything else may be left as it is.

    ``workers`` are yours, each with a strategy for its args. ``queues`` are served, as for ``PgJobs``;
    None stands for those of the application. ``mode`` is ``manual`` or ``postgres``, None that of the
    test. Override ``new_jobs`` to choose the options of jobs, add rules with ``@rule`` (``self.jobs`` is the
    harness, ``stored`` the bundle of ids) and ``check`` for what holds of your own data after every step.
    """

    workers: ClassVar[Mapping[Worker[..., Any], st.SearchStrategy[Any]]] = SCRIPTED
    queues: ClassVar[Mapping[str, int | Queue] | None] = None
    mode: ClassVar[str | None] = None
    longest_s: ClassVar[float] = 600
    """How far ahead jobs are scheduled, and how long time passes in one step, in seconds."""

    TestCase = _TestCase()
    stored = Bundle("stored")

    def __init_subclass__(cls, **given: Any) -> None:
        check_attributes(cls.__name__, vars(cls), JobsMachine)
        check_queues(cls.__name__, cls.workers, cls.queues)
        super().__init_subclass__(**given)

    def __init__(self) -> None:
        super().__init__()
        self.asked: dict[str, st.SearchStrategy[Any]] = {}
        self.asked_for: list[NewJob] = []
        self._ending = ExitStack()
        try:
            self._begin()
        except BaseException:
            self._ending.close()
            raise

    def _begin(self) -> None:
        check_workers(self.workers)
        duration(self.longest_s, "a machine's longest_s")
        mode = self._chosen_mode()
        found = session.source(mode)
        if found is None and mode == "postgres":
            raise ConfigurationError(
                "a machine in mode postgres asks the plugin for a server: run it under pytest, "
                "with -p pgjobs_testing"
            )
        source = _Watched(found or MemorySource())
        given: dict[str, Any] = {} if self.queues is None else {"queues": self.queues}
        self.jobs: Harness = self._ending.enter_context(
            harness(
                mode=mode,
                source=source,
                plugins=(),
                seed=0,
                start=START,
                jitter=False,
                strict=False,
                freeze=False,
                **given,
            )
        )
        self._facts = Watching(self.jobs.clock)
        self._ending.callback(self._facts.close)
        own = {worker.name: worker for worker in self.workers}
        self._facts.workers(own)
        self.jobs.count_jobs()  # the store is made at the first call
        for store in source.made:
            self._facts.store(store)
        served = self.jobs.queues
        others = None if served else Queue(10)
        self.model = Model(START, served, REGISTRY.by_name, others)

    def _chosen_mode(self) -> str:
        if self.mode is not None and self.mode not in ("manual", "postgres"):
            raise ConfigurationError(f"a machine's mode is manual or postgres, not {self.mode!r}")
        around = capture.current()
        found = self.mode or ("manual" if around is None else around.settings.mode)
        return found if found == "postgres" else "manual"

    def teardown(self) -> None:
        """Give everything back; nothing is asserted here, where it would hide what failed."""
        self._ending.close()

    # What a subclass may choose

    def new_jobs(self) -> st.SearchStrategy[NewJob]:
        """Jobs to insert: of ``workers``, with any option of ``new``, in queues that are served."""
        if not self.workers:
            raise ConfigurationError(
                "a machine has no workers: name some, or leave the attribute out for those of its own"
            )
        return _jobs_of(tuple(self.workers.items()), self.job_options())

    def job_options(self) -> st.SearchStrategy[dict[str, Any]]:
        """Options of ``new``."""
        return _options_for(tuple(self.queue_list()), self.longest_s)

    def queue_list(self) -> list[str]:
        """The queues that jobs are put into, and that are paused and scaled."""
        return [*self.jobs.queues] or ["default", "other"]

    def judge(self, fact: facts.Fact) -> None:
        """Let the model take a fact, of which it raises ``ModelError`` where it should not be."""
        self.model.take(fact)

    def check(self) -> None:
        """What holds of the project's own data after every step: override it, and assert."""

    def queue(self) -> st.SearchStrategy[str]:
        """One of the queues."""
        return st.sampled_from(self.queue_list())

    def span(self) -> st.SearchStrategy[timedelta]:
        """How long time passes."""
        return _spans(self.longest_s)

    # What happens

    @initialize(target=stored, new=st.lists(_mine("new_jobs"), min_size=1, max_size=3))
    def begin(self, new: list[NewJob]) -> Many[int]:
        return self.insert_all(new)

    @rule(target=stored, new=_mine("new_jobs"))
    def insert(self, new: NewJob) -> int:
        self.asked_for.append(new)
        return self.jobs.insert(new).id

    @rule(target=stored, number=st.integers(0, 5), times=st.integers(1, 5))
    def insert_again(self, number: int, times: int) -> Many[int]:
        """What was inserted before, as by a request that is sent twice, or in a burst."""
        again = self.jobs.insert_all([self.asked_for[number % len(self.asked_for)]] * times)
        return multiple(*(job.id for job in again))

    @rule(target=stored, number=st.integers(0, 5), by=beside())
    def insert_again_at_the_edge_of_its_period(self, number: int, by: timedelta) -> Many[int]:
        """When its duplicate stands in the way no longer, or one microsecond beside that instant."""
        free = self.model.free_at(self.asked_for[number % len(self.asked_for)])
        self._go_to(free, by)
        return self.insert_again(number, 1)

    @rule(target=stored, new=st.lists(_mine("new_jobs"), min_size=2, max_size=4))
    def insert_all(self, new: list[NewJob]) -> Many[int]:
        self.asked_for += new
        return multiple(*(job.id for job in self.jobs.insert_all(new)))

    @rule(span=_mine("span"))
    def advance(self, span: timedelta) -> None:
        self.jobs.advance(span)
        self._facts.tell(facts.Passed(self.jobs.clock.now(), run=True))

    @rule(by=beside())
    def advance_to_the_next_event(self, by: timedelta) -> None:
        """To the instant at which the model expects something next, or one microsecond beside it."""
        self._go_to(self.model.next_event(), by)

    @rule(span=_mine("span"))
    def let_the_clock_alone_pass(self, span: timedelta) -> None:
        """As for a process that was suspended: everything is late afterwards."""
        self.jobs.advance(span, run=False)
        self._facts.tell(facts.Passed(self.jobs.clock.now(), run=False))

    @rule(job=stored, call=st.sampled_from(["cancel_job", "retry_job", "delete_job"]))
    def change(self, job: int, call: str) -> None:
        try:
            getattr(self.jobs, call)(job)
        except JobNotFoundError:
            if job in self.model.jobs:
                raise

    @rule(
        call=st.sampled_from(["cancel_all_jobs", "retry_all_jobs", "delete_all_jobs"]),
        state=st.sampled_from([str(state) for state in JobState]),
        queue=_mine("queue"),
    )
    def change_all(self, call: str, state: str, queue: str) -> None:
        getattr(self.jobs, call)(state=state, queue=queue)

    @rule(
        call=st.sampled_from(["resume_queue", "pause_queue", "reset_queue"]), queue=_mine("queue")
    )
    def control(self, call: str, queue: str) -> None:
        getattr(self.jobs, call)(queue)

    @rule(
        queue=st.none() | _mine("queue"),
        to=st.sampled_from([1, 2, 4]),
    )
    def control_all_or_scale(self, queue: str | None, to: int) -> None:
        if queue is not None:
            self.jobs.scale_queue(queue, concurrency=to)
        elif to == 1:
            self.jobs.pause_all_queues()
        else:
            self.jobs.resume_all_queues()

    @rule(
        queue=st.none() | _mine("queue"),
        ahead=st.just(timedelta(0)) | _mine("span"),
        recursion=st.booleans(),
        limit=st.none() | st.integers(1, 3),
    )
    def drain(
        self, queue: str | None, ahead: timedelta, recursion: bool, limit: int | None
    ) -> None:
        now = self.jobs.clock.now()
        self._facts.tell(facts.Draining(now, queue, now + ahead, recursion))
        try:
            with self._facts.ending():
                result = self.jobs.drain_queue(
                    queue,
                    with_scheduled=ahead,
                    with_recursion=recursion,
                    with_safety=True,
                    limit=limit,
                )
        except LivelockError:  # of a worker that snoozes until time passes, which it does not here
            self._facts.tell(facts.Drained(now, whole=False))
        else:
            self._facts.tell(facts.Drained(now, limit is None, tuple(result.jobs)))

    def _go_to(self, at: datetime | None, by: timedelta) -> None:
        """Let time pass until ``at`` and ``by``, but no longer than ``longest_s``."""
        now = self.jobs.clock.now()
        span = timedelta(0) if at is None else max(timedelta(0), at - now + by)
        self.advance(min(span, timedelta(seconds=self.longest_s)))

    # What holds

    @invariant()
    def everything_is_as_it_ought_to_be(self) -> None:
        """What happened was lawful, nothing was left undone, and the stored jobs are the model's."""
        try:
            for fact in self._facts.taken():
                self.judge(fact)
            self.model.compare(self.jobs.all_jobs())
        except ModelError as error:
            lines = self.jobs.timeline.text().splitlines()
            shown = "\n  ".join(lines[-SHOWN:])
            raise ModelError(f"{error}\nThe timeline, of {len(lines)} lines:\n  {shown}") from None
        self.check()
