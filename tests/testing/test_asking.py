"""What a test may ask of its jobs: a question that no job could answer is refused, not answered."""

from __future__ import annotations

import gc
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
from pydantic import BaseModel, ConfigDict, Field

from pgjobs import ConfigurationError, Job, PgJobs, worker
from pgjobs_testing import ANY, Harness, harness
from pgjobs_testing.asserting.fields import OF_JOBS


@pytest.fixture
def jobs() -> Iterator[Harness]:
    with harness(mode="manual") as made:
        yield made


@worker
def note(job: Job) -> None:
    """A worker that has nothing to do."""


@worker
class Static:
    @staticmethod
    def perform(job: Job) -> int:
        return job.attempt


@pytest.mark.parametrize(
    "filters, accepted",
    [
        ({"args": 5}, "a dict"),
        ({"args": [1]}, "a dict"),
        ({"meta": None}, "a dict"),
        ({"tags": 5}, "a text or a list of texts"),
        ({"queue": None}, "a text"),
        ({"queue": ["mail", "default"]}, "a text"),
        ({"priority": "0"}, "a whole number"),
        ({"max_attempts": True}, "a whole number"),
        ({"id": "1"}, "a whole number"),
        ({"state": []}, "a state or a list of states"),
    ],
)
def test_a_filter_that_no_job_can_match_is_refused(
    jobs: Harness, filters: dict[str, Any], accepted: str
):
    jobs.insert(note.new())
    for ask in (jobs.assert_enqueued, jobs.refute_enqueued, jobs.all_enqueued):
        with pytest.raises(ConfigurationError, match=accepted):
            ask(**filters)


@pytest.mark.parametrize(
    "asked, message",
    [
        ({"count": -1}, "count is a whole number"),
        ({"count": "1"}, "count is a whole number"),
        ({"count": 0}, "refute_enqueued"),
        ({"at_least": 0}, "at_least is a whole number"),
        ({"at_least": "x"}, "at_least is a whole number"),
        ({"count": 1, "at_least": 1}, "not both"),
    ],
)
def test_a_number_that_cannot_be_asked_for_is_refused(
    jobs: Harness, asked: dict[str, Any], message: str
):
    jobs.insert(note.new())
    with pytest.raises(ConfigurationError, match=message):
        jobs.assert_enqueued(**asked)


def test_a_harness_cannot_be_live():
    with pytest.raises(ConfigurationError, match="there is no harness"), harness(mode="live"):
        pass


@pytest.mark.parametrize("given", [{"id": "x"}, {"errors": 5}, {"errors": ["why"]}])
def test_a_job_is_built_of_what_a_row_could_hold(jobs: Harness, given: dict[str, Any]):
    with pytest.raises(ConfigurationError, match=next(iter(given))):
        jobs.build_job(note, {}, **given)


def test_a_static_perform_takes_the_job_alone(jobs: Harness):
    static: Any = Static
    assert jobs.perform_job(static) == 1


def test_the_fixture_stands_for_one_instance_though_that_is_forgotten():
    """When the last reference to an instance goes is up to the garbage collector."""
    with harness() as jobs:
        app = PgJobs("postgresql://db.example.invalid/shop", name="default")
        jobs.insert(worker(name="here")(lambda job: None).new())
        del app
        gc.collect()
        assert jobs.count_jobs() == 1


def test_an_instance_that_the_test_made_comes_before_another_of_its_name() -> None:
    elsewhere = PgJobs("postgresql://elsewhere.test/elsewhere", queues={"other": 1})
    with harness(mode="manual") as jobs:
        own = PgJobs("postgresql://own.test/own", queues={"own": 1})
        assert list(jobs.queues) == ["own"]
        own.insert(note.new(queue="own"))
        assert jobs.count_jobs() == 1
    with harness(mode="manual") as jobs:
        with harness(mode="manual") as inner:
            assert list(inner.queues) == ["other"]
        assert list(jobs.queues) == ["other"]
    del elsewhere


class Even:
    """Equals every even number, as objects of libraries for assertions do."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, int) and other % 2 == 0

    def __hash__(self) -> int:
        return 0


@pytest.mark.parametrize("value", [mock.ANY, ANY, lambda _: True], ids=["mock", "ours", "function"])
@pytest.mark.parametrize("name", OF_JOBS)
def test_what_knows_what_equals_it_stands_in_place_of_any_filter(
    jobs: Harness, name: str, value: Any
):
    jobs.insert(note.new({"n": 1}))
    assert jobs.assert_enqueued(**{name: value}).args == {"n": 1}


def test_equality_of_ones_own_decides_on_a_filter(jobs: Harness):
    jobs.insert(note.new({"n": 1}, priority=2))
    jobs.assert_enqueued(priority=Even(), scheduled_in=pytest.approx(0))
    jobs.refute_enqueued(max_attempts=pytest.approx(3))
    jobs.drain_queue()
    jobs.assert_performed(priority=Even(), worker=mock.ANY, state=mock.ANY)
    jobs.assert_event("pgjobs.job.stop", priority=Even(), state=mock.ANY, duration=pytest.approx(0))


@pytest.mark.parametrize("value", [re.compile("@"), ip_address("::1"), SimpleNamespace(a=1)])
def test_an_object_that_no_value_can_equal_is_refused(jobs: Harness, value: object):
    for filters in ({"args": {"to": value}}, {"args": value}, {"queue": value}):
        with pytest.raises(ConfigurationError, match="function of the value"):
            jobs.refute_enqueued(**filters)


@dataclass
class Address:
    city: str
    zip: str | None = None


@dataclass
class Order:
    order: int
    to: Address
    also: Address | None = None
    others: list[Address] = field(default_factory=list)


class Inner(BaseModel):
    city: str


class Bill(BaseModel):
    number: int = Field(serialization_alias="billNumber", default=1)
    inner: Inner | None = None


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    number: int = 1


@worker(name="ordered", args=Order)
def ordered(job: Job) -> None: ...


@worker(name="billed", args=Bill)
def billed(job: Job) -> None: ...


@worker(name="open", args=Open)
def opened(job: Job) -> None: ...


ORDERED = r"worker ordered: args of Order have no field 'ordr': did you mean 'order'\?"


@pytest.mark.parametrize(
    "of", [ordered, "ordered", ordered.wrapped], ids=["object", "name", "code"]
)
@pytest.mark.parametrize(
    "question",
    [
        lambda jobs, asked: jobs.assert_enqueued(**asked),
        lambda jobs, asked: jobs.refute_enqueued(**asked),
        lambda jobs, asked: jobs.all_enqueued(**asked),
        lambda jobs, asked: jobs.assert_performed(**asked),
        lambda jobs, asked: jobs.refute_performed(**asked),
        lambda jobs, asked: jobs.expect_enqueued(count=0, **asked),
        lambda jobs, asked: jobs.assert_order([asked, asked]),
        lambda jobs, asked: jobs.assert_event("pgjobs.job.start", **asked),
        lambda jobs, asked: jobs.refute_event("pgjobs.job.insert", **asked),
    ],
)
def test_a_key_that_the_model_of_a_worker_lacks_is_refused(jobs: Harness, question: Any, of: Any):
    with pytest.raises(ConfigurationError, match=ORDERED):
        question(jobs, {"worker": of, "args": {"ordr": 1}})


@pytest.mark.parametrize(
    "of, args, message",
    [
        (ordered, {"to": {"ctiy": "Bern"}}, r"args.to of Address have no field 'ctiy'.*'city'"),
        (ordered, {"also": {"ctiy": ANY}}, r"args.also of Address have no field 'ctiy'"),
        (billed, {"bilNumber": 1}, "args of Bill have no field 'bilNumber'.*'billNumber'"),
        (billed, {"number": 1}, "args of Bill have no field 'number'"),
        (billed, {"inner": {"ctiy": "Bern"}}, "args.inner of Inner have no field 'ctiy'"),
    ],
)
def test_models_are_looked_into(jobs: Harness, of: Any, args: Any, message: str):
    with pytest.raises(ConfigurationError, match=message):
        jobs.refute_enqueued(worker=of, args=args)


@pytest.mark.parametrize(
    "of, args",
    [
        (ordered, {"order": ANY, "to": {"city": str}}),
        (ordered, {"to": ANY, "others": [{"whatever": 1}]}),
        (ordered, lambda args: "ordr" in args),
        (ordered, ANY),
        (billed, {"billNumber": 7, "inner": None}),
        (opened, {"anything": 1}),
        (note, {"anything": 1}),
        (lambda name: name == "ordered", {"anything": 1}),
    ],
)
def test_what_a_model_may_have_and_what_none_says_is_asked(jobs: Harness, of: Any, args: Any):
    jobs.refute_enqueued(worker=of, args=args)
