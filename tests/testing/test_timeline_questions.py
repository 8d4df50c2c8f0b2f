"""What a timeline is asked for is checked, as everything is that a test gives."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from pgjobs import ConfigurationError, LeaderTasks, worker
from pgjobs.telemetry import EVENTS
from pgjobs_testing import harness
from pgjobs_testing.naming import WORDS


@worker(max_attempts=2)
def note(job):
    if job.attempt == 1:
        raise ValueError("not yet")


@pytest.mark.parametrize("made", ["to_svg", "to_html", "to_scenario"])
@pytest.mark.parametrize("given", [None, 5, b"a title"])
def test_a_title_is_a_text(made, given):
    option = "name" if made == "to_scenario" else "title"
    with harness() as jobs:
        jobs.insert(note.new())
        with pytest.raises(ConfigurationError) as refused:
            getattr(jobs.timeline, made)(given)
    assert f"{option} takes a text, not {given!r}" == str(refused.value)


@pytest.mark.parametrize(
    "given, said",
    [
        ("complet", "unknown event of a trace 'complet': did you mean 'completed'?"),
        ("inserted", "unknown event of a trace 'inserted': did you mean 'insert'?"),
        ("pgjobs.job.start", "a trace has other words than 'pgjobs.job.start': expected 'start'"),
        ("pgjobs.job.stop", "expected the state that the job came to, such as 'completed'"),
        ("pgjobs.task.start", "other words than 'pgjobs.task.start': expected 'task.start'"),
        ("task.begin", "unknown event of a trace 'task.begin'"),
        (5, "unknown event of a trace 5; known are "),
        (None, "unknown event of a trace None"),
    ],
)
def test_moments_are_asked_for_by_words_that_there_are(given, said):
    for strict in (False, True):
        with harness(strict=strict) as jobs, pytest.raises(ConfigurationError) as refused:
            jobs.timeline.of(given)
        assert said in str(refused.value)


def test_what_has_not_happened_but_can_is_no_mistake():
    with harness() as jobs:
        assert {word: [] for word in WORDS} == {word: jobs.timeline.of(word) for word in WORDS}
        jobs.insert(note.new())
        jobs.advance(20)
        happened = [moment.event for moment in jobs.timeline]
    assert ["insert", "start", "retryable", "stage", "start", "completed"] == happened
    assert set(happened) <= set(WORDS)


def test_starts_are_those_of_jobs_and_a_tasks_are_named_in_full():
    tasks = LeaderTasks([("* * * * *", lambda: None)])
    with harness(plugins=[tasks], start=datetime(2025, 1, 1, tzinfo=UTC)) as jobs:
        jobs.insert(note.new())
        trace = jobs.advance(120)
    assert [1, 2] == [moment.job.attempt for moment in trace.of("start") if moment.job]
    assert trace.of("start") == trace.of("job.start")
    of_tasks = trace.of("task.start")
    assert ["pgjobs.task.start"] * 2 == [moment.name for moment in of_tasks]
    assert [None, None] == [moment.job for moment in of_tasks]
    assert [] == trace.of("node.start") == trace.of("task.exception")
    assert trace.text().count(" start ") == 4


def test_every_event_of_telemetry_may_be_named_in_full():
    with harness() as jobs:
        for name in EVENTS:
            assert [] == jobs.timeline.of(name.removeprefix("pgjobs."))


@worker(queue="parcels")
def pack(job): ...


@pytest.fixture(params=["manual", pytest.param("postgres", marks=pytest.mark.postgres)])
def shop(request):
    """A harness of an application that serves two queues, in memory and on a server."""
    if request.param == "postgres":
        request.getfixturevalue("server")
    with harness(mode=request.param, queues={"default": 1, "mail": 2}) as jobs:
        yield jobs


def test_a_drain_of_a_misspelt_queue_is_refused_as_a_refutation_is(shop):
    shop.insert(pack.new())
    for wrong, right in (("defualt", "default"), ("mial", "mail"), ("parcel", "parcels")):
        with pytest.raises(
            ConfigurationError, match=f"{wrong!r} is served, .*: did you mean {right!r}"
        ):
            shop.drain_queue(wrong)
        with pytest.raises(ConfigurationError, match=f"did you mean {right!r}"):
            asyncio.run(shop.drain_queue_async(wrong))
        with pytest.raises(ConfigurationError, match=f"did you mean {right!r}"):
            shop.refute_enqueued(queue=wrong)
    assert shop.drain_queue("parcels") == {"completed": 1}
    assert ["drain", "drained"] == [call.what for call in shop.timeline.calls]


@pytest.mark.usefixtures("no_application")
def test_a_drain_of_a_queue_that_may_be_meant_runs_what_is_there(shop):
    assert {} == shop.drain_queue("mail")
    assert {} == shop.drain_queue("reports")
    shop.insert(note.new(queue="mails", schedule_in=60))
    assert {} == shop.drain_queue("mails")
    with harness() as every:
        assert {} == every.drain_queue("defualt")
