"""Typed args wherever a worker runs: on a node, in a drain, and in the hands of the test plugin."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, RootModel, computed_field, model_serializer

from pgjobs import (
    ConfigurationError,
    InvalidJobError,
    Job,
    JobState,
    MemoryStore,
    NewJob,
    PgJobs,
    Unique,
    worker,
)
from tests.app.test_live import Watch, watch

__all__ = ["watch"]


@dataclass
class Order:
    number: int
    lines: list[str]


ORDER = Order(1, ["a"])
OLD = {"number": "1", "lines": []}
"""What a version of the code with another ``Order`` might have stored."""


def shipping(seen: list[Any], *, is_async: bool) -> Any:
    def ship(job: Job) -> None:
        seen.append(job.data)

    async def ship_async(job: Job) -> None:
        seen.append(job.data)

    return worker(name="shop.ship", args=Order)(ship_async if is_async else ship)


def old_job() -> NewJob:
    return NewJob("shop.ship", OLD)


@pytest.mark.parametrize("is_async", [False, True])
def test_a_node_hands_the_model_over_and_fails_args_that_are_none(watch: Watch, is_async: bool):
    seen: list[Any] = []
    ship = shipping(seen, is_async=is_async)
    jobs = PgJobs(store=MemoryStore())
    with jobs.running():
        bad, good = jobs.insert_all([old_job(), ship.new(ORDER)])
        watch.until("job.exception")
        watch.until("job.stop")
    assert [ORDER] == seen
    assert "completed" == jobs.get_job(good).state
    after = jobs.get_job(bad)
    assert ("retryable", 1) == (after.state, after.attempt)
    assert str(after.last_error).startswith(
        "InvalidJobError: the stored args of this job are no Order, which worker shop.ship takes: "
        "args.number must be int, not '1' (str)"
    )


def test_args_that_are_none_fail_in_the_workers_own_timeout_too(watch: Watch):
    class Ship:
        def perform(self, job: Job) -> None: ...

        def timeout(self, job: Job) -> Any:
            return job.data.number * 60

    ship = worker(name="shop.ship", args=Order, executor="process")(Ship)
    jobs = PgJobs(store=MemoryStore())
    with jobs.running():
        bad = jobs.insert(old_job())
        watch.until("job.exception")
    assert "args.number must be int" in str(jobs.get_job(bad).last_error)
    assert timedelta(minutes=1) == ship.timeout_of(jobs.insert(ship.new(ORDER)))


@pytest.mark.parametrize("is_async", [False, True])
def test_a_drain_hands_the_model_over(is_async: bool):
    seen: list[Any] = []
    ship = shipping(seen, is_async=is_async)
    jobs = PgJobs(store=MemoryStore())
    jobs.insert_all([old_job(), ship.new(ORDER)])
    assert {"completed": 1, "retryable": 1} == jobs.drain_queue(with_safety=True)
    jobs.insert(ship.new(ORDER))
    assert {"completed": 1} == asyncio.run(jobs.drain_queue_async())
    assert [ORDER, ORDER] == seen


@pytest.mark.parametrize("executor", ["async", "thread", "process"])
def test_under_the_plugin_every_executor_runs_in_the_tests_own_process(jobs: Any, executor: str):
    seen: list[Any] = []

    def ship(job: Job) -> Any:
        seen.append(job.data)
        return len(seen)

    async def ship_async(job: Job) -> Any:
        return ship(job)

    made = worker(name="shop.ship", args=Order, executor=executor)(
        ship_async if executor == "async" else ship
    )
    built = jobs.build_job(made, ORDER)
    assert (ORDER, {"number": 1, "lines": ["a"]}) == (built.data, built.args)
    assert 1 == jobs.perform_job(made, ORDER)
    assert 2 == jobs.perform_job(made, {"number": 1, "lines": ["a"]})
    stored = jobs.insert(made.new(ORDER))
    jobs.drain_queue()
    with jobs.mode("inline"):
        jobs.insert(made.new(ORDER))
    late = jobs.insert(made.new(ORDER, schedule_in=60))
    jobs.advance(60)
    assert [ORDER] * 5 == seen
    assert [JobState.COMPLETED] * 2 == [jobs.get_job(job).state for job in (stored, late)]
    with pytest.raises(InvalidJobError, match=r"args\.number must be int"):
        jobs.perform_job(made, OLD)


@pytest.mark.pgjobs(mode="manual")
def test_a_process_worker_that_is_async_runs_in_virtual_time(jobs: Any):
    async def wait(job: Job) -> None:
        await asyncio.Event().wait()

    made = worker(name="shop.wait", executor="process", timeout=60)(wait)
    job = jobs.insert(made.new())
    jobs.advance(60)
    assert "JobTimeoutError" in jobs.get_job(job).last_error


@dataclass
class Bought:
    user_id: int
    item: dict[str, int]


class Aliased(BaseModel):
    user_id: int = Field(1, alias="userId")

    @computed_field  # type: ignore[prop-decorator]  # as pydantic's documentation has it
    @property
    def whole(self) -> str:
        return "all"


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")


class Rooted(RootModel[dict[str, int]]):
    pass


class Written(BaseModel):
    @model_serializer
    def write(self) -> dict[str, Any]:
        return {"usr_id": 1}


@pytest.mark.parametrize(
    "model, key, message",
    [
        (
            Bought,
            "usr_id",
            r"no field 'usr_id': did you mean 'user_id'\?; its fields.*user_id, item",
        ),
        (
            Bought,
            "itme.id",
            r"the key 'itme.id', and Bought has no field 'itme': did you mean 'item'",
        ),
        (Bought, "zzz", r"no field 'zzz'; its fields, as they are stored, are user_id, item"),
        (Aliased, "user_id", r"no field 'user_id': did you mean 'userId'\?"),
    ],
)
def test_a_key_of_unique_that_no_args_can_have_is_refused(model: Any, key: str, message: str):
    wrong = Unique(keys=["user_id" if model is Bought else "userId", key])
    with pytest.raises(ConfigurationError, match=message):
        worker(args=model, unique=wrong)(lambda job: None)
    made = worker(args=model, name="keys")(lambda job: None)
    with pytest.raises(ConfigurationError, match=message):
        made.new({"user_id": 1, "item": {}} if model is Bought else {}, unique=wrong)


@pytest.mark.parametrize(
    "model, key",
    [
        (Bought, "item.id"),
        (Bought, "user_id"),
        (Aliased, "userId"),
        (Aliased, "whole"),
        (Open, "usr_id"),
        (Rooted, "usr_id"),
        (Written, "usr_id"),
    ],
)
def test_a_key_of_unique_that_args_may_have_is_taken(model: Any, key: str):
    worker(args=model, unique=Unique(keys=[key]))(lambda job: None)
