"""Which job an assertion means, and what may be asked: against a predicate that is written plainly."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pgjobs import ConfigurationError, Job, worker
from pgjobs_testing import ANY, Harness, harness
from pgjobs_testing.asserting.enqueued import Enqueued
from pgjobs_testing.matching import pattern

START = datetime(2025, 1, 1, tzinfo=UTC)
WAITING = ("available", "scheduled", "retryable")


@worker(name="one")
def one(job: Job) -> None:
    if job.args.get("b") is True:
        raise ValueError("b")


@worker(name="two", queue="other", priority=1)
def two(job: Job) -> None: ...


leaves = st.sampled_from([0, 1, 2, 1.0, 0.5, True, False, None, "", "a", "A", "1"])
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner, max_size=2)
    ),
    max_leaves=4,
)
objects = st.dictionaries(st.sampled_from("abc"), values, max_size=3)
matchers = st.sampled_from(
    [ANY, str, int, float, bool, list, dict, lambda v: v == 1, lambda v: v > 0]
)


def is_in(part: Any, whole: Any) -> bool | None:
    """Plainly: whether ``part`` is in ``whole``; None where a function raised."""
    if part is ANY:
        return True
    if isinstance(part, type):
        return isinstance(whole, (int, float) if part is float else part) and (
            part is bool or not isinstance(whole, bool)
        )
    if callable(part):
        try:
            return bool(part(whole))
        except TypeError:
            return None
    if isinstance(part, dict):
        if not isinstance(whole, dict):
            return False
        answers = [key in whole and is_in(part[key], whole[key]) for key in part]
    elif isinstance(part, list):
        if not isinstance(whole, list) or len(whole) != len(part):
            return False
        answers = [is_in(*pair) for pair in zip(part, whole, strict=True)]
    else:
        return part == whole and isinstance(part, bool) == isinstance(whole, bool)
    return False if False in answers else None if None in answers else True


def means(filters: dict[str, Any], job: Job, now: datetime) -> bool | None:
    """Plainly: whether ``filters`` mean this job."""
    answers: list[bool | None] = ["state" in filters or job.state in WAITING]
    for name, value in filters.items():
        if name == "worker":
            answers.append(job.worker == value.name)
        elif name in ("args", "meta"):
            answers.append(is_in(value, getattr(job, name)))
        elif name == "tags":
            answers.append(set(value) <= set(job.tags))
        elif name == "scheduled_in":
            answers.append(abs((job.scheduled_at - now).total_seconds() - value) <= 1)
        else:
            answers.append(getattr(job, name) == value)
    return False if False in answers else None if None in answers else True


parts = st.recursive(
    leaves | matchers,
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner, max_size=2)
    ),
    max_leaves=4,
)
questions = st.fixed_dictionaries(
    {},
    optional={
        "worker": st.sampled_from([one, two]),
        "queue": st.sampled_from(["default", "other"]),
        "args": st.dictionaries(st.sampled_from("abc"), parts, max_size=2),
        "tags": st.lists(st.sampled_from(["x", "y"]), max_size=2, unique=True),
        "priority": st.integers(0, 2),
        "attempt": st.integers(0, 1),
        "state": st.sampled_from([*WAITING, "completed"]),
        "scheduled_in": st.sampled_from([0, 1, 1.000001, 59, 60, 61]),
    },
)
inserts = st.lists(
    st.tuples(
        st.sampled_from([one, two]),
        objects,
        st.lists(st.sampled_from(["x", "y"]), max_size=2, unique=True),
        st.sampled_from([0, 1, 60]),
    ),
    max_size=5,
)


@given(inserts, questions, st.booleans(), st.integers(1, 3))
def test_an_assertion_holds_just_where_a_plain_predicate_says_so(inserted, filters, ran, count):
    with harness(mode="manual", start=START, plugins=[]) as jobs:
        for each, args, tags, delay in inserted:
            jobs.insert(each.new(args, tags=tags, schedule_in=delay))
        if ran:
            jobs.drain_queue("default", with_safety=True)
        stored = jobs.all_jobs()
        answers = [means(filters, job, START) for job in stored]
        yes, maybe = answers.count(True), answers.count(None)

        failures: list[str] = []

        def holds(ask: Any, **more: Any) -> Any:
            try:
                return ask(**filters, **more) or True
            except AssertionError as failed:
                failures.append(str(failed))
                return False

        assert bool(holds(jobs.assert_enqueued)) == (yes >= 1)
        assert bool(holds(jobs.assert_enqueued, at_least=count)) == (yes >= count)
        assert bool(holds(jobs.assert_enqueued, count=count)) == (yes == count and not maybe)
        assert holds(jobs.refute_enqueued) == (yes == maybe == 0)
        assert all(text.count("\n") <= 60 for text in failures)
        if yes:
            assert jobs.assert_enqueued(**filters) == stored[answers.index(True)]
        if not maybe:
            assert jobs.all_enqueued(**filters) == [
                job for job, answer in zip(stored, answers, strict=True) if answer
            ]


@example(int, True)
@example(float, True)
@example(float, 1)
@example(bool, 1)
@example([ANY, 1], [1, None])
@given(parts, values)
def test_a_pattern_differs_just_where_it_does_not_accept(part, whole):
    made = pattern(part, "args")
    assert made.accepts(whole) is is_in(part, whole)
    differences = list(made.differences(whole, "args"))
    assert (not differences) == (made.accepts(whole) is True)
    assert all(each.share > 0 for each in differences)
    if made.accepts(whole) is None:
        assert all(each.raised for each in differences)


@given(inserts, questions)
def test_the_nearest_job_is_a_match_just_where_its_distance_is_none(inserted, filters):
    with harness(mode="manual", start=START, plugins=[]) as jobs:
        for each, args, tags, delay in inserted:
            jobs.insert(each.new(args, tags=tags, schedule_in=delay))
        expected = Enqueued(filters, 1, jobs._scene()).expected
        for job in jobs.all_jobs():
            assert (expected.compare(job).distance == 0) == (expected.judge(job) is True)


@pytest.fixture
def jobs() -> Iterator[Harness]:
    with harness(mode="manual", start=START) as made:
        yield made


def test_a_job_of_the_same_worker_is_nearer_than_one_with_the_same_args(jobs: Harness):
    jobs.insert(two.new({"a": 1, "b": 2}))
    jobs.insert(one.new({"a": 3, "b": 4}))
    with pytest.raises(AssertionError, match=r"nearest is #2: args\.a expected 1, is 3"):
        jobs.assert_enqueued(worker=one, args={"a": 1, "b": 2})


def test_an_instant_is_nearer_the_less_it_is_off(jobs: Harness):
    for seconds in (90, 30, 50):
        jobs.insert(one.new({}, schedule_in=seconds))
    with pytest.raises(AssertionError, match="nearest is #3: scheduled_in"):
        jobs.assert_enqueued(scheduled_in=60)


def test_delta_is_how_far_an_instant_may_be_off(jobs: Harness):
    jobs.insert(one.new({}, schedule_in=60))
    jobs.assert_enqueued(scheduled_in=61)
    jobs.refute_enqueued(scheduled_in=61, delta=0.5)
    jobs.assert_enqueued(scheduled_in=120, delta=timedelta(minutes=1))
    jobs.assert_enqueued(scheduled_at=START + timedelta(seconds=60), delta=0)
    jobs.refute_enqueued(scheduled_in=60.000_001, delta=0)


def test_functions_types_and_objects_that_compare_match_any_field(jobs: Harness):
    job = jobs.insert(one.new({"ratio": 0.1 + 0.2, "id": 5}, tags=["x"], schedule_in=60))
    for filters in (
        {"worker": lambda name: name.startswith("o")},
        {"worker": ANY, "queue": str, "id": int},
        {"args": lambda args: args["id"] == 5},
        {"args": {"ratio": pytest.approx(0.3), "id": mock.ANY}},
        {"tags": lambda tags: len(tags) == 1},
        {"scheduled_at": lambda at: at.minute == 1},
        {"scheduled_in": lambda seconds: seconds == 60},
        {"state": ["scheduled", "available"]},
        {"state": ANY},
        {"state": lambda state: state == "scheduled"},
    ):
        assert jobs.assert_enqueued(**filters) == job


@pytest.mark.parametrize(
    "filters, message",
    [
        ({"quue": "mail"}, r"unknown filter 'quue': did you mean 'queue'\?"),
        ({"priority": 10}, "from 0 to 9"),
        ({"id": 0}, "a whole number from 1"),
        ({"max_attempts": 40_000}, "from 1 to 32,767"),
        ({"queue": ""}, "1 to 127 characters"),
        ({"state": "complete"}, r"did you mean 'completed'\?"),
        ({"args": {"at": START}}, r"args\.at is .*datetime.* JSON cannot hold; .* a function"),
        ({"args": {"ids": {1, 2}}}, r"args\.ids is \{1, 2\}"),
        ({"args": {"who": one}}, r"args\.who cannot be a worker"),
        ({"args": {"kind": ValueError}}, "of which no value there is an instance"),
        ({"args": {"ids": list[int]}}, "give the type alone"),
        ({"args": {float("nan"): 1}}, "JSON keys are strings"),
        ({"meta": {"x": float("inf")}}, r"meta\.x is inf"),
        ({"scheduled_at": datetime(2025, 1, 1)}, "no time zone"),  # noqa: DTZ001 - that is the mistake
        ({"scheduled_in": -1}, "0 s or more"),
        ({"scheduled_in": 1, "scheduled_at": START}, "not both"),
        ({"delta": -1}, "delta must be 0 s or more"),
        ({"worker": 5}, "a worker is given as"),
        ({"worker": "on"}, r"no worker named 'on' is registered, .* did you mean 'one'\?"),
        ({"queue": "othr"}, r"no queue named 'othr' is served, .* did you mean 'other'\?"),
    ],
)
def test_what_no_job_can_have_is_refused_instead_of_never_matching(
    jobs: Harness, filters: dict[str, Any], message: str
):
    jobs.insert(one.new({}))
    for ask in (jobs.refute_enqueued, jobs.all_enqueued):
        with pytest.raises(ConfigurationError, match=message):
            ask(**filters)


def test_an_asynchronous_function_would_always_seem_true_and_is_refused(jobs: Harness):
    async def judge(value: object) -> bool:
        return False

    with pytest.raises(ConfigurationError, match="would always seem true"):
        jobs.assert_enqueued(args={"a": judge})


def test_a_worker_that_was_not_decorated_is_not_taken_for_a_predicate(jobs: Harness):
    def forgotten(job: Job) -> None: ...

    class Forgotten:
        def perform(self, job: Job) -> None: ...

    for each in (forgotten, Forgotten):
        with pytest.raises(ConfigurationError, match="decorate it with @worker"):
            jobs.refute_enqueued(worker=each)


def test_a_name_that_only_stored_jobs_have_is_known(jobs: Harness):
    jobs.insert(one.new({}, queue="tenant_7"))
    jobs.drain_queue()
    jobs.refute_enqueued(queue="tenant_7")
    jobs.refute_enqueued(worker=lambda name: name == "Elixir.Mailer")


def test_a_function_that_raises_does_not_let_a_refutation_pass(jobs: Harness):
    jobs.insert(one.new({"a": 1}))
    for ask in (jobs.refute_enqueued, jobs.all_enqueued):
        with pytest.raises(AssertionError, match="nobody can say whether #1 matches"):
            ask(args=lambda args: args["b"] > 1)
    jobs.refute_enqueued(args=lambda args: args["b"] > 1, worker=two)
    jobs.insert(one.new({"b": 2}))
    jobs.assert_enqueued(args=lambda args: args["b"] > 1)
    with pytest.raises(AssertionError, match="nobody can say whether #1 matches"):
        jobs.assert_enqueued(args=lambda args: args["b"] > 1, count=1)


def test_a_passing_assertion_compares_nothing(jobs: Harness, monkeypatch: pytest.MonkeyPatch):
    from pgjobs_testing.asserting.expectation import Expectation

    jobs.insert_all([one.new({"a": n}) for n in range(3)])
    monkeypatch.setattr(Expectation, "compare", None)
    jobs.assert_enqueued(worker=one, args={"a": 2}, scheduled_in=0)
    jobs.refute_enqueued(worker=two)
    with pytest.raises(TypeError):
        jobs.assert_enqueued(worker=two)
