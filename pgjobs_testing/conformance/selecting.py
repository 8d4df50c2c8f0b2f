"""What a selection promises: the jobs that ``matches`` says, in the order asked for, page by page."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgjobs.adapters.memory import MemoryStore
from pgjobs.effects import Count, Delete, Find, FindIds
from pgjobs.ports import Store
from pgjobs.rules.job import COLUMNS, FINAL, WAITING, Job, JobState
from pgjobs.rules.jsonb import contains, normal_list, normal_object
from pgjobs.rules.selection import (
    FILTERS,
    INSTANT_FIELDS,
    INTEGER_FIELDS,
    JSON_FIELDS,
    LIST_FIELDS,
    AtMost,
    AttemptsLeft,
    Condition,
    Contains,
    HasAll,
    OneOf,
    Selection,
    ahead_of,
    claim_order,
    filtered,
)
from pgjobs_testing.conformance.given import (
    MICROSECOND,
    NOW,
    SECOND,
    Plant,
    every,
    examples,
    ids,
    insert,
    instants,
    lists,
    new,
    row,
    rows,
)
from pgjobs_testing.properties.values import json_objects, json_values, small_objects, texts

SORTABLE = [name for name in COLUMNS if name not in JSON_FIELDS]
SCALARS = [name for name in FILTERS if name not in (*JSON_FIELDS, *LIST_FIELDS)]


def parts(whole: Any) -> st.SearchStrategy[Any]:
    """JSON values that are often contained in ``whole``."""
    if isinstance(whole, dict):
        some = st.sets(st.sampled_from(sorted(whole))) if whole else st.just(set())
        return some.flatmap(
            lambda keys: st.fixed_dictionaries({key: parts(whole[key]) for key in sorted(keys)})
        )
    if isinstance(whole, list) and whole:
        return st.lists(st.sampled_from(range(len(whole))).flatmap(lambda n: parts(whole[n])))
    return st.just(whole)


def conditions(jobs: list[Job]) -> st.SearchStrategy[Condition]:
    """Conditions that often hold for some of ``jobs``."""

    def one_of(field: str) -> st.SearchStrategy[Condition]:
        values: list[Any] = [getattr(job, field) for job in jobs]
        if field in INTEGER_FIELDS:
            values += [0, -1, 2**15, 2**31, 2**63, -(2**63) - 1]
        elif field in INSTANT_FIELDS:
            values += [NOW, None]
        elif field == "state":
            values += list(JobState)
        else:
            values += ["", "default", "\x00", "\ud800", "NULL"]
        chosen = st.lists(st.sampled_from(values), max_size=3)
        return chosen.map(lambda found: OneOf(field, tuple(found)))

    def contained(field: str) -> st.SearchStrategy[Condition]:
        if field == "errors":
            every = st.sampled_from([list(job.errors) for job in jobs])
            some = every.flatmap(parts) | st.lists(small_objects(), max_size=2)
            return some.map(lambda found: Contains(field, normal_list(found, field)))
        wholes = st.sampled_from([getattr(job, field) for job in jobs])
        part = wholes.flatmap(parts) | small_objects()
        return part.map(lambda found: Contains(field, normal_object(found, field)))

    def at_most(field: str) -> st.SearchStrategy[Condition]:
        own = [value for job in jobs if (value := getattr(job, field)) is not None]
        if field in INSTANT_FIELDS:
            return st.sampled_from([*own, NOW]).map(lambda bound: AtMost(field, bound))
        bounds = [*own, 0, 2**31, 2**63, -(2**63) - 1]
        return st.sampled_from(bounds).map(lambda bound: AtMost(field, bound))

    def has_all(field: str) -> st.SearchStrategy[Condition]:
        own = st.sampled_from([getattr(job, field) for job in jobs])
        values = own | lists() | st.sampled_from([("\x00",), ("\ud800", "a"), ("node",)])
        return values.map(lambda found: HasAll(field, found))

    return (
        st.sampled_from(SCALARS).flatmap(one_of)
        | st.sampled_from(JSON_FIELDS).flatmap(contained)
        | st.sampled_from([*INSTANT_FIELDS, *INTEGER_FIELDS]).flatmap(at_most)
        | st.sampled_from(LIST_FIELDS).flatmap(has_all)
        | st.just(AttemptsLeft())
    )


class Selecting:
    """Tests of ``Find``, ``Count`` and every condition."""

    @examples(150)
    @given(data=st.data())
    def test_a_selection_means_the_same_in_the_store_as_in_memory(
        self, store: Store, plant: Plant, data: st.DataObject
    ) -> None:
        planted = plant(data.draw(st.lists(rows(), min_size=1, max_size=6)))
        chosen = Selection(tuple(data.draw(st.lists(conditions(planted), max_size=3))))
        mine = chosen.and_(OneOf("id", tuple(ids(planted))))
        expected = [job for job in planted if chosen.matches(job)]
        assert expected == store.run(Find(mine))
        assert ids(expected) == store.run(FindIds(mine, 7))
        assert {"": len(expected)} == store.run(Count(mine))

    @examples(150)
    @given(data=st.data())
    def test_containment_is_that_of_jsonb(self, store: Store, data: st.DataObject) -> None:
        whole = data.draw(small_objects() | json_objects())
        own = parts(whole).map(lambda part: normal_object(part, "args"))
        part = data.draw(own | small_objects())
        (job,) = insert(store, new(args=whole))
        for inner, outer in ((part, whole), (whole, part)):
            (job,) = insert(store, new(args=outer))
            chosen = Selection((OneOf("id", (job.id,)), Contains("args", inner)))
            assert contains(outer, inner) == bool(store.run(Find(chosen))), (outer, inner)

    @examples(60)
    @given(whole=json_values(), part=json_values())
    def test_containment_below_the_top_is_that_of_jsonb(
        self, store: Store, whole: object, part: object
    ) -> None:
        outer, inner = normal_object({"a": [whole]}, "args"), normal_object({"a": [part]}, "args")
        (job,) = insert(store, new(args=outer))
        chosen = Selection((OneOf("id", (job.id,)), Contains("args", inner)))
        assert contains(outer, inner) == bool(store.run(Find(chosen)))

    def test_every_filter_that_a_client_may_give_is_understood(
        self, store: Store, plant: Plant
    ) -> None:
        job, _ = plant(
            [
                row(
                    JobState.EXECUTING,
                    tags=("a", "b"),
                    args={"k": [1]},
                    attempted_at=NOW,
                    errors=({"at": "then", "attempt": 1, "error": "no"},),
                ),
                row(
                    queue="mail",
                    worker="tests.rest",
                    args={"k": [2]},
                    attempted_by=(),
                    attempt=0,
                    priority=3,
                    max_attempts=5,
                    scheduled_at=NOW + SECOND,
                    inserted_at=NOW,
                ),
            ]
        )
        for name in FILTERS:
            value = getattr(job, name)
            if name in ("meta", "completed_at", "discarded_at", "cancelled_at"):
                continue
            assert [job] == store.run(Find(filtered({name: value}))), name
        assert [job] == store.run(Find(filtered({"queue": ["default", "none"], "tags": "b"})))
        assert len(store.run(Find(filtered({"completed_at": None, "meta": {}})))) == 2

    @pytest.mark.parametrize("column", SORTABLE)
    @pytest.mark.parametrize("sign", ["", "-"])
    def test_jobs_are_read_by_any_column_then_id_and_page_by_page(
        self, store: Store, plant: Plant, column: str, sign: str
    ) -> None:
        reference = MemoryStore(1)
        stamps = [None, NOW, NOW - SECOND, None, NOW, NOW]
        names = ["b", "a", "B", "ä", "😀", "\uffff"]
        planted = plant(
            [
                row(
                    state,
                    queue=name,
                    worker=name * 2,
                    tags=(name, "x")[: n % 3],
                    attempted_by=(name, "x")[: n % 3],
                    attempt=n % 2,
                    max_attempts=2 + n % 2,
                    priority=n % 3,
                    inserted_at=NOW - (n % 2) * SECOND,
                    scheduled_at=NOW - (n % 3) * SECOND,
                    attempted_at=stamp,
                    completed_at=stamp,
                    discarded_at=stamp,
                    cancelled_at=stamp,
                )
                for _ in range(2)
                for n, (name, stamp, state) in enumerate(zip(names, stamps, JobState, strict=False))
            ]
        )
        for job in planted:
            reference.tables.jobs.put(job)
        order = sign + column
        expected = reference.run(Find(Selection(), order))
        assert expected == store.run(Find(Selection(), order))
        paged: list[Job] = []
        while page := store.run(Find(Selection(), order, 5, paged[-1] if paged else None)):
            paged += page
            assert len(paged) <= len(expected)
        assert expected == paged

    def test_ids_are_read_in_their_order_whatever_their_jobs_wait_for_and_page_by_page(
        self, store: Store, plant: Plant
    ) -> None:
        jobs = plant([row(JobState.SCHEDULED, scheduled_at=NOW - n * SECOND) for n in range(7)])
        plant([row(JobState.COMPLETED)])
        chosen = Selection((OneOf("state", (JobState.SCHEDULED,)),))
        assert ids(jobs) == store.run(FindIds(chosen, 100))
        assert store.run(FindIds(chosen, 0)) == []
        paged: list[int] = []
        while page := store.run(FindIds(chosen, 3, paged[-1] if paged else None)):
            paged += page
            assert len(paged) <= len(jobs)
        assert ids(jobs) == paged

    def test_jobs_of_a_selection_that_are_named_are_those_that_are_still_of_it(
        self, store: Store
    ) -> None:
        jobs = insert(store, *[new(queue=queue) for queue in "abaabab"])
        chosen = Selection((OneOf("queue", ("a",)), OneOf("id", tuple(ids(jobs)))))
        found = store.run(FindIds(chosen, 100))
        assert [jobs[n].id for n in (0, 2, 3, 5)] == found
        named = chosen.named([jobs[1].id, *found[1:3]])
        assert [jobs[2], jobs[3]] == store.run(Find(named))
        assert store.run(Count(named)) == {"": 2}

    @pytest.mark.parametrize("state", sorted(FINAL))
    def test_the_jobs_that_ended_last_are_read_page_by_page_and_those_without_an_instant_last(
        self, store: Store, plant: Plant, state: JobState
    ) -> None:
        column = f"{state}_at"
        stamps = [NOW, None, NOW - SECOND, NOW, NOW + SECOND, None, NOW - 2 * SECOND, NOW]
        planted = plant([row(state, **{column: stamp}) for stamp in stamps])
        plant([row(JobState.EXECUTING), row(JobState.AVAILABLE, **{column: NOW})])
        chosen = Selection((OneOf("state", (state,)),))
        expected = [planted[n] for n in (4, 0, 3, 7, 2, 6, 1, 5)]
        for size in range(1, 10):
            paged: list[Job] = []
            while page := store.run(Find(chosen, f"-{column}", size, paged[-1] if paged else None)):
                paged += page
                assert len(paged) <= len(expected)
            assert expected == paged

    def test_an_unknown_column_to_order_or_count_by_is_refused(self, store: Store) -> None:
        insert(store, new(), new())
        for effect in (Find(Selection(), "id; DROP TABLE x"), Count(Selection(), "id; SELECT")):
            with pytest.raises((ValueError, AttributeError)):
                store.run(effect)

    def test_jobs_are_counted_by_state_queue_and_worker(self, store: Store, plant: Plant) -> None:
        plant([row(state, queue=f"q{n % 3}") for n, state in enumerate(JobState)])
        plant([row(JobState.COMPLETED, queue="ä", worker="tests.rest")])
        completed = {state.value: 1 for state in JobState} | {"completed": 2}
        assert dict(sorted(completed.items())) == store.run(Count(Selection(), "state"))
        by_queue = store.run(Count(Selection(), "queue"))
        assert by_queue == {"q0": 3, "q1": 3, "q2": 2, "ä": 1}
        assert list(by_queue) == ["q0", "q1", "q2", "ä"]
        chosen = Selection((OneOf("state", (JobState.COMPLETED,)),))
        assert store.run(Count(chosen, "worker")) == {"tests.rest": 1, "tests.work": 1}
        assert store.run(Count(chosen)) == {"": 2}

    def test_what_no_job_meets_is_counted_as_nothing(self, store: Store) -> None:
        nobody = Selection((OneOf("queue", ("nobody",)),))
        assert store.run(Count(nobody, "state")) == {}
        assert store.run(Count(nobody)) == {"": 0}
        assert [] == store.run(Find(nobody)) == every(store)

    def test_a_limit_of_none_reads_all_and_of_zero_nothing(self, store: Store) -> None:
        jobs = insert(store, new(), new(), new())
        assert jobs == store.run(Find(Selection(), "id", None))
        assert jobs[:2] == store.run(Find(Selection(), "id", 2))
        assert store.run(Find(Selection(), "id", 0)) == []

    @examples(40)
    @given(value=texts())
    def test_any_text_is_found_again_by_itself(self, store: Store, value: str) -> None:
        value = value[:255]  # what the narrowest table takes
        (job,) = insert(store, new(queue=value[:127] or "x", tags=(value,), args={value: value}))
        for chosen in (
            filtered({"queue": job.queue, "id": job.id}),
            filtered({"tags": value, "id": job.id}),
            filtered({"args": {value: value}, "id": job.id}),
        ):
            assert [job] == store.run(Find(chosen))

    @examples(30)
    @given(at=instants())
    def test_any_instant_is_found_again_by_itself(self, store: Store, at: Any) -> None:
        (job,) = insert(store, new(scheduled_at=at))
        chosen = filtered({"scheduled_at": at, "id": job.id})
        assert [job] == store.run(Find(chosen))
        assert [job] == store.run(Find(Selection((AtMost("scheduled_at", at),)), "-id", 1))

    @examples(25)
    @given(
        drawn=st.lists(
            st.tuples(
                st.sampled_from(JobState),
                st.integers(0, 2),
                st.integers(-2, 1),
                st.integers(0, 2),
                st.sampled_from(["default", "other"]),
            ),
            min_size=2,
            max_size=12,
        )
    )
    def test_those_ahead_of_a_due_job_are_those_that_start_before_it(
        self, store: Store, plant: Plant, drawn: list[tuple[JobState, int, int, int, str]]
    ) -> None:
        store.run(Delete(Selection(), 1_000))
        planted = plant(
            [
                row(
                    state,
                    priority=priority,
                    scheduled_at=NOW + wait * MICROSECOND,
                    attempt=attempt,
                    max_attempts=2,
                    queue=queue,
                )
                for state, priority, wait, attempt, queue in drawn
            ]
        )
        startable = [
            job
            for job in planted
            if job.attempt < job.max_attempts
            if job.state is JobState.AVAILABLE or (job.state in WAITING and job.scheduled_at <= NOW)
        ]
        for job in startable:
            ahead = [
                other
                for other in startable
                if other.queue == job.queue and claim_order(other) < claim_order(job)
            ]
            counts = [store.run(Count(each)).get("", 0) for each in ahead_of(job, NOW)]
            assert sum(counts) == len(ahead)
