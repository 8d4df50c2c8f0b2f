"""What plugins accept, and what they do in a test: nothing but under ``advance``."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pgjobs import Cron, LeaderTasks, PgJobs, Pruner, Stalled, worker
from pgjobs.plugins import DEFAULT, beat_interval
from pgjobs.rules.errors import ConfigurationError
from pgjobs.rules.job import Job, NewJob
from pgjobs_testing import capture, harness

START = datetime(2025, 3, 1, 12, tzinfo=UTC)


def nothing() -> None:
    """A task."""


@worker(name="tests.tick")
def tick(job: Job) -> None:
    """Does nothing."""


class Loose:
    """The plugins, for arguments that a type checker refuses."""

    pruner: Any = Pruner
    stalled: Any = Stalled
    cron: Any = Cron
    tasks: Any = LeaderTasks
    jobs: Any = PgJobs


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Loose.pruner(max_age=-1), "the max_age of Pruner must be 0 s or more, not -1"),
        (
            lambda: Loose.pruner(limit=0),
            "the limit of Pruner is a whole number from 1 to 100000: 0",
        ),
        (lambda: Loose.pruner(interval="5"), "the interval of Pruner takes seconds or a timedelta"),
        (
            lambda: Loose.stalled(rescue_after=0),
            "the rescue_after of Stalled must be 0.1 s or more",
        ),
        (lambda: Loose.stalled(interval=None), "the interval of Stalled takes seconds"),
        (lambda: Loose.cron("* * * * *"), "entries are a list of pairs"),
        (lambda: Loose.cron([("* * * * *",)]), "entry 1 is a pair"),
        (lambda: Loose.cron([("@daily", tick), ("0 0 30 2 *", tick)]), "entry 2: .*never comes"),
        (
            lambda: Loose.cron([("@daily", nothing)]),
            "entry 1: what '@daily' inserts is a worker or",
        ),
        (lambda: Loose.cron([("@daily", tick.new(scheduled_at=START))]), "has a scheduled_at"),
        (lambda: Loose.cron([], timezone="Mars"), "no time zone 'Mars'"),
        (lambda: Loose.cron([], catch_up=-1), "the catch_up of Cron must be 0 s or more"),
        (lambda: Loose.tasks([("@daily", tick)]), "is for Cron"),
        (lambda: Loose.tasks([("@daily", dict)]), "a function without arguments"),
        (lambda: Loose.tasks([("@daily", 5)]), "a function without arguments"),
        (lambda: Loose.tasks([("@daily", lambda job: None)]), "needs some: missing"),
        (lambda: Loose.jobs(plugins=[Pruner]), "make an instance of it, Pruner"),
        (lambda: Loose.jobs(plugins="pruner"), "plugins takes a list"),
        (
            lambda: Loose.jobs(plugins=[Pruner(), Stalled(), Pruner(5)]),
            "more than one Pruner: give one",
        ),
    ],
)
def test_a_plugin_that_cannot_be_is_refused_with_the_remedy(make: Any, message: str):
    with pytest.raises(ConfigurationError, match=message):
        make()


def test_jobs_are_rescued_and_pruned_where_nothing_is_said():
    assert DEFAULT == PgJobs().plugins == (Stalled(60, 60), Pruner(7 * 86_400, 1_000, 30))
    assert () == PgJobs(plugins=False).plugins
    assert () == PgJobs(plugins=[]).plugins


def test_equal_entries_are_told_apart_and_keep_their_keys():
    first, again = (
        Cron([("* * * * *", tick), (" *  * * * * ", tick), ("* * * * *", tick.new({"a": 1}))])
        for _ in range(2)
    )
    keys = [entry.key for entry in first.entries]
    assert 3 == len(set(keys))
    assert keys == [entry.key for entry in again.entries]
    assert keys[1] == f"{keys[0]}#2"
    (elsewhere,) = Cron([("* * * * *", tick)], timezone="Europe/Berlin").entries
    assert elsewhere.key not in keys


def test_a_node_beats_six_times_before_it_could_be_taken_for_dead():
    ten = timedelta(seconds=10)
    assert ten == beat_interval(DEFAULT, ten)
    assert timedelta(seconds=5) == beat_interval([Pruner(), Stalled(rescue_after=30)], ten)
    assert ten == beat_interval([Pruner()], ten)


def test_recurring_plugins_act_only_while_time_passes():
    plugins = [Cron([("* * * * *", tick)]), Pruner(max_age=0)]
    with harness(mode="inline", start=START, plugins=plugins) as jobs:
        jobs.insert(tick.new())
        assert {"completed": 1} == jobs.count_jobs(by="state")
        jobs.advance(60)
        trace = jobs.advance(60)
        assert ["prune", "insert", "start", "completed"] == [
            moment.event for moment in trace.moments
        ]
        assert {"completed": 1} == jobs.count_jobs(by="state")


def test_an_application_is_tested_with_its_own_plugins():
    app = PgJobs(
        "postgresql://localhost/cronned",
        name="cronned",
        plugins=[Cron([("*/15 * * * *", tick.new({"from": "cron"}))])],
    )
    with harness(start=START) as every:
        jobs = every["cronned"]
        jobs.advance(3600)
        found = jobs.all_jobs(args={"from": "cron"})
        assert ["completed"] * 4 == [job.state for job in found]
    assert app.plugins


def test_the_harness_alone_has_no_plugins(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(
        capture, "applications", lambda *_: []
    )  # other tests' may not be collected yet
    with harness(start=START) as jobs:
        jobs.insert(tick.new())
        jobs.advance(30 * 86_400)
        assert {"completed": 1} == jobs.count_jobs(by="state")


def test_a_leaders_task_runs_in_the_test_itself_without_a_row():
    ran: list[Any] = []

    async def later() -> None:
        await asyncio.sleep(30)  # noqa: TID251 - virtual under advance
        ran.append("later")

    tasks = LeaderTasks([("*/5 * * * *", lambda: ran.append(here.clock.now())), ("@hourly", later)])
    with harness(start=START, plugins=[tasks]) as here:
        trace = here.advance(3600)
        assert [START + timedelta(minutes=5 * n) for n in range(1, 13)] == ran
        assert 0 == here.count_jobs()
        assert 12 == len([m for m in trace.of("stop") if m.ordinal == 0])
        here.advance(30)
        assert "later" == ran[-1]


def test_a_task_that_fails_is_told_and_the_next_tick_comes(caplog: pytest.LogCaptureFixture):
    calls: list[int] = []

    def failing() -> None:
        calls.append(1)
        raise ValueError("no disk")

    with harness(start=START, plugins=[LeaderTasks([("* * * * *", failing)])]) as jobs:
        trace = jobs.advance(180)
    assert 3 == len(calls) == len(trace.of("exception"))
    assert "the leader's task" in caplog.text
    assert "no disk" in caplog.text


def test_a_task_that_still_runs_is_skipped_and_a_long_one_is_logged(
    caplog: pytest.LogCaptureFixture,
):
    started: list[datetime] = []

    async def slow() -> None:
        started.append(jobs.clock.now())
        await asyncio.sleep(150)  # noqa: TID251 - virtual under advance

    with (
        caplog.at_level(logging.WARNING, "pgjobs"),
        harness(start=START, plugins=[LeaderTasks([("* * * * *", slow)])]) as jobs,
    ):
        trace = jobs.advance(timedelta(minutes=8))
    minutes = [(at - START) // timedelta(minutes=1) for at in started]
    assert [1, 4, 7] == minutes
    assert 5 == len(trace.of("skip"))
    assert 3 == caplog.text.count("has been running for more than 0:01:00")


def test_a_template_of_any_kind_may_be_an_entry():
    cron = Cron([("@daily", NewJob("elsewhere.work", {}))])
    assert "elsewhere.work" == cron.entries[0].what.worker


class Called:
    """An object that is async by its ``__call__``."""

    def __init__(self) -> None:
        self.calls = 0

    async def __call__(self) -> None:
        self.calls += 1


def test_a_task_that_is_an_object_is_awaited_and_a_coroutine_of_a_lambda_is_told_as_failed():
    called = Called()

    def forgetful() -> object:
        return called()

    tasks = LeaderTasks([("@hourly", called), ("@hourly", forgetful)])
    with harness(start=START, plugins=[tasks]) as jobs:
        trace = jobs.advance(3600)
    assert 1 == called.calls
    assert (1, 1) == (len(trace.of("stop")), len(trace.of("exception")))


def test_what_a_cron_entry_adds_to_meta_is_in_jsonbs_order():
    with harness(start=START, plugins=[Cron([("@hourly", tick.new(meta={"zz": 1}))])]) as jobs:
        jobs.advance(3600)
        (job,) = jobs.all_jobs()
    assert ["zz", "cron", "cron_at", "cron_tz", "cron_expr"] == [*job.meta]
