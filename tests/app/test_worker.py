"""Defining workers: options checked when they are given, names, and what is still a plain callable."""

from __future__ import annotations

import functools
import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from pgjobs import ConfigurationError, InvalidJobError, Job, PgJobsError, backoff, worker
from pgjobs.rules.errors import UnknownWorkerError
from pgjobs.worker import REGISTRY, Registry
from tests.rules.factory import job


class Asked:
    """Methods as backoffs."""

    def of_one(self, attempt: int) -> float:
        return 3

    def of_two(self, attempt: int, job: Job) -> float:
        return 3


class CallableOfTwo:
    """An object as a backoff, which takes too much."""

    def __call__(self, attempt: int, job: Job) -> float:
        return 3


def test_a_worker_is_still_an_ordinary_callable():
    @worker(priority=3)
    def double(job):
        """Twice."""
        return 2 * job

    assert 8 == double(4)
    assert ("Twice.", "double", __name__) == (
        double.__doc__,
        double.wrapped.__name__,
        double.__module__,
    )
    assert f"<worker {double.name}>" == repr(double)


def test_a_class_with_perform_is_a_worker_and_still_a_class():
    class Train:
        def perform(self, job: Job) -> str:
            return "trained"

    train = worker(Train)
    assert "trained" == train().perform(job())
    assert "trained" == train.bound()(job())
    assert "thread" == train.executor


def test_the_executor_follows_from_the_function():
    async def a(job): ...

    def d(job): ...

    assert ["async", "thread"] == [worker(a).executor, worker(d).executor]
    assert "thread" == worker(executor="thread")(a).executor
    assert ["process"] * 2 == [worker(executor="process")(each).executor for each in (a, d)]


def test_a_name_is_module_and_qualified_name_unless_it_is_given():
    def plain(job): ...

    assert f"{__name__}.{plain.__qualname__}" == worker(plain).name
    assert "shop.plain" == worker(name="shop.plain")(plain).name
    plain.__module__ = "__mp_main__"  # the main script, as multiprocessing imports it
    assert f"__main__.{plain.__qualname__}" == worker(plain).name
    assert "n" * 127 == worker(name="n" * 127)(plain).name


@pytest.mark.parametrize(
    "given, message",
    [
        ({"max_attempt": 3}, "unknown option of worker 'max_attempt': did you mean 'max_attempts'"),
        ({"unique": True}, r"unique takes Unique\(period=..., ...\), or None, not True"),
        ({"replace": True}, "replace takes a mapping of states to fields"),
        ({"args": dict}, "args takes a dataclass or a pydantic model"),
        ({"zzz": 3}, "unknown option of worker 'zzz'; known are args, backoff, executor, "),
        (
            {"scheduled_at": None},
            r"worker has no option 'scheduled_at': it belongs to new\(\.\.\.\)",
        ),
        ({"schedule_in": 5}, "worker has no option 'schedule_in'"),
        ({"queue": ""}, "queue is a text of 1 to 127 characters: ''"),
        ({"max_attempts": 0}, "max_attempts is a whole number from 1 to 32767: 0"),
        ({"priority": 10}, "priority is a whole number from 0 to 9: 10"),
        ({"tags": "vip"}, "tags takes a list of texts"),
        ({"meta": []}, "meta must be a JSON object"),
        ({"timeout": 0}, "the timeout of worker .* must be more than 0 s, not 0"),
        ({"timeout": -1}, "the timeout of worker .* must be more than 0 s, not -1"),
        ({"timeout": timedelta(-1)}, "the timeout of worker .* must be more than 0 s"),
        (
            {"timeout": lambda job: 3},
            r"takes seconds or a timedelta.*a class, as timeout\(self, job\)",
        ),
        ({"timeout": "5"}, "the timeout of worker .* takes seconds or a timedelta, not '5'"),
        ({"backoff": 5}, r"the backoff of worker .* such as backoff\.linear\(60\), not 5"),
        ({"name": ""}, "a worker's name is a text of 1 to 127 characters: ''"),
        ({"name": "n" * 128}, "a worker's name is a text"),
        ({"name": 5}, "a worker's name is a text"),
        ({"executor": "fibre"}, "executor is one of async, thread, process, not 'fibre'"),
        ({"executor": "async"}, 'executor="async" needs `async def`'),
    ],
)
def test_a_bad_option_is_refused_when_it_is_given(given: dict[str, Any], message: str):
    with pytest.raises(PgJobsError, match=message):
        worker(**given)(lambda job: None)


@pytest.mark.parametrize("bad", [5, "text", object()])
def test_what_cannot_be_called_is_no_worker(bad: Any):
    with pytest.raises(ConfigurationError, match="a worker is a function or a class"):
        worker(bad)


class Unnamed:
    def __call__(self, job): ...

    def __repr__(self):
        raise ValueError


def test_a_callable_without_a_name_needs_one():
    partial = functools.partial(lambda job, n: n, n=1)
    message = r'functools.partial\(.*\) has no name .*: give one, as in worker\(name="shop.send"\)$'
    with pytest.raises(ConfigurationError, match=message):
        worker(partial)
    with pytest.raises(ConfigurationError, match="an unprintable Unnamed has no name"):
        worker(Unnamed())
    assert 1 == worker(name="shop.partial")(partial).bound()(job())


def test_a_class_without_perform_is_no_worker():
    with pytest.raises(
        ConfigurationError, match=r"a worker class has a method perform\(self, job\)"
    ):

        @worker
        class Idle: ...


@pytest.mark.parametrize(
    "given, message",
    [
        ({"priorty": 1}, "unknown option of a job 'priorty': did you mean 'priority'"),
        ({"unique": 60}, r"unique takes Unique\(period=..., ...\), or None, not 60"),
        ({"timeout": 1}, "unknown option of a job 'timeout'"),
        ({"args": {}}, r"args come first, without a name: plain\.new"),
        ({"priority": 10}, "priority is a whole number from 0 to 9: 10"),
        ({"schedule_in": -1}, "schedule_in must be 0 s or more"),
        ({"meta": {"a": {1}}}, r"meta\.a"),
    ],
)
def test_a_bad_option_of_a_job_is_refused_when_it_is_given(given: dict[str, Any], message: str):
    plain = worker(name="plain")(lambda job: None)
    with pytest.raises(PgJobsError, match=message):
        plain.new({}, **given)


@pytest.mark.parametrize(
    "bad", ["text", [1], 5, {"a": object()}, {"a": "\x00"}, {"a": float("nan")}]
)
def test_args_are_a_json_object(bad: Any):
    plain = worker(name="plain")(lambda job: None)
    with pytest.raises(InvalidJobError, match="args"):
        plain.new(bad)


def test_a_new_job_is_empty_without_args():
    assert {} == worker(name="plain")(lambda job: None).new().args


def test_a_worker_defined_again_under_its_name_replaces_it():
    first = worker(name="shop.twice")(lambda job: 1)
    second = worker(name="shop.twice")(lambda job: 2)
    assert first is not second is REGISTRY.find("shop.twice")


def test_a_worker_that_is_not_registered_is_answered_with_the_nearest_name():
    worker(name="shop.ship_order")(lambda job: 1)
    with pytest.raises(UnknownWorkerError, match=r"did you mean 'shop\.ship_order'"):
        REGISTRY.find("shop.ship_ordr")
    with pytest.raises(UnknownWorkerError, match=r"PgJobs\(workers=\[\.\.\.\]\)"):
        Registry().find("shop.ship_order")


LARGE = {
    "text": {"a": "x" * 1025},
    "umlauts": {"a": "ä" * 600},
    "floats": {"a": [0.123456789012345] * 70},
    "digits": {"a": 10**1100},
    "keys": {f"key{n:04}": None for n in range(80)},
    "depth": {"a": [{"b": "x" * 300}] * 4},
}


@pytest.mark.parametrize("args", LARGE.values(), ids=LARGE)
def test_args_of_more_than_a_kibibyte_are_logged_once_a_worker(
    args: dict[str, Any], caplog: pytest.LogCaptureFixture
):
    plain = worker(name="shop.large")(lambda job: None)
    with caplog.at_level(logging.WARNING, "pgjobs"):
        plain.new({"a": "x" * 900})
        assert [] == caplog.records
        for _ in range(3):
            plain.new(args)
    assert 1 == len(caplog.records)
    assert "worker shop.large got args of about" in caplog.text


def test_the_backoff_of_a_class_wins_over_the_option():
    class Own:
        def perform(self, job: Job) -> None: ...

        def backoff(self, job: Job) -> float:
            return job.attempt * 7.0

    own = worker(backoff=backoff.linear(60), name="shop.own")(Own)
    assert 14.0 == own.backoff_s(job(attempt=2), None)


@pytest.mark.parametrize(
    "given, expected",
    [
        (backoff.constant(5), 5),
        (lambda attempt: attempt * 2, 4),
        (lambda attempt: timedelta(minutes=attempt), 120),
        (lambda attempt: -5, 0),
        (None, 31),
    ],
)
def test_a_backoff_is_a_schedule_or_a_function_of_the_attempt(given: Any, expected: float):
    plain = worker(name="plain", backoff=given)(lambda job: None)
    assert expected == plain.backoff_s(job(attempt=2), None)


@pytest.mark.parametrize("answer", [None, "5", float("nan")])
def test_a_backoff_that_answers_nonsense_falls_back_to_the_default(
    answer: Any, caplog: pytest.LogCaptureFixture
):
    plain = worker(name="plain", backoff=lambda attempt: answer)(lambda job: None)
    assert 16 == plain.backoff_s(job(), None)
    assert "the backoff of worker plain raised at attempt 1" in caplog.text


def test_the_timeout_of_a_class_wins_over_the_option():
    class Own:
        def perform(self, job: Job) -> None: ...

        def timeout(self, job: Job) -> float | None:
            return job.args.get("limit")

    own = worker(timeout=60, name="shop.own")(Own)
    assert timedelta(seconds=5) == own.timeout_of(job(args={"limit": 5}))
    assert own.timeout_of(job()) is None


@dataclass
class Package:
    name: str
    size: int = 1


def test_a_worker_with_a_model_takes_it_or_a_mapping_and_gets_it_as_data():
    class Sync:
        def perform(self, job: Job) -> Any:
            return job.data

        def timeout(self, job: Job) -> Any:
            return job.data.size

        def backoff(self, job: Job) -> Any:
            return job.data.size * 2

    sync = worker(args=Package, name="shop.sync")(Sync)
    for given in (Package("react"), {"name": "react"}):
        new = sync.new(given, priority=1)
        assert ({"name": "react", "size": 1}, 1) == (new.args, new.priority)
        run = job(args=dict(new.args))
        assert Package("react") == sync.bound()(run)
        assert (timedelta(seconds=1), 2) == (sync.timeout_of(run), sync.backoff_s(run, None))
        assert run.data is None
    with pytest.raises(InvalidJobError, match=r"worker shop\.sync: args\.name is missing"):
        sync.new()


def test_a_job_with_data_is_the_same_job():
    plain = worker(name="plain")(lambda job: job)
    sync = worker(args=Package, name="shop.sync")(lambda job: job)
    run = job(args={"name": "react"})
    assert run is plain.with_data(run)
    assert run.data is None
    typed = sync.bound()(run)
    assert (run, repr(run)) == (typed, repr(typed))
    assert typed.cancelled is run.cancelled


@pytest.mark.parametrize("how", ["option", "method"])
def test_a_thread_worker_with_a_time_limit_is_told_once_that_nothing_stops_it(how, caplog):
    if how == "option":
        made = worker(timeout=5, name="stubborn")(lambda job: None)
    else:

        class Stubborn:
            def perform(self, job):
                return None

            def timeout(self, job):
                return 5

        made = worker(name="stubborn")(Stubborn)  # type: ignore[arg-type]  # a class, not a function
    made.new({})
    made.new({})
    worker(timeout=5, name="stubborn", executor="process")(lambda job: None)
    said = [record.message for record in caplog.records if "stubborn" in record.message]
    assert len(said) == 1
    assert "async def" in said[0]
    assert 'executor="process"' in said[0]


def test_a_maker_of_backoffs_is_no_backoff():
    with pytest.raises(ConfigurationError, match=r"call it, as in backoff.linear\(60\)"):
        worker(name="tests.uncalled", backoff=backoff.linear)(lambda job: None)


@pytest.mark.parametrize("asked", ["timeout", "backoff"])
def test_what_the_engine_asks_of_a_worker_cannot_be_async(asked: str):
    async def answer(self: object, job: Job) -> float:
        return 1.0

    made = type("Asked", (), {"perform": lambda self, job: None, asked: answer})
    with pytest.raises(
        ConfigurationError, match=f"{asked}.* is asked by the engine, which cannot await"
    ):
        worker(name="tests.asked")(made)


@pytest.mark.parametrize(
    "given",
    [
        lambda: 3,
        lambda attempt, job: 3,
        lambda *, attempt: 3,
        functools.partial(lambda attempt, job: 3),
        Asked().of_two,
        CallableOfTwo(),
    ],
)
def test_a_backoff_that_cannot_be_called_with_the_attempt_is_refused(given: Any):
    with pytest.raises(
        ConfigurationError,
        match=r"the backoff of worker picky must take one argument, the number of the attempt that failed",
    ):
        worker(name="picky", backoff=given)(lambda job: None)


@pytest.mark.parametrize(
    "given",
    [
        lambda attempt: 3,
        lambda *attempts: 3,
        lambda attempt, more=1: 3,
        functools.partial(lambda more, attempt: 3, 1),
        Asked().of_one,
        float,
        abs,
        backoff.linear(3),
    ],
)
def test_whatever_can_be_called_with_the_attempt_is_a_backoff(given: Any):
    made = worker(name="easy", backoff=given)(lambda job: None)
    assert made.backoff_s(job(attempt=3), None) in (3.0, 9.0)


def test_an_async_backoff_is_refused():
    async def wait(attempt: int) -> float:
        return 3

    with pytest.raises(ConfigurationError, match="cannot await: use `def`"):
        worker(backoff=wait)(lambda job: None)


@pytest.mark.parametrize("asked", ["backoff", "timeout"])
@pytest.mark.parametrize("method", [lambda self: 3, lambda self, job, more: 3])
def test_what_the_engine_asks_of_a_class_must_take_the_job(asked: str, method: Any):
    kind = type("Kind", (), {"perform": lambda self, job: None, asked: method})
    with pytest.raises(ConfigurationError, match=rf"{asked} must take {asked}\(self, job\): "):
        worker(name="kind")(kind)
