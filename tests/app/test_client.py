"""The client's methods and their twins: what they store, find, change, and refuse."""

from __future__ import annotations

import asyncio
import dataclasses
import inspect
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from pgjobs import (
    ConfigurationError,
    InvalidJobError,
    Job,
    JobNotFoundError,
    JobState,
    MemoryStore,
    NewJob,
    PgJobs,
    PgJobsError,
    Queue,
    StoreUnavailableError,
    Unique,
    client,
    effects,
    next_at,
    worker,
)
from pgjobs.adapters.postgres.store import PostgresStore
from pgjobs.client import Client, Program
from pgjobs.effects import Effect
from pgjobs.rules import lifecycle
from pgjobs.rules.job import Snooze
from pgjobs.rules.outcome import returned
from pgjobs.rules.selection import by_id, is_by_id
from pgjobs.telemetry import Telemetry
from pgjobs_testing.clock import VirtualClock
from tests.app.still import START, Heard, still

Caller = Callable[..., Any]


@worker(queue="mail", tags=("vip",), meta={"team": "a"})
def send(job):
    """Send a letter."""


@worker
async def bill(job):
    """Write a bill."""


@pytest.fixture(params=["sync", "async"])
def call(request: pytest.FixtureRequest) -> Caller:
    """Calls a method, or its twin on a loop of its own."""

    def called(jobs: PgJobs, method: str, *args: Any, **given: Any) -> Any:
        if request.param == "sync":
            return getattr(jobs, method)(*args, **given)
        return asyncio.run(getattr(jobs, f"{method}_async")(*args, **given))

    return called


def test_every_method_that_asks_the_store_has_a_twin_with_the_same_parameters():
    public = {name for name in vars(PgJobs) if not name.startswith("_")}
    twins = {name for name in public if name.endswith("_async")}
    alone = public - twins - {name.removesuffix("_async") for name in twins}
    assert {"next_at", "store", "database", "opens_database", "runtime", "surroundings"} >= alone
    for twin in twins - {"running_async"}:
        one, other = getattr(PgJobs, twin.removesuffix("_async")), getattr(PgJobs, twin)
        assert inspect.iscoroutinefunction(other), twin
        assert inspect.signature(one) == inspect.signature(other), twin


def test_an_inserted_job_has_its_workers_options_and_is_due_now(call: Caller):
    jobs, _ = still()
    job = call(jobs, "insert", send.new({"to": (1, 2)}))
    assert (1, "available", "mail", ("vip",), {"team": "a"}, {"to": [1, 2]}) == (
        job.id,
        job.state,
        job.queue,
        job.tags,
        job.meta,
        job.args,
    )
    assert (START, START, 0, 20, False) == (
        job.inserted_at,
        job.scheduled_at,
        job.attempt,
        job.max_attempts,
        job.conflict,
    )
    assert send.name == job.worker == f"{__name__}.send"


def test_options_of_a_job_win_over_those_of_its_worker(call: Caller):
    jobs, _ = still()
    given = {"queue": "slow", "tags": ["x"], "meta": {"b": 1}, "priority": 5, "max_attempts": 3}
    job = call(jobs, "insert", send.new({}, **given))
    assert ("slow", ("x",), {"b": 1}, 5, 3) == (
        job.queue,
        job.tags,
        job.meta,
        job.priority,
        job.max_attempts,
    )


@pytest.mark.parametrize(
    "given, due, state",
    [
        ({"schedule_in": 60}, START + timedelta(minutes=1), "scheduled"),
        ({"schedule_in": timedelta(0)}, START, "available"),
        ({"scheduled_at": START + timedelta(seconds=1)}, START + timedelta(seconds=1), "scheduled"),
        ({"scheduled_at": START - timedelta(days=1)}, START - timedelta(days=1), "available"),
        ({"scheduled_at": None}, START, "available"),
    ],
)
def test_a_job_is_due_at_its_instant_or_after_its_wait(
    call: Caller, given: dict[str, Any], due: Any, state: str
):
    jobs, _ = still()
    job = call(jobs, "insert", bill.new({}, **given))
    assert (due, state) == (job.scheduled_at, job.state)


def test_a_template_can_be_inserted_again_and_counts_its_wait_from_each_insert(call: Caller):
    jobs, clock = still()
    template = bill.new({"n": 1}, schedule_in=10)
    call(jobs, "insert", template)
    clock.set(START + timedelta(seconds=5))
    second = call(jobs, "insert", template)
    assert (2, START + timedelta(seconds=15)) == (second.id, second.scheduled_at)


def test_many_jobs_are_answered_in_the_order_given(call: Caller):
    jobs, _ = still()
    assert [] == call(jobs, "insert_all", [])
    new = (bill.new({"n": n}, queue=f"q{n % 3}") for n in range(10))
    stored = call(jobs, "insert_all", new)
    assert list(range(10)) == [job.args["n"] for job in stored]
    assert list(range(1, 11)) == [job.id for job in stored]


def test_of_many_jobs_all_are_stored_or_none(call: Caller):
    jobs, _ = still()
    with pytest.raises(InvalidJobError):
        call(jobs, "insert_all", [bill.new(), "no job", bill.new()])
    assert 0 == call(jobs, "count_jobs")


@pytest.mark.parametrize(
    "bad, message",
    [
        (None, "insert takes what worker.new"),
        ({"worker": "x"}, "insert takes what worker.new"),
        (
            bill,
            r"insert takes what worker.new\(...\) makes, not the worker .*bill itself: give what its new",
        ),
        ([bill.new()], r"insert takes one job, not \[.*: insert_all takes many"),
        (iter([bill.new()]), "insert_all takes many"),
    ],
)
def test_what_is_no_new_job_is_refused(call: Caller, bad: Any, message: str):
    jobs, _ = still()
    with pytest.raises(InvalidJobError, match=message):
        call(jobs, "insert", bad)
    with pytest.raises(InvalidJobError):
        call(jobs, "insert_all", [bad])


@pytest.mark.parametrize("bad", [None, {"worker": "x"}, bill])
def test_what_is_not_many_jobs_is_refused(call: Caller, bad: Any):
    jobs, _ = still()
    with pytest.raises(InvalidJobError):
        call(jobs, "insert_all", bad)


def test_a_stored_job_cannot_be_inserted_again(call: Caller):
    jobs, _ = still()
    job = jobs.insert(bill.new())
    with pytest.raises(InvalidJobError, match=r"job 1 is stored already: .*retry_job"):
        call(jobs, "insert", job)


def test_a_reader_cannot_change_what_is_stored(call: Caller):
    jobs, _ = still()
    job = call(jobs, "insert", bill.new({"a": {"b": [1]}}))
    job.args["a"]["b"].append(2)
    assert {"a": {"b": [1]}} == call(jobs, "get_job", job).args
    new = bill.new({"a": [1]})
    stored = call(jobs, "insert", new)
    new.args["a"].append(2)
    assert {"a": [1]} == call(jobs, "get_job", stored).args


def test_a_template_does_not_share_its_meta_with_its_worker():
    new = send.new()
    new.meta["team"] = "b"  # type: ignore[index]  # on purpose
    assert {"team": "a"} == send.new().meta


def test_a_job_is_found_by_its_id_or_by_itself(call: Caller):
    jobs, _ = still()
    job = jobs.insert(bill.new())
    assert job == call(jobs, "get_job", job.id) == call(jobs, "get_job", job)


@pytest.mark.parametrize("method", ["get_job", "cancel_job", "retry_job", "delete_job"])
def test_a_job_that_is_not_there_is_named(call: Caller, method: str):
    jobs, _ = still()
    with pytest.raises(JobNotFoundError, match="no job has the id 77"):
        call(jobs, method, 77)
    for bad in ("1", True, None, 1.0):
        with pytest.raises(ConfigurationError, match="a job is given as a Job or by its id"):
            call(jobs, method, bad)


@pytest.fixture
def filled() -> PgJobs:
    jobs, clock = still()
    for n in range(6):
        jobs.insert(bill.new({"n": n, "odd": n % 2 == 1}, priority=n % 3))
        clock.set(clock.now() + timedelta(seconds=1))
    jobs.insert(send.new({"n": 6}, schedule_in=60))
    return jobs


@pytest.mark.parametrize(
    "given, ids",
    [
        ({}, [1, 2, 3, 4, 5, 6, 7]),
        ({"limit": 2}, [1, 2]),
        ({"limit": 0}, []),
        ({"order_by": "-id"}, [7, 6, 5, 4, 3, 2, 1]),
        ({"order_by": "priority"}, [1, 4, 7, 2, 5, 3, 6]),
        ({"order_by": "-priority"}, [3, 6, 2, 5, 1, 4, 7]),
        ({"order_by": "-priority", "limit": 2, "after": 6}, [2, 5]),
        ({"after": 5}, [6, 7]),
        ({"order_by": "queue"}, [1, 2, 3, 4, 5, 6, 7]),
        ({"order_by": "-scheduled_at", "limit": 1}, [7]),
        ({"order_by": "completed_at", "limit": 2, "after": 3}, [4, 5]),
        ({"worker": send}, [7]),
        ({"worker": send.name}, [7]),
        ({"worker": [bill, send.name]}, [1, 2, 3, 4, 5, 6, 7]),
        ({"args": {"odd": True}}, [2, 4, 6]),
        ({"args": {"n": 2}, "state": "available"}, [3]),
        ({"queue": ["mail"]}, [7]),
        ({"tags": ["vip"]}, [7]),
        ({"id": [3, 1]}, [1, 3]),
        ({"state": [JobState.SCHEDULED]}, [7]),
    ],
)
def test_jobs_are_found_by_filters_in_order_page_by_page(
    filled: PgJobs, call: Caller, given: dict[str, Any], ids: list[int]
):
    assert ids == [job.id for job in call(filled, "all_jobs", **given)]


def test_pages_of_any_order_make_up_the_whole(filled: PgJobs, call: Caller):
    for order in ("id", "-priority", "queue", "-scheduled_at", "completed_at", "-completed_at"):
        whole = [job.id for job in call(filled, "all_jobs", order_by=order)]
        pages: list[int] = []
        page = call(filled, "all_jobs", order_by=order, limit=2)
        while page:
            pages += [job.id for job in page]
            page = call(filled, "all_jobs", order_by=order, limit=2, after=page[-1])
        assert whole == pages


def test_jobs_are_counted_as_a_number_or_by_a_column(filled: PgJobs, call: Caller):
    assert 7 == call(filled, "count_jobs")
    assert {"available": 6, "scheduled": 1} == call(filled, "count_jobs", "state")
    assert {"default": 6, "mail": 1} == call(filled, "count_jobs", by="queue")
    assert {bill.name: 3} == call(filled, "count_jobs", "worker", args={"odd": True})
    assert {} == call(filled, "count_jobs", "queue", queue="none")
    assert 0 == call(filled, "count_jobs", queue="none")


FILTERING = ["all_jobs", "count_jobs", "cancel_all_jobs", "retry_all_jobs", "delete_all_jobs"]


@pytest.mark.parametrize("method", FILTERING)
@pytest.mark.parametrize(
    "given, message",
    [
        ({"sate": "available"}, "unknown filter 'sate': did you mean 'state'"),
        ({"error": 1}, "unknown filter 'error'"),
        ({"state": "executng"}, "unknown state 'executng': did you mean 'executing'"),
        ({"worker": 5}, "a worker is given as the decorated function or class"),
        ({"worker": [None]}, "a worker is given as"),
        ({"tags": 5}, "the filter 'tags'"),
        ({"args": []}, "args must be a JSON object"),
    ],
)
def test_a_bad_filter_raises_and_changes_nothing(
    filled: PgJobs, call: Caller, method: str, given: dict[str, Any], message: str
):
    with pytest.raises(PgJobsError, match=message):
        call(filled, method, **given)
    assert {"available": 6, "scheduled": 1} == filled.count_jobs("state")


@pytest.mark.parametrize(
    "given, message",
    [
        (
            {"order_by": "prioriti"},
            "unknown column to order by 'prioriti': did you mean 'priority'",
        ),
        ({"order_by": "args"}, "unknown column to order by 'args'"),
        ({"order_by": "--id"}, "unknown column"),
        ({"order_by": None}, "unknown column to order by 'None'"),
        ({"limit": -1}, "limit is a whole number from 0"),
        ({"limit": "5"}, "limit is a whole number"),
        ({"after": "x"}, "a job is given as a Job or by its id"),
    ],
)
def test_a_bad_order_or_page_is_refused(
    filled: PgJobs, call: Caller, given: dict[str, Any], message: str
):
    with pytest.raises(ConfigurationError, match=message):
        call(filled, "all_jobs", **given)


def test_a_page_behind_a_deleted_job_is_asked_for_by_the_job_itself(filled: PgJobs, call: Caller):
    third = filled.delete_job(3)
    assert [4, 5] == [job.id for job in call(filled, "all_jobs", limit=2, after=third)]
    with pytest.raises(JobNotFoundError):
        call(filled, "all_jobs", limit=2, after=3)


@pytest.mark.parametrize("by", ["stat", "args", "id", 5])
def test_an_unknown_column_to_count_by_is_refused(filled: PgJobs, call: Caller, by: object):
    with pytest.raises(ConfigurationError, match=f"unknown column to count by {by!r}"):
        call(filled, "count_jobs", by)


def test_a_job_is_cancelled_retried_and_deleted(call: Caller):
    jobs, clock = still()
    job = jobs.insert(bill.new({}, schedule_in=60))
    clock.set(START + timedelta(seconds=5))
    cancelled = call(jobs, "cancel_job", job)
    assert ("cancelled", clock.now()) == (cancelled.state, cancelled.cancelled_at)
    assert cancelled == call(jobs, "cancel_job", job.id)
    retried = call(jobs, "retry_job", cancelled)
    assert ("available", clock.now(), None) == (
        retried.state,
        retried.scheduled_at,
        retried.cancelled_at,
    )
    assert retried == call(jobs, "retry_job", job)
    assert retried == call(jobs, "delete_job", job)
    assert 0 == jobs.count_jobs()


def test_many_jobs_are_cancelled_retried_and_deleted_and_counted(filled: PgJobs, call: Caller):
    assert 3 == call(filled, "cancel_all_jobs", args={"odd": True})
    assert 0 == call(filled, "cancel_all_jobs", args={"odd": True})
    assert {"available": 3, "cancelled": 3, "scheduled": 1} == filled.count_jobs("state")
    assert 3 == call(filled, "retry_all_jobs", state="cancelled")
    assert 1 == call(filled, "retry_all_jobs")
    assert {"available": 7} == filled.count_jobs("state")
    assert 1 == call(filled, "delete_all_jobs", worker=send)
    assert 6 == call(filled, "delete_all_jobs")
    assert 0 == call(filled, "delete_all_jobs")


def test_more_jobs_than_one_effect_takes_are_changed_all_the_same(call: Caller):
    jobs, _ = still()
    jobs.insert_all(bill.new() for _ in range(2_500))
    assert 2_500 == call(jobs, "cancel_all_jobs")
    assert 2_500 == call(jobs, "retry_all_jobs")
    assert 2_500 == call(jobs, "delete_all_jobs")


CHANGING: dict[str, dict[str, Any]] = {
    "cancel_all": {"state": "available"},
    "retry_all": {"state": "scheduled"},
    "delete_all": {},
}


def driven(
    jobs: PgJobs,
    program: Program[int],
    meanwhile: Callable[[Effect[Any]], None] = lambda _: None,
) -> tuple[list[Effect[Any]], int]:
    """The effects of a program and its answer; ``meanwhile`` is done after each of them."""
    asked: list[Effect[Any]] = []
    effect = next(program)
    while True:
        asked.append(effect)
        answer = jobs.runtime().store.run(effect)
        meanwhile(effect)
        try:
            effect = program.send(answer)
        except StopIteration as end:
            return asked, end.value


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mass changes that look for 4 jobs at a time, and change 2."""
    monkeypatch.setattr(client, "LOOK", 4)
    monkeypatch.setattr(client, "BATCH", 2)


@pytest.mark.parametrize("method", CHANGING)
@pytest.mark.usefixtures("small")
def test_a_mass_change_looks_for_its_jobs_once_and_changes_each_once(method: str):
    jobs, clock = still()
    waits = 60 if method == "retry_all" else None
    ids = [job.id for job in jobs.insert_all(bill.new({}, schedule_in=waits) for _ in range(7))]
    heard = Heard(f"pgjobs.job.{method.removesuffix('_all')}")
    program = getattr(Client(clock, jobs.runtime().telemetry, {}), method)(
        {**CHANGING[method], "id": ids}
    )
    asked, count = driven(jobs, program)
    assert 7 == count
    looks = [each for each in asked if isinstance(each, effects.FindIds)]
    assert [None, ids[3]] == [each.after for each in looks]
    pages = [
        condition.values
        for each in asked
        if isinstance(each, effects.Transition | effects.Delete)
        for condition in each.selection.conditions
        if is_by_id(condition)
    ]
    assert [tuple(ids[n : n + 2]) for n in (0, 2)] + [tuple(ids[4:6]), (ids[6],)] == pages
    assert ids == [metadata["job"].id for _, _, metadata in heard.all]


@pytest.mark.usefixtures("small")
def test_a_mass_change_leaves_what_is_no_more_of_its_selection_and_what_it_has_changed_before():
    jobs, clock = still()
    new = bill.new({}, schedule_in=60)
    first, _, third, *_ = jobs.insert_all([new] * 6)
    done: list[int] = []

    def meanwhile(effect: Effect[Any]) -> None:
        if isinstance(effect, effects.Transition) and not done:
            done.append(jobs.cancel_job(third).id)
            store = jobs.runtime().store
            claim = effects.Claim(by_id(first.id), 1, lifecycle.claim("node", "token", START))
            (running,) = store.run(claim)
            snoozed = lifecycle.settle(running, returned(Snooze(9)), START)
            store.run(effects.Settle((snoozed,)))
            done.append(jobs.insert(new).id)

    _, count = driven(
        jobs, Client(clock, Telemetry(), {}).retry_all({"state": "scheduled"}), meanwhile
    )
    states = [job.state for job in jobs.all_jobs()]
    assert ["scheduled", "available", "cancelled"] + ["available"] * 4 == states
    assert 6 == count


def test_a_queue_is_paused_scaled_resumed_and_reset(call: Caller):
    jobs, _ = still(queues={"a": 3, "b": Queue(5, paused=True)})

    def looks(queue: str) -> tuple[int, bool]:
        status = call(jobs, "check_queue", queue)
        return status.concurrency, status.paused

    call(jobs, "pause_queue", "a")
    call(jobs, "scale_queue", "a", concurrency=9)
    assert (9, True) == looks("a")
    call(jobs, "resume_queue", "a")
    assert (9, False) == looks("a")
    call(jobs, "pause_all_queues")
    assert [(9, True), (5, True)] == [looks("a"), looks("b")]
    call(jobs, "resume_all_queues")
    assert [(9, False), (5, False)] == [looks("a"), looks("b")]
    call(jobs, "reset_queue", "a")
    call(jobs, "reset_queue", "b")
    assert [(3, False), (5, True)] == [looks("a"), looks("b")]


def test_the_check_of_a_queue_counts_what_waits_and_runs(call: Caller):
    jobs, _ = still(queues={"mail": 2})
    jobs.insert_all([send.new(), send.new(), send.new({}, schedule_in=5), bill.new()])
    status = call(jobs, "check_queue", "mail")
    assert ("mail", 2, False, 0, 2) == (
        status.queue,
        status.concurrency,
        status.paused,
        status.running,
        status.available,
    )


@pytest.mark.parametrize("method", ["pause_queue", "resume_queue", "reset_queue", "check_queue"])
@pytest.mark.parametrize("bad", ["", "*", None, 5, "q" * 128])
def test_a_queue_without_a_proper_name_is_refused(call: Caller, method: str, bad: Any):
    jobs, _ = still()
    with pytest.raises(ConfigurationError, match="a queue's name"):
        call(jobs, method, bad)


@pytest.mark.parametrize("bad", [0, -1, 100_001, True, "5", None])
def test_a_queue_is_scaled_to_a_whole_number(call: Caller, bad: Any):
    jobs, _ = still()
    with pytest.raises(ConfigurationError, match="the concurrency of a queue is a whole number"):
        call(jobs, "scale_queue", "default", bad)


def test_what_clients_do_is_told(call: Caller):
    heard = Heard()
    jobs, _ = still()
    job = call(jobs, "insert", bill.new())
    for method in ("cancel_job", "retry_job", "delete_job"):
        call(jobs, method, job)
    for method in ("pause_queue", "resume_queue", "reset_queue"):
        call(jobs, method, "default")
    call(jobs, "scale_queue", "default", 3)
    assert heard.names == [
        "job.insert",
        "job.cancel",
        "job.retry",
        "job.delete",
        "queue.pause",
        "queue.resume",
        "queue.reset",
        "queue.scale",
    ]
    event, _, metadata = heard.all[0]
    assert ("pgjobs.job.insert", bill.name, "default", job) == (
        event,
        metadata["worker"],
        metadata["queue"],
        metadata["job"],
    )
    assert ("default", 3) == (heard.all[-1][2]["queue"], heard.all[-1][2]["concurrency"])


@pytest.mark.pgjobs(mode="live")
async def test_what_waits_for_the_database_alone_is_not_refused_in_an_event_loop():
    jobs = PgJobs(store=MemoryStore())
    stored = jobs.insert(bill.new())
    assert ([stored], 1) == (jobs.all_jobs(), jobs.count_jobs())
    jobs.start()
    await jobs.stop_async()


def test_a_schema_is_that_of_the_store():
    store = PostgresStore("postgresql://x", schema="aa")
    assert "aa" == PgJobs(store=store).schema == PgJobs(store=store, schema="aa").schema
    assert "public" == PgJobs(store=MemoryStore()).schema == PgJobs("postgresql://x").schema
    assert "bb" == PgJobs("postgresql://x", schema="bb").schema


@pytest.mark.parametrize(
    "given, message",
    [
        ({"dsn": "postgresql://x", "store": MemoryStore()}, "a dsn or a store, not both"),
        ({"dsn": 5}, "dsn is a connection string or a function, not 5"),
        ({"plugins": [object()]}, "plugins"),
        ({"name": ""}, "name is a text"),
        ({"node": "n" * 128}, "node is a text"),
        ({"queues": ["a"]}, "queues takes a dict"),
        ({"queues": {"a": 0}}, "from 1 to 100000"),
        ({"workers": "shop.jobs"}, r'workers=\["shop.jobs"\]'),
        ({"workers": 5}, "workers takes a list of modules"),
        ({"store": MemoryStore}, r"store takes a MemoryStore\(\) or a PostgresStore\(dsn\)"),
        ({"store": "memory"}, "store takes"),
        ({"workers": [5]}, "a module of workers is a text"),
        ({"schema": ""}, "schema is a text"),
        (
            {"store": PostgresStore("postgresql://x", schema="aa"), "schema": "bb"},
            r"schema belongs to the store that is given: PostgresStore\(dsn, schema='bb'\)",
        ),
        (
            {"store": PostgresStore("postgresql://x", schema="aa"), "schema": "public"},
            "schema belongs to the store",
        ),
        ({"store": MemoryStore(), "schema": "bb"}, "schema belongs to the store"),
        ({"poll_interval": 0}, "poll_interval must be 0.01 s or more"),
        ({"poll_interval": "1s"}, "poll_interval takes seconds"),
    ],
)
def test_a_bad_option_of_an_instance_is_refused(given: dict[str, Any], message: str):
    with pytest.raises(ConfigurationError, match=message):
        PgJobs(**given)


def test_a_function_that_gives_no_dsn_is_named():
    from pgjobs.adapters.postgres.store import PostgresStore

    given: Any = lambda: None  # noqa: E731 - on purpose no function that gives a text
    with pytest.raises(ConfigurationError, match=r"given as dsn returns a text .* not NoneType"):
        _ = PostgresStore(given).dsn


def test_a_dsn_whose_function_exits_is_told_as_a_store_that_cannot_be_reached():
    from pgjobs.adapters.postgres.store import PostgresStore

    def dsn() -> str:
        sys.exit("vault down")

    with pytest.raises(StoreUnavailableError, match=r"given as dsn exits .*: vault down"):
        _ = PostgresStore(dsn).dsn


def test_without_queues_the_default_one_is_served():
    assert {"default": Queue(10)} == still()[0].queues == still(queues=None)[0].queues
    assert {} == still(queues=False)[0].queues


def test_a_client_only_cannot_be_started():
    jobs, _ = still(queues=False)
    with pytest.raises(ConfigurationError, match="a client only"):
        jobs.start()


def test_a_module_of_workers_that_cannot_be_imported_is_named():
    jobs, _ = still(workers=["no.such.module"])
    with pytest.raises(ConfigurationError, match=r"names the module 'no\.such\.module'"):
        jobs.drain_queue()


def test_the_next_wall_time_is_by_the_clock_of_the_instance():
    jobs, _ = still()
    assert START + timedelta(hours=12) == jobs.next_at("00:00")
    assert START + timedelta(hours=11) == jobs.next_at("00:00", tz="Europe/Berlin")
    assert START + timedelta(minutes=1) == next_at("12:01", clock=VirtualClock(START))
    with pytest.raises(ConfigurationError, match="no time zone 'Mars/Base': give an IANA name"):
        jobs.next_at("00:00", tz="Mars/Base")


@pytest.mark.parametrize(
    "new, message",
    [
        (NewJob("w", {"a": float("nan")}), "nan"),
        (NewJob("w", {"a": "\x00"}), "NUL"),
        (NewJob("w", [], priority=7), "JSON object"),  # type: ignore[arg-type]  # a list
        (NewJob("w", {}, priority=77), "priority"),
        (NewJob("w", {}, max_attempts=10**5000), "max_attempts is a whole number"),
        (NewJob("", {}), "the worker of a job"),
        (NewJob("w", {}, queue="*"), "stands for every queue"),
    ],
)
def test_a_job_made_by_hand_is_checked_when_it_is_inserted(new: NewJob, message: str):
    with pytest.raises((ConfigurationError, InvalidJobError), match=message):
        PgJobs(store=MemoryStore()).insert(new)


def test_a_copy_of_a_unique_template_with_other_args_has_a_fingerprint_of_its_own():
    @worker(name="tests.copied", unique=Unique(period=None))
    def copied(job: Job) -> None:
        """Does nothing."""

    jobs = PgJobs(store=MemoryStore())
    template = copied.new({"n": 1})
    first = jobs.insert(template)
    other = jobs.insert(dataclasses.replace(template, args={"n": 2}))
    again = jobs.insert(dataclasses.replace(template, args={"n": 1.0}))
    assert [False, False, True] == [first.conflict, other.conflict, again.conflict]
    assert first.id == again.id
