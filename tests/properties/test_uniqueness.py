"""A duplicate is what jsonb takes for equal, for as long as its period lasts, however it is inserted."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.types.json import Jsonb

from pgjobs import InvalidJobError, Job, Unique, Worker
from pgjobs_testing import Harness, harness, strategies
from pgjobs_testing.properties.instants import START, beside
from pgjobs_testing.properties.rows import alike
from pgjobs_testing.stores import LocalPostgres
from tests.properties.places import ON_BOTH_STORES, examples


def work(job: Job) -> None:
    """Never run."""


WORK: Worker[..., Any] = Worker(work, {"name": "tests.work", "unique": Unique(period=60)})

pairs = st.one_of(
    st.tuples(strategies.args(), strategies.args()),
    strategies.args().map(lambda args: (args, dict(reversed(args.items())))),
)


@ON_BOTH_STORES
@examples(40)
@given(pair=pairs)
def test_two_are_duplicates_just_where_jsonb_takes_their_args_for_equal(mode, pair):
    one, two = (WORK.new(args) for args in pair)
    with harness(mode=mode, start=START) as jobs:
        first, second = jobs.insert(one), jobs.insert(two)
        assert not first.conflict
        assert (alike(one.args) == alike(two.args)) == second.conflict
        assert dict(one.args) == jobs.get_job(first).args
        if mode == "postgres":
            assert second.conflict == as_jsonb_has_it(jobs, one.args, two.args)


def as_jsonb_has_it(jobs: Harness, *values: Any) -> bool:
    """Whether PostgreSQL takes two values for equal."""
    store = jobs.store
    assert isinstance(store, LocalPostgres)
    with psycopg.connect(store.postgres.dsn) as connection:
        query = "SELECT %s::jsonb = %s::jsonb"
        found = connection.execute(query, [Jsonb(value) for value in values]).fetchone()
    return found == (True,)


@ON_BOTH_STORES
@examples(20)
@given(
    unique=strategies.uniques(),
    asked=st.lists(st.tuples(strategies.small_objects(), strategies.spans(90)), max_size=6),
)
def test_one_by_one_or_at_once_the_same_are_duplicates(mode, unique, asked):
    new = [WORK.new(args, unique=unique, schedule_in=wait) for args, wait in asked]
    answers = []
    for at_once in (True, False):
        with harness(mode=mode, start=START) as jobs:
            stored = jobs.insert_all(new) if at_once else [jobs.insert(each) for each in new]
            first = [job.id for job in stored]
            answers.append([(first.index(job.id), job.came_of) for job in stored])
    assert answers[0] == answers[1]


@ON_BOTH_STORES
@examples(20)
@given(span=strategies.spans().filter(bool), by=beside())
def test_a_place_is_free_at_exactly_its_period_and_not_one_microsecond_sooner(mode, span, by):
    new = WORK.new({"a": 1}, unique=Unique(period=span), schedule_in=86_400)
    with harness(mode=mode, start=START) as jobs:
        jobs.insert(new)
        jobs.advance(max(timedelta(0), span + by), run=False)
        assert (span + by < span) == jobs.insert(new).conflict


@examples(60)
@given(args=strategies.refused_args())
def test_what_jsonb_cannot_hold_is_refused_by_name(args):
    with pytest.raises(InvalidJobError, match="args"):
        WORK.new(args)
