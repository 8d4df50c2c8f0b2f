"""Who listens is told, in order; who raises is let go."""

from __future__ import annotations

import threading
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from pgjobs import ConfigurationError, Discard, telemetry
from pgjobs.engine.report import Reporter
from pgjobs.ports import Run
from pgjobs.rules.job import JobState
from pgjobs.rules.outcome import returned
from pgjobs.telemetry import EVENTS, Telemetry
from tests.rules.factory import job as any_job


def test_a_handler_hears_the_events_it_asked_for_until_it_is_detached():
    told: list[Any] = []
    hub = Telemetry()
    hub.attach("a", ["pgjobs.job.start", "pgjobs.job.stop"], lambda *args: told.append(args))
    assert hub.wanted("pgjobs.job.start")
    assert not hub.wanted("pgjobs.job.insert")
    hub.emit("pgjobs.job.start", {"queue_time": 1.0}, {"job": 1})
    hub.emit("pgjobs.job.insert", {}, {})
    assert [("pgjobs.job.start", {"queue_time": 1.0}, {"job": 1})] == told
    assert hub.detach("a")
    assert not hub.detach("a")
    hub.emit("pgjobs.job.start", {}, {})
    assert 1 == len(told)
    assert not hub.wanted("pgjobs.job.start")


def test_handlers_are_called_in_the_order_in_which_they_came():
    told: list[str] = []
    hub = Telemetry()
    for id_ in ("b", "a", "c"):
        hub.attach(id_, "pgjobs.job.start", lambda *_, id_=id_: told.append(id_))
    hub.emit("pgjobs.job.start", {}, {})
    assert ["b", "a", "c"] == told


def test_a_handler_that_raises_is_detached_and_the_others_are_told(
    caplog: pytest.LogCaptureFixture,
):
    told: list[int] = []
    hub = Telemetry()

    def broken(*_: object) -> None:
        raise RuntimeError("x")

    hub.attach("broken", EVENTS, broken)
    hub.attach("fine", EVENTS, lambda *_: told.append(1))
    for _ in range(2):
        hub.emit("pgjobs.job.stop", {}, {})
    assert [1, 1] == told
    assert 1 == len(caplog.records)
    assert "'broken' raised at pgjobs.job.stop and is detached" in caplog.text


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_a_handler_that_would_end_a_thread_is_detached_unless_a_person_may_have_ended_it(
    error: type[BaseException],
):
    hub, ended = Telemetry(), []

    def ends(*_: object) -> None:
        raise error

    def told() -> None:
        hub.attach("ends", EVENTS, ends)
        hub.emit("pgjobs.job.stop", {}, {})
        ended.append(hub.detach("ends"))

    elsewhere = threading.Thread(target=told)
    elsewhere.start()
    elsewhere.join()
    assert [False] == ended
    if error is KeyboardInterrupt:
        with pytest.raises(KeyboardInterrupt):
            told()


def test_a_handler_may_detach_itself():
    hub = Telemetry()
    hub.attach("once", EVENTS, lambda *_: hub.detach("once"))
    hub.emit("pgjobs.job.stop", {}, {})
    assert not hub.wanted("pgjobs.job.stop")


@pytest.mark.parametrize(
    "events, handler, message",
    [
        (["pgjobs.job.stopp"], print, "unknown event 'pgjobs.job.stopp': did you mean"),
        ("job.stop", print, "unknown event 'job.stop'"),
        (["pgjobs.job.stop"], None, "a handler is a callable, not None"),
        (
            None,
            print,
            r"events takes the names of events, such as \[\"pgjobs.job.stop\"\], not None",
        ),
        (3, print, "events takes the names of events, .*, not 3"),
        ([None], print, "unknown event None"),
    ],
)
def test_a_bad_attachment_is_refused(events: Any, handler: Any, message: str):
    with pytest.raises(ConfigurationError, match=message):
        telemetry.attach("bad", events, handler)
    assert not telemetry.detach("bad")


def test_an_id_that_is_none_is_refused():
    given: Any = []
    for call in (
        lambda: telemetry.attach(given, EVENTS, print),
        lambda: telemetry.detach(given),
        lambda: telemetry.log(id=given),
    ):
        with pytest.raises(ConfigurationError, match=r"id takes a text, not \[\]"):
            call()


def test_what_is_to_be_logged_is_checked_as_what_is_attached():
    given: Any = None
    with pytest.raises(ConfigurationError, match=r"events takes the names of events, .*, not None"):
        telemetry.log(events=given)
    assert not telemetry.detach("pgjobs.log")


def test_an_id_is_given_once():
    telemetry.attach("mine", EVENTS, print)
    with pytest.raises(ConfigurationError, match="attached as 'mine' already: detach it first"):
        telemetry.attach("mine", EVENTS, print)
    assert telemetry.detach("mine")


def test_a_snapshot_is_restored():
    hub = Telemetry()
    hub.attach("a", EVENTS, print)
    before = hub.snapshot()
    hub.attach("b", EVENTS, print)
    hub.detach("a")
    hub.restore(before)
    assert before == hub.snapshot()
    assert hub.wanted("pgjobs.job.stop")


def test_a_completed_job_is_told_where_somebody_asks_for_completions():
    hub = Telemetry()
    told: list[tuple[str, str]] = []

    def heard_by(name: str) -> Any:
        return lambda event, measurements, metadata: told.append((name, str(metadata["state"])))

    def both_end() -> list[tuple[str, str]]:
        told.clear()
        reporter = Reporter(hub, "here")
        job = any_job(state=JobState.EXECUTING, attempt=1)
        for state, outcome in (
            ("completed", returned(None)),
            ("discarded", returned(Discard("no"))),
        ):
            after = partial(replace, job, state=JobState(state))
            reporter.ended(Run(job, None, "default", 0.0), after, outcome, 1.0)
        return [*told]

    hub.replace("failures", "pgjobs.job.stop", heard_by("failures"), completions=False)
    assert [("failures", "discarded")] == both_end()
    before = hub.snapshot()
    hub.attach("all", ("pgjobs.job.start", "pgjobs.job.stop"), heard_by("all"))
    assert [
        ("failures", "completed"),
        ("all", "completed"),
        ("failures", "discarded"),
        ("all", "discarded"),
    ] == both_end()
    hub.restore(before)
    assert [("failures", "discarded")] == both_end()
