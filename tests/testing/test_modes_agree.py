"""One body in the three modes, and in a block inline on PostgreSQL: the same final rows, all but tokens,
and the same events.

Inline runs a job inside ``insert``; the others say ``advance(0)`` after it. From there on all of them
let the same time pass. Where an async worker that is due at once sleeps, inline has run it to its end, and
so has a drain after each insert: with these the rows agree. What time brings sleeps alike in all of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pgjobs import (
    Cancel,
    Cron,
    Discard,
    Job,
    PgJobs,
    Pruner,
    Queue,
    RateLimit,
    Retry,
    Snooze,
    Unique,
    worker,
)
from pgjobs.rules.errors import ConfigurationError
from pgjobs.rules.job import COLUMNS
from pgjobs_testing import Harness, harness
from pgjobs_testing.trace import Moment

START = datetime(2025, 3, 29, 23, 59, 30, tzinfo=UTC)
MODES = ("manual", "inline", "postgres", "postgres, a block inline")
QUEUES = {
    "default": Queue(3),
    "one": Queue(1),
    "slow": Queue(5, rate_limit=RateLimit(allowed=2, period=30)),
    "few": Queue(5, global_concurrency=2),
    "wide": Queue(100),
}


@pytest.fixture(autouse=True)
def needs_a_server(server):
    """Each test here runs on a real server, too."""


@dataclass
class Running:
    """One run of a body in one mode: the application's instance, and the test's hand on it."""

    app: PgJobs
    jobs: Harness
    mode: str

    def insert(self, *new: Any) -> list[Job]:
        stored = [self.app.insert(new[0])] if len(new) == 1 else self.app.insert_all(new)
        self.run()
        return stored

    def run(self) -> None:
        """What inline does by itself."""
        if self.mode != "inline":
            self.jobs.advance(0)


class Drained(Running):
    """A manual run that drains, as tests do, where inline runs by itself."""

    def run(self) -> None:
        self.jobs.drain_queue(with_safety=True)


Body = Callable[[Running], None]


def result(
    mode: str, body: Body, plugins: Any = (), kind: type[Running] = Running
) -> tuple[list[dict[str, Any]], list[str]]:
    """The final rows of a body in one mode, and its events."""
    outer, _, block = mode.partition(", a block ")
    block = block or outer
    with harness(mode=outer, start=START, seed=1, plugins=plugins) as jobs, ExitStack() as within:
        if block != outer:
            within.enter_context(jobs.mode(block))
        body(kind(PgJobs("postgresql://db.example.invalid/shop", queues=QUEUES), jobs, block))
        rows = [
            {**{name: getattr(job, name) for name in COLUMNS}, "attempted_by": job.attempted_by[:1]}
            for job in jobs.all_jobs()
        ]
        return rows, [event(moment) for moment in jobs.timeline.moments]


def event(moment: Moment) -> str:
    at = (moment.at - START).total_seconds()
    return f"{at} {moment.node} {moment.event} #{moment.ordinal} {moment.detail}"


def agree(body: Body, plugins: Any = ()) -> list[dict[str, Any]]:
    """Assert that the modes agree, and return the rows."""
    rows, events = result("manual", body, plugins)
    for mode in MODES[1:]:
        rows_there, events_there = result(mode, body, plugins)
        assert rows_there == rows, mode
        assert events_there == events, mode
    return rows


def agree_with_drains(body: Body) -> list[dict[str, Any]]:
    """Assert that a drain after each insert, in memory and on a server, ends as inline does."""
    rows = without_node(result("inline", body)[0])
    assert without_node(result("postgres, a block inline", body)[0]) == rows
    for mode in ("manual", "postgres"):
        assert without_node(result(mode, body, kind=Drained)[0]) == rows, mode
    return rows


@worker(queue="one", max_attempts=3)
def scripted(job: Job) -> Any:
    """Does what its args say of this attempt; the last word stands for all that follow."""
    script = job.args["script"]
    step = script[min(job.attempt + job.snoozed, len(script)) - 1]
    if step == "raise":
        raise ValueError("it was said to")
    return {
        "ok": None,
        "retry": Retry("again"),
        "discard": Discard("no use"),
        "cancel": Cancel("not wanted"),
        "snooze": Snooze(20),
    }[step]


@worker(max_attempts=2, timeout=10)
async def sleeper(job: Job) -> Any:
    await asyncio.sleep(job.args["s"])  # noqa: TID251 - virtual


def test_schedules_priorities_tags_and_meta():
    def body(here: Running) -> None:
        here.insert(
            scripted.new({"script": ["ok"], "n": 1}, schedule_in=60, tags=["a", "b"]),
            scripted.new({"script": ["ok"], "n": 2}, priority=5, meta={"by": ["me", {"x": 1.0}]}),
            scripted.new({"script": ["ok"], "n": 3}, priority=0, scheduled_at=START),
            scripted.new({"script": ["ok"], "n": 4}, priority=0, queue="default"),
            scripted.new({"script": ["ok"], "n": 5}, scheduled_at=START - timedelta(days=1)),
        )
        here.insert(scripted.new({"script": ["ok"], "n": 6}, schedule_in=0.000001))
        here.jobs.advance(59)
        here.jobs.advance(1)

    rows = agree(body)
    assert [row["state"] for row in rows] == ["completed"] * 6
    assert rows[0]["completed_at"] == START + timedelta(seconds=60), "inline obeys a schedule, too"
    assert [row["attempt"] for row in rows] == [1] * 6


@pytest.mark.parametrize(
    "script, state, attempt, errors",
    [
        (["raise"], "discarded", 3, 3),
        (["retry", "raise", "ok"], "completed", 3, 2),
        (["snooze", "snooze", "ok"], "completed", 1, 0),
        (["snooze", "raise", "snooze", "retry", "ok"], "completed", 3, 2),
        (["discard"], "discarded", 1, 1),
        (["retry", "cancel"], "cancelled", 2, 2),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else None,
)
def test_failures_retries_snoozes_and_ends(script, state, attempt, errors):
    def body(here: Running) -> None:
        here.insert(scripted.new({"script": script}))
        for _ in range(5):
            here.jobs.advance(30)

    (row,) = agree(body)
    assert (row["state"], row["attempt"], len(row["errors"])) == (state, attempt, errors)


def test_uniqueness_and_what_replaces():
    unique = Unique(period=60, keys=("k",))

    def body(here: Running) -> None:
        def new(k: int, **options: Any) -> Any:
            args = {"k": k, "script": ["ok"], **options.pop("more", {})}
            return scripted.new(args, unique=unique, **options)

        (first,) = here.insert(new(1))
        (again,) = here.insert(new(1, more={"n": 2}))
        assert (again.id, again.conflict) == (first.id, True), "a completed job conflicts as well"
        batch = here.insert(new(2), new(2), new(3))
        assert [job.conflict for job in batch] == [False, True, False]
        (due,) = here.insert(new(4, schedule_in=300))
        replace = {"scheduled": ("args", "scheduled_at", "priority")}
        (moved,) = here.insert(new(4, more={"n": 3}, schedule_in=30, priority=7, replace=replace))
        assert (moved.id, moved.replaced) == (due.id, True)
        (now,) = here.insert(new(5, schedule_in=300))
        (run,) = here.insert(new(5, schedule_in=0, replace={"scheduled": ("scheduled_at",)}))
        assert run.id == now.id
        here.jobs.advance(60)
        here.insert(new(1, more={"n": 4}))
        here.jobs.advance(300)

    rows = agree(body)
    assert [row["state"] for row in rows] == ["completed"] * len(rows)
    assert [row["args"]["k"] for row in rows] == [1, 2, 3, 4, 5, 1]


def test_a_cancel_of_a_group():
    unique = Unique(period=1, keys=("group",))

    def body(here: Running) -> None:
        def new(script: str, **options: Any) -> Any:
            return scripted.new({"group": "g", "script": [script]}, unique=unique, **options)

        here.insert(new("ok", schedule_in=600))
        here.jobs.advance(2)
        here.insert(new("retry"))
        here.jobs.advance(2)
        here.insert(new("cancel", schedule_in=3))
        here.jobs.advance(1)
        here.insert(scripted.new({"group": "other", "script": ["ok"]}, schedule_in=700))
        here.jobs.advance(1_000)

    rows = agree(body)
    assert [row["state"] for row in rows] == ["cancelled"] * 3 + ["completed"]


def test_chains_of_inserts_by_workers_of_both_colours():
    def body(here: Running) -> None:
        @worker(name="chain", queue="default")
        def chain(job: Job) -> None:
            if job.args["n"]:
                args = {"n": job.args["n"] - 1}
                here.app.insert((chain_async if job.args["n"] % 2 else chain).new(args))
                here.app.insert(scripted.new({"script": ["raise", "ok"]}, schedule_in=5))

        @worker(name="chain_async", queue="few")
        async def chain_async(job: Job) -> None:
            await asyncio.sleep(job.meta.get("s", 0))  # noqa: TID251 - virtual
            new = chain.new({"n": max(job.args["n"] - 1, 0)})
            await here.app.insert_all_async([new, scripted.new({"script": ["ok"]})])

        here.insert(chain.new({"n": 6}), chain_async.new({"n": 3}))
        here.insert(chain_async.new({"n": 3}, meta={"s": 1}, schedule_in=1))
        here.jobs.advance(120)

    rows = agree(body)
    assert {row["state"] for row in rows} == {"completed"}
    assert len(rows) > 15


def test_limits_and_pauses():
    def body(here: Running) -> None:
        def new(queue: str, n: int = 1) -> list[Any]:
            return [scripted.new({"script": ["ok"], "n": m}, queue=queue) for m in range(n)]

        for each in new("slow", 3):
            here.insert(each)
        here.insert(*new("slow", 2))
        here.insert(*new("few", 6))
        here.app.pause_queue("default")
        here.insert(*new("default", 2))
        here.jobs.advance(10)
        assert here.jobs.count_jobs(queue="default", state="available") == 2
        here.app.resume_queue("default")
        here.run()
        here.jobs.advance(60)

    rows = agree(body)
    assert {row["state"] for row in rows} == {"completed"}
    started = [row["attempted_at"] - START for row in rows if row["queue"] == "slow"]
    assert [span.total_seconds() for span in started] == [0, 0, 30, 30, 60]


def test_time_limits_and_sleeps_of_async_workers_that_time_brings():
    def body(here: Running) -> None:
        def new(s: float, queue: str = "default") -> Any:
            return sleeper.new({"s": s}, queue=queue, schedule_in=1)

        here.insert(sleeper.new({"s": 0}))
        here.insert(new(9), new(11))
        here.insert(new(5, "one"), new(5, "one"))
        here.jobs.advance(120)

    rows = agree(body)
    states = ["completed", "completed", "discarded", "completed", "completed"]
    assert [row["state"] for row in rows] == states
    assert rows[2]["errors"][0]["error"].startswith("JobTimeoutError")
    ended = [row["completed_at"] - START for row in rows[3:]]
    assert [span.total_seconds() for span in ended] == [6, 11], "one after another, in virtual time"


def test_time_limits_and_sleeps_of_async_workers_that_are_due_at_once():
    def body(here: Running) -> None:
        here.insert(sleeper.new({"s": 9}), sleeper.new({"s": 11}))
        here.insert(sleeper.new({"s": 5}, queue="one"), sleeper.new({"s": 5}, queue="one"))
        assert here.jobs.count_jobs(by="state") == {"completed": 3, "retryable": 1}
        here.jobs.advance(120)

    rows = agree_with_drains(body)
    assert [row["state"] for row in rows] == ["completed", "discarded", "completed", "completed"]
    assert {row["completed_at"] for row in rows} == {START, None}, "their sleeps took no time"
    assert rows[1]["errors"][0]["error"].startswith("JobTimeoutError")


def test_chains_of_sleepers_that_are_due_at_once():
    def body(here: Running) -> None:
        @worker(name="link", queue="one")
        async def link(job: Job) -> None:
            if job.args["n"]:
                await here.app.insert_async(link.new({"n": job.args["n"] - 1}))
            await asyncio.sleep(60)  # noqa: TID251 - virtual

        here.insert(link.new({"n": 20}), link.new({"n": 3}, queue="few"))

    rows = agree_with_drains(body)
    assert [row["completed_at"] for row in rows] == [START] * 25


def test_what_is_done_to_jobs_by_hand():
    def body(here: Running) -> None:
        def new(script: list[str], **options: Any) -> Any:
            return scripted.new({"script": script}, **options)

        (scheduled,) = here.insert(new(["ok"], schedule_in=60))
        here.app.cancel_job(scheduled)
        here.run()
        (failed,) = here.insert(new(["raise", "raise", "raise", "ok"]))
        here.jobs.advance(100)
        here.app.retry_job(failed)
        here.run()
        (deleted,) = here.insert(new(["raise"]))
        here.app.delete_job(deleted)
        here.insert(*[new(["snooze", "ok"], schedule_in=n) for n in range(3)])
        here.app.cancel_all_jobs(state="scheduled", scheduled_at=START + timedelta(seconds=102))
        here.app.retry_all_jobs(state=["scheduled", "cancelled"])
        here.run()
        here.jobs.advance(100)

    rows = agree(body)
    assert {row["state"] for row in rows} == {"completed"}
    assert rows[1]["attempt"] == 4


def test_recurring_duties_under_advance():
    plugins = [
        Cron([("* * * * *", scripted.new({"script": ["raise", "ok"]}))], timezone="Europe/Berlin"),
        Pruner(max_age=90, limit=2),
    ]

    def body(here: Running) -> None:
        here.insert(scripted.new({"script": ["ok"]}))
        here.jobs.advance(200)
        here.insert(scripted.new({"script": ["discard"]}))
        here.jobs.advance(200)

    rows = agree(body, plugins)
    assert {row["state"] for row in rows} <= {"completed", "discarded", "retryable", "scheduled"}


def test_jobs_of_no_worker_and_of_a_queue_that_nobody_serves():
    def body(here: Running) -> None:
        @worker(name="gone", max_attempts=1)
        def gone(job: Job) -> None: ...

        new = gone.new()
        from pgjobs.worker import REGISTRY

        del REGISTRY.by_name["gone"]
        here.insert(new, scripted.new({"script": ["ok"]}, queue="nobody"))
        here.jobs.advance(60)

    rows = agree(body)
    assert [row["state"] for row in rows] == ["discarded", "available"]


# Any program


@dataclass(frozen=True)
class Step:
    """One thing that a test does, as data, so that a failing program can be read."""

    kind: str
    value: Any = None

    def act(self, here: Running) -> None:
        if self.kind == "insert":
            here.insert(*(made(each) for each in self.value))
        elif self.kind == "advance":
            here.jobs.advance(self.value)
        else:
            self._by_hand(here)
            here.run()

    def _by_hand(self, here: Running) -> None:
        if self.kind in ("pause_queue", "resume_queue"):
            getattr(here.app, self.kind)(self.value)
        elif found := here.app.all_jobs():
            getattr(here.app, self.kind)(found[self.value % len(found)])


def made(given: dict[str, Any]) -> Any:
    given = dict(given)
    if "s" in given:
        return sleeper.new({"s": given.pop("s")}, **{"queue": "wide", **given})
    if given.pop("is_unique", False):
        given["unique"] = Unique(period=30, keys=("k",))
        given["replace"] = {"scheduled": ("scheduled_at", "args")}
    args = {"script": given.pop("script"), "k": given.pop("k")}
    return scripted.new(args, **given)


delays = st.sampled_from([0, 0.5, 1, 15, 16, 20, 31, 60])


def jobs_with(
    more: dict[str, st.SearchStrategy[Any]], queues: tuple[str, ...] = (*QUEUES, "nobody")
) -> st.SearchStrategy[dict[str, Any]]:
    """Options of jobs, those in ``more`` always."""
    return st.fixed_dictionaries(
        more,
        optional={
            "queue": st.sampled_from(queues),
            "priority": st.integers(0, 9),
            "max_attempts": st.integers(1, 3),
            "tags": st.lists(st.sampled_from("ab"), max_size=2),
            "meta": st.just({"m": {"n": [1, None]}}),
        }
        | ({} if "schedule_in" in more else {"schedule_in": delays}),
    )


def inserts_of(jobs: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[Step]:
    return st.lists(jobs, min_size=1, max_size=3).map(lambda new: Step("insert", new))


script: dict[str, st.SearchStrategy[Any]] = {
    "script": st.lists(
        st.sampled_from(["ok", "raise", "retry", "snooze", "discard", "cancel"]),
        min_size=1,
        max_size=4,
    ),
    "k": st.integers(1, 3),
    "is_unique": st.booleans(),
}
advances = st.sampled_from([0, 0.5, 1, 15, 16, 30, 31, 60]).map(lambda s: Step("advance", s))
changes = st.builds(
    Step, st.sampled_from(["cancel_job", "retry_job", "delete_job"]), st.integers(0, 20)
)
controls = st.builds(
    Step, st.sampled_from(["pause_queue", "resume_queue"]), st.sampled_from([*QUEUES])
)
sleepers = jobs_with({"s": st.sampled_from([0, 1, 9.5, 10, 11])}, ("wide",))
later_sleepers = jobs_with(
    {"s": st.sampled_from([0, 1, 9.5, 10, 11]), "schedule_in": st.sampled_from([0.5, 1, 15, 31])}
)


LATER = (Step("insert", [{"s": 9.5, "schedule_in": 1}]), Step("advance", 1))


@settings(max_examples=60)
@given(
    program=st.lists(
        st.one_of(inserts_of(jobs_with(script)), advances, changes, controls),
        min_size=1,
        max_size=8,
    )
    | st.lists(
        st.one_of(inserts_of(jobs_with(script) | later_sleepers), advances), min_size=1, max_size=8
    )
)
@example(program=[*LATER, Step("delete_job", 0), Step("advance", 10)])
@example(program=[*LATER, Step("retry_job", 0), Step("cancel_job", 0)])
def test_any_program_ends_alike_in_every_mode(program):
    def body(here: Running) -> None:
        for step in program:
            step.act(here)
        here.jobs.advance(200)

    agree(body)


def without_node(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**row, "attempted_by": None} for row in rows]


@settings(max_examples=60)
@given(
    program=st.lists(
        inserts_of(jobs_with(script, ("default", "one", "few")) | sleepers) | advances | changes,
        min_size=1,
        max_size=8,
    )
)
def test_a_drain_after_each_insert_ends_alike_too(program):
    """Drains run one job after another, past pauses, limits and time; where none of these counts,
    their rows are those of the engine. Async workers that sleep are no exception."""

    def body(here: Running) -> None:
        for step in program:
            step.act(here)
        here.jobs.advance(200)

    drained, _ = result("manual", body, kind=Drained)
    inline, _ = result("inline", body)
    assert without_node(inline) == without_node(drained)


@pytest.mark.parametrize(
    "outer, block", [("manual", "postgres"), ("manual", "live"), ("postgres", "live")]
)
def test_a_block_has_the_store_of_its_test(outer: str, block: str) -> None:
    with (
        harness(mode=outer) as jobs,
        pytest.raises(
            ConfigurationError, match=f"mode '{outer}' cannot become '{block}' within a test"
        ),
        jobs.mode(block),
    ):
        """It was refused."""
