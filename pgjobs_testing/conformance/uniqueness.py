"""What uniqueness promises: one job for a fingerprint, the oldest as the answer, groups that end together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgjobs.adapters.memory import MemoryStore
from pgjobs.effects import Claim, Delete, Find, Insert, Poll, Settle, Transition
from pgjobs.ports import Signal, Store
from pgjobs.rules import lifecycle, outcome, replacing, selection
from pgjobs.rules.job import FINAL, WAITING, Cancel, Job, JobState, NewJob, Retry
from pgjobs.rules.jsonb import merged
from pgjobs.rules.replacing import FIELDS, Replace
from pgjobs.rules.selection import Selection
from pgjobs.rules.unique import META_KEY, Unique, UniqueRule, fingerprint_of
from pgjobs_testing.conformance.given import (
    MICROSECOND,
    NOW,
    SECOND,
    Plant,
    claim,
    every,
    examples,
    ids,
    insert,
    new,
    read,
    row,
)
from pgjobs_testing.conformance.sessions import listening, opened, until

EVERY_STATE = tuple(JobState)
HOUR = timedelta(hours=1)


def unique(
    args: Mapping[str, Any] | None = None,
    /,
    *,
    how: Unique = Unique(),  # noqa: B008 - frozen
    worker: str = "tests.work",
    meta: Mapping[str, Any] | None = None,
    replace: object = None,
    **given: Any,
) -> NewJob:
    """A new job as ``worker.new`` makes it for a worker with ``unique``."""
    args = {} if args is None else args
    rule = how.rule(worker, given.get("queue", "default"), args)
    kept = merged(meta or {}, {META_KEY: rule.fingerprint})
    return NewJob(worker, args, meta=kept, unique=rule, replace=replacing.replace(replace), **given)


def there(job: Job, *, replaced: bool = False) -> Job:
    """The answer to a duplicate of ``job``."""
    return replace(job, conflict=True, replaced=replaced)


def settled_at(store: Store, job: Job, answer: Any, now: datetime) -> list[bool]:
    return store.run(Settle((lifecycle.settle(job, outcome.returned(answer), now, 60.0),)))


def grouped(state: JobState, fingerprint: str | None, **given: Any) -> Job:
    """A row of a group, as ``plant`` takes it."""
    meta = {} if fingerprint is None else {META_KEY: fingerprint}
    return row(state, meta=meta | given.pop("meta", {}), **given)


def _digest(job: NewJob) -> str:
    assert job.unique is not None
    return job.unique.fingerprint


class Uniqueness:
    """Tests of ``Insert`` with ``unique`` and ``replace``, and of ``Settle`` with a group."""

    def test_a_duplicate_is_answered_with_the_job_that_is_there(self, store: Store) -> None:
        (first,) = insert(store, unique({"n": 1}, tags=("a",), priority=3))
        again = insert(store, unique({"n": 1}, tags=("b",), priority=4), now=NOW + SECOND)
        assert [there(first)] == again
        assert not first.conflict
        assert [first] == every(store)

    def test_the_answer_has_every_field_of_the_row_as_it_stands(self, store: Store) -> None:
        insert(store, unique({"text": 'ä"\\😀', "deep": [{"a": None}]}, meta={"k": [1]}))
        (running,) = claim(store)
        settled_at(store, running, Retry("no\x00t yet"), NOW + SECOND)
        (job,) = every(store)
        (again,) = insert(store, unique(running.args), now=NOW + 2 * SECOND)
        assert there(job) == again
        assert (again.state, again.attempt, len(again.errors)) == (JobState.RETRYABLE, 1, 1)

    def test_the_answer_shares_nothing_with_the_row(self, store: Store) -> None:
        insert(store, unique({"a": [1]}))
        for _ in range(2):
            (again,) = insert(store, unique({"a": [1]}))
            assert again.args == {"a": [1]}
            again.args["a"].append(2)

    @pytest.mark.parametrize(
        "one, other, same",
        [
            ({"a": 1}, {"a": 1.0}, True),
            ({"a": 1}, {"a": True}, False),
            ({"a": 0}, {"a": False}, False),
            ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
            ({"a": [1, 2]}, {"a": [2, 1]}, False),
            ({}, {"a": None}, False),
            ({}, {"a": {}}, False),
            ({"a": 1}, {"a": 1, "b": 1}, False),
            ({"a": "\u00e9"}, {"a": "e\u0301"}, False),
            ({"a": "1"}, {"a": 1}, False),
        ],
        ids=str,
    )
    def test_args_are_equal_as_jsonb_has_it(
        self, store: Store, one: dict[str, Any], other: dict[str, Any], same: bool
    ) -> None:
        insert(store, unique(one))
        (second,) = insert(store, unique(other))
        assert same is second.conflict
        (fst, *_) = every(store)
        assert fst.args == one

    def test_other_workers_and_queues_are_no_duplicates_unless_fields_leave_them_out(
        self, store: Store
    ) -> None:
        jobs = [unique(), unique(worker="tests.rest"), unique(queue="mail")]
        assert [job.conflict for job in insert(store, *jobs)] == [False] * 3
        by_args = Unique(fields=("args",))
        jobs = [unique(how=by_args), unique(worker="tests.rest", queue="mail", how=by_args)]
        assert [job.conflict for job in insert(store, *jobs)] == [False, True]

    def test_keys_narrow_the_args_and_tell_an_absent_key_from_null(self, store: Store) -> None:
        how = Unique(keys=("user", "order.id"))
        given_: list[dict[str, Any]] = [
            {"user": 1, "order": {"id": 5}, "note": "a"},
            {"user": 1, "order": {"id": 5}, "note": "b"},
            {"user": 1, "order": {"id": None}},
            {"user": 1, "order": {}},
            {"user": 1},
            {"user": 1, "order.id": 5},
        ]
        jobs = insert(store, *[unique(args, how=how) for args in given_])
        assert [job.conflict for job in jobs] == [False, True, False, False, True, False]

    @pytest.mark.parametrize("at_once", [False, True])
    def test_one_by_one_or_at_once_the_same_jobs_are_stored_and_answered(
        self, store: Store, at_once: bool
    ) -> None:
        given_ = [
            unique(
                {"n": n % 3}, replace={"available": ("tags",)} if n == 7 else None, tags=(str(n),)
            )
            if n % 4
            else new(args={"n": n})
            for n in range(12)
        ]
        if at_once:
            answers = insert(store, *given_)
        else:
            answers = [job for one in given_ for job in insert(store, one)]
        assert [job.conflict for job in answers] == [False] * 5 + [
            True,
            True,
            True,
            False,
            True,
            True,
            True,
        ]
        assert [n for n, job in enumerate(answers) if job.replaced] == [7]
        assert ids([answers[n] for n in (0, 1, 2, 3, 4, 8)]) == ids(every(store))
        assert answers[10].id == answers[7].id == answers[1].id
        assert answers[10].tags == ("7",)

    def test_of_duplicates_within_a_batch_the_first_is_stored(self, store: Store) -> None:
        batch = [unique({"n": n % 2}, tags=(str(n),)) for n in range(5)]
        answers = insert(store, *batch)
        assert answers[:2] == every(store)
        assert [there(answers[n % 2]) for n in (2, 3, 4)] == answers[2:]
        assert [there(answers[n % 2]) for n in range(5)] == insert(store, *batch)

    def test_many_at_once_are_judged_as_one_by_one(self, store: Store) -> None:
        hourly = Unique(period=3600, timestamp="scheduled_at")
        there_before = insert(
            store,
            *[unique({"n": n}, schedule_in=HOUR if n % 2 else None) for n in range(0, 600, 3)],
            *[unique({"n": n}, how=hourly) for n in range(600, 620)],
            now=NOW - HOUR / 2,
        )
        batch = [
            new(args={"n": n})
            if n % 7 == 0
            else unique({"n": n % 1_400}, how=hourly if n % 1_400 >= 600 else Unique(period=None))
            for n in range(2_500)
        ]
        answers = insert(store, *batch)
        first: dict[str, Job] = {fingerprint_of(job) or "": job for job in there_before}
        for asked, job in zip(batch, answers, strict=True):
            assert (asked.args, asked.worker) == (job.args, job.worker)
            if asked.unique is None:
                assert not job.conflict
                continue
            found = first.setdefault(asked.unique.fingerprint, job)
            assert (there(found) if found is not job else found) == job
        fresh = [job for job in answers if not job.conflict]
        assert sorted(ids(fresh)) == ids(fresh)
        assert len(batch) > len(fresh) > 1_200
        assert every(store) == sorted([*there_before, *fresh], key=lambda job: job.id)
        assert insert(store, *batch[1:7]) == [there(first[_digest(one)]) for one in batch[1:7]]

    def test_many_that_are_all_there_make_no_job(self, store: Store) -> None:
        batch = [unique({"n": n}) for n in range(1_200)]
        made = insert(store, *batch)
        assert [there(job) for job in made] == insert(store, *batch, now=NOW + SECOND)
        assert made == every(store)

    def test_many_whose_rules_differ_are_judged_each_by_what_came_before(
        self, store: Store
    ) -> None:
        ended = Unique(states=("completed",))
        batch = [unique({"n": n % 600}, how=ended) for n in range(1_200)]
        assert not any(job.conflict for job in insert(store, *batch))
        counted = [unique({"n": n % 600}, how=Unique(period=n + 60)) for n in range(1_200)]
        oldest = every(store)[:600]
        assert [there(job) for job in oldest] * 2 == insert(store, *counted)

    @pytest.mark.parametrize("timestamp", ["inserted_at", "scheduled_at"])
    def test_the_period_is_half_open(self, store: Store, timestamp: str) -> None:
        how = Unique(period=3600, timestamp=timestamp)
        later = 10 * SECOND if timestamp == "scheduled_at" else None
        (first,) = insert(store, unique(how=how, schedule_in=later))
        since = getattr(first, timestamp)
        almost = insert(store, unique(how=how), now=since + HOUR - MICROSECOND)
        assert [there(first)] == almost
        (second,) = insert(store, unique(how=how), now=since + HOUR)
        assert not second.conflict
        assert second.id > first.id

    def test_a_period_of_none_has_no_end(self, store: Store) -> None:
        (first,) = insert(store, unique(how=Unique(period=None)))
        (again,) = insert(store, unique(how=Unique(period=None)), now=NOW + 7_000 * 365 * 24 * HOUR)
        assert there(first) == again

    def test_a_period_longer_than_time_has_no_end_either(self, store: Store) -> None:
        (first,) = insert(store, unique())
        (again,) = insert(store, unique(how=Unique(period=timedelta.max)), now=NOW + HOUR)
        assert there(first) == again

    def test_the_period_is_that_of_the_job_to_be_inserted(self, store: Store) -> None:
        insert(store, unique(how=Unique(period=None)))
        jobs = insert(store, unique(how=Unique(period=10)), now=NOW + 10 * SECOND)
        assert [job.conflict for job in jobs] == [False]

    @pytest.mark.parametrize("state", EVERY_STATE)
    @pytest.mark.parametrize("how", [Unique(period=None), Unique(period=None, states=EVERY_STATE)])
    def test_every_state_counts_or_does_not(
        self, store: Store, plant: Plant, state: JobState, how: Unique
    ) -> None:
        fingerprint = unique(how=how).meta[META_KEY]
        (job,) = plant([grouped(state, fingerprint)])
        (found,) = insert(store, unique(how=how))
        finished = (JobState.CANCELLED, JobState.DISCARDED)
        if how.states == EVERY_STATE or state not in finished:
            assert there(job) == found
        else:
            assert (found.conflict, len(every(store))) == (False, 2)

    def test_of_several_duplicates_the_oldest_is_answered(self, store: Store, plant: Plant) -> None:
        how = Unique(period=10)
        fingerprint = unique().meta[META_KEY]
        ages = {JobState.COMPLETED: 10, JobState.CANCELLED: 5, JobState.RETRYABLE: 4}
        planted = plant(
            [
                grouped(state, fingerprint, inserted_at=NOW - age * SECOND)
                for state, age in (*ages.items(), (JobState.AVAILABLE, 6))
            ]
        )
        assert [there(planted[2])] == insert(store, unique(how=how))

    def test_a_job_inserted_without_unique_is_nobodys_duplicate(self, store: Store) -> None:
        jobs = insert(store, new(), unique(), new(), unique())
        assert [job.conflict for job in jobs] == [False, False, False, True]

    def test_a_place_is_free_again_when_its_job_is_deleted(self, store: Store) -> None:
        (first,) = insert(store, unique())
        store.run(Delete(selection.by_id(first.id), 1))
        (second,) = insert(store, unique())
        assert not second.conflict

    def test_staging_retry_and_rescue_are_never_blocked(self, store: Store) -> None:
        """Three jobs of one group, of which uniqueness would allow one."""
        how = Unique(period=None, states=("available", "executing"))
        waits = (SECOND, SECOND, 2 * SECOND)
        waiting = insert(store, *[unique(how=how, schedule_in=wait) for wait in waits])
        assert [job.conflict for job in waiting] == [False] * 3
        staged: list[int] = []
        for wait in (SECOND, 2 * SECOND):  # the last one falls due beside two that are available
            polled = store.run(Poll(lifecycle.stage(NOW + wait), 10, ("default",)))
            staged += [job_id for job_id, _ in polled.staged]
        assert ids(waiting) == staged
        running = claim(store, now=NOW + 2 * SECOND)
        assert ids(waiting) == ids(running)
        batch = tuple(lifecycle.release(job, NOW) for job in running)
        assert store.run(Settle(batch)) == [True] * 3
        for job in waiting:
            store.run(Transition(selection.by_id(job.id), lifecycle.cancel(NOW), 1))
        retried = store.run(Transition(Selection(), lifecycle.retry(NOW), 10))
        assert [job.state for job in retried] == [JobState.AVAILABLE] * 3

    def test_a_large_batch_with_duplicates_keeps_its_order(self, store: Store) -> None:
        size = 12_001
        batch = [
            unique({"n": n % 7_000}, priority=n % 10) if n % 5 else new(args={"n": n})
            for n in range(size)
        ]
        answers = insert(store, *batch)
        assert [n % 7_000 if n % 5 else n for n in range(size)] == [
            job.args["n"] for job in answers
        ]
        stored = [job for job in answers if not job.conflict]
        assert ids(stored) == sorted(ids(stored)) == ids(every(store))
        first: dict[int, int] = {}
        for n, job in enumerate(answers):
            if n % 5:
                assert first.setdefault(n % 7_000, job.id) == job.id

    # Replace

    @pytest.mark.parametrize("fields", [*FIELDS, True], ids=str)
    @pytest.mark.parametrize("state", EVERY_STATE)
    def test_the_fields_that_are_named_take_the_new_values(
        self, store: Store, plant: Plant, state: JobState, fields: Any
    ) -> None:
        how = Unique(period=None, fields=("worker",), states=EVERY_STATE)
        stamps = {f"{state}_at": NOW} if state in FINAL else {}
        fingerprint = unique(how=how).meta[META_KEY]
        (old,) = plant(
            [grouped(state, fingerprint, attempt=4, max_attempts=5, meta={"old": 1}, **stamps)]
        )
        job = unique(
            {"a": 'é"'},
            how=how,
            meta={"k": None},
            max_attempts=2,
            priority=7,
            queue="mail",
            tags=("t", 'u"'),
            schedule_in=HOUR,
            replace={state: True if fields is True else [fields]},
        )
        expected = replacing.replaced(old, job, NOW)
        assert expected is not None
        assert [there(expected, replaced=True)] == insert(store, job)
        assert [expected] == every(store)
        waits = state in WAITING
        if fields in (True, "max_attempts"):
            runs_on = waits or state is JobState.EXECUTING
            assert expected.max_attempts == (5 if runs_on else 4)
        if fields in (True, "scheduled_at") and waits:
            assert expected.state == (state if state == "retryable" else "scheduled")
        else:
            assert expected.state == state

    def test_the_state_follows_scheduled_at_and_a_later_claim_obeys(self, store: Store) -> None:
        chosen = {"scheduled": ["scheduled_at"], "available": ["scheduled_at"]}
        insert(store, unique(schedule_in=HOUR))
        (hurried,) = insert(store, unique(replace=chosen))
        assert (hurried.state, hurried.scheduled_at) == (JobState.AVAILABLE, NOW)
        (delayed,) = insert(store, unique(replace=chosen, schedule_in=HOUR))
        assert (delayed.state, delayed.scheduled_at) == (JobState.SCHEDULED, NOW + HOUR)
        assert claim(store) == []
        insert(store, unique(replace=chosen))
        assert [hurried.id] == ids(claim(store))

    def test_a_state_that_is_not_named_is_left_alone(self, store: Store) -> None:
        (first,) = insert(store, unique(tags=("a",)))
        (again,) = insert(store, unique(tags=("b",), replace={"scheduled": True}))
        assert there(first) == again
        assert [first] == every(store)

    def test_a_replaced_job_stays_in_its_group(self, store: Store) -> None:
        """Its fingerprint is the one that matched, whatever of it was replaced."""
        how = Unique(keys=("user",), fields=("worker", "args"))
        (first,) = insert(store, unique({"user": 1, "n": 1}, how=how))
        change = {"available": ["args", "queue"]}
        second = unique({"user": 1.0, "n": 2}, how=how, queue="mail", replace=change)
        third = unique({"user": 1, "n": 3}, how=how, replace={"available": True})
        for job in (second, third):
            (found,) = insert(store, job)
            assert (first.id, True, job.args) == (found.id, found.replaced, found.args)
            assert found.meta[META_KEY] == first.meta[META_KEY]

    def test_a_run_that_is_replaced_keeps_its_claim(self, store: Store) -> None:
        insert(store, unique())
        (running,) = claim(store)
        chosen = {"executing": True}
        (found,) = insert(store, unique(tags=("new",), schedule_in=HOUR, replace=chosen))
        assert (JobState.EXECUTING, running.token) == (found.state, found.token)
        assert settled_at(store, running, None, NOW) == [True]

    # Groups

    @pytest.mark.parametrize("state", EVERY_STATE)
    def test_cancel_ends_every_unfinished_job_of_its_group(
        self, store: Store, plant: Plant, state: JobState
    ) -> None:
        fingerprint = unique().meta[META_KEY]
        stamps = {f"{state}_at": NOW} if state in FINAL else {}
        old, other = plant(
            [
                grouped(state, fingerprint, inserted_at=NOW - 1_000 * HOUR, **stamps),
                grouped(state, "another", **stamps),
            ]
        )
        (mine,) = insert(store, unique(how=Unique(period=1)))
        (running,) = claim(store, "mine") if state != "available" else self._only(store, mine)
        assert settled_at(store, running, Cancel("no more"), NOW + SECOND) == [True]
        change = lifecycle.settle(running, outcome.returned(Cancel("no more")), NOW + SECOND).change
        unfinished = state not in FINAL
        assert (lifecycle.apply(change, old) if unfinished else old) == read(store, old.id)
        assert other == read(store, other.id)
        assert lifecycle.apply(change, running) == read(store, mine.id)

    def test_cancel_without_unique_ends_itself_alone(self, store: Store) -> None:
        insert(store, new(), new())
        first, second = claim(store)
        assert settled_at(store, first, Cancel("alone"), NOW) == [True]
        assert second == read(store, second.id)

    def test_a_late_cancel_ends_nothing(self, store: Store) -> None:
        waiting = insert(store, *self._three())
        (running,) = claim(store, demand=1)
        store.run(Settle((lifecycle.release(running, NOW),)))
        (again,) = claim(store, "again", demand=1)
        assert settled_at(store, running, Cancel("late"), NOW) == [False]
        assert [again, *waiting[1:]] == every(store)

    def test_groups_are_ended_before_the_other_outcomes_of_a_batch(self, store: Store) -> None:
        """So whatever the order of a batch, none of a group's jobs is left waiting for a retry."""
        insert(store, *self._three(), new())
        jobs = claim(store)
        answers = [Retry("later"), None, Cancel("all"), None]
        batch = [
            lifecycle.settle(job, outcome.returned(answer), NOW, 1.0)
            for job, answer in zip(jobs, answers, strict=True)
        ]
        batch += [lifecycle.settle(jobs[3], outcome.returned(Cancel("second")), NOW)]
        assert store.run(Settle(tuple(batch))) == [False, False, True, True, False]
        states = [JobState.CANCELLED] * 3 + [JobState.COMPLETED]
        assert states == [job.state for job in every(store)]
        assert {"all"} == {job.last_error for job in every(store)[:3]}

    def test_two_cancels_of_one_group_in_a_batch_both_count(self, store: Store) -> None:
        insert(store, *self._three())
        jobs = claim(store)
        batch = [
            lifecycle.settle(job, outcome.returned(Cancel(f"{n}")), NOW + n * SECOND)
            for n, job in enumerate(jobs[:2])
        ]
        assert store.run(Settle(tuple(batch))) == [True, True]
        assert [job.last_error for job in every(store)] == ["0", "1", "0"]
        stamps = [NOW, NOW + SECOND, NOW]
        assert stamps == [job.cancelled_at for job in every(store)]

    def test_a_cancelled_group_is_heard_of_and_makes_room(self, store: Store) -> None:
        insert(store, *self._three())
        first, second, _ = claim(store)
        with opened(store) as session:
            listening(store, session)
            settled_at(store, first, Cancel("all"), NOW)
            told = {Signal("cancel"), Signal("cancel", job_id=second.id)}
            until(session, lambda items: any(item in told for item in items))
        held = tuple((job.id, job.token) for job in (first, second))
        assert ids([first, second]) == list(store.run(Poll(lifecycle.stage(NOW), 1, (), held)).lost)
        (anew,) = insert(store, unique())
        assert not anew.conflict

    def test_a_conflict_is_not_heard_of_and_a_replacement_is(self, store: Store) -> None:
        insert(store, unique(schedule_in=HOUR), unique(queue="b", schedule_in=HOUR))
        with opened(store) as session:
            listening(store, session)
            insert(store, unique())
            insert(store, unique(replace={"scheduled": ["scheduled_at"]}, schedule_in=SECOND))
            heard = until(session, lambda items: Signal("due", at=NOW + SECOND) in items)
            assert Signal("insert", "default") not in heard
            insert(store, unique(queue="b", replace={"scheduled": ["scheduled_at"]}))
            until(session, lambda items: Signal("insert", "b") in items)

    # All of it

    @examples(150)
    @given(data=st.data())
    def test_any_batch_on_any_rows_is_answered_as_if_inserted_one_by_one_in_memory(
        self, store: Store, plant: Plant, data: st.DataObject
    ) -> None:
        store.run(Delete(Selection(), 100_000))
        planted = plant(data.draw(st.lists(_rows(), max_size=5)))
        memory = MemoryStore(1)
        for job in planted:
            memory.tables.jobs.put(job)
        memory.tables.jobs.next_id = max([0, *ids(planted)]) + 1
        batch = tuple(data.draw(st.lists(_new_jobs(), min_size=1, max_size=6)))
        expected = [job for one in batch for job in memory.run(Insert((one,), NOW))]
        answers = list(store.run(Insert(batch, NOW)))
        assert _by_order(expected, memory) == _by_order(answers, store)
        assert _by_order(every(memory), memory) == _by_order(every(store), store)

    @staticmethod
    def _three() -> list[NewJob]:
        """Three jobs of one group: their rule lets new ones in beside those that wait."""
        return [unique(how=Unique(states=("completed",))) for _ in range(3)]

    @staticmethod
    def _only(store: Store, job: Job) -> list[Job]:
        """Claim one job of several."""
        change = lifecycle.claim("node", "mine", NOW)
        return store.run(Claim(selection.by_id(job.id), 1, change))


def _by_order(jobs: Sequence[Job], store: Store) -> list[Job]:
    """Jobs with their place among all of the store's in the place of ids."""
    places = {job_id: place for place, job_id in enumerate(ids(store.run(Find(Selection()))))}
    return [replace(job, id=places[job.id]) for job in jobs]


_FINGERPRINTS = ("one", "two")
_MOMENTS = (-61, -60, -59, -1, 0, 1, 60)


def _moments() -> st.SearchStrategy[datetime]:
    return st.sampled_from(_MOMENTS).map(lambda seconds: NOW + seconds * SECOND)


def _rows() -> st.SearchStrategy[Job]:
    return st.builds(
        grouped,
        st.sampled_from(EVERY_STATE),
        st.none() | st.sampled_from(_FINGERPRINTS),
        inserted_at=_moments(),
        scheduled_at=_moments(),
        attempt=st.integers(1, 3),
        max_attempts=st.integers(3, 4),
        queue=st.sampled_from(["default", "mail"]),
    )


def _new_jobs() -> st.SearchStrategy[NewJob]:
    states = st.lists(st.sampled_from(EVERY_STATE), min_size=1, unique=True).map(
        lambda chosen: tuple(state for state in JobState if state in chosen)
    )
    rule = st.builds(
        UniqueRule,
        st.sampled_from(_FINGERPRINTS),
        st.none() | st.just(timedelta(seconds=60)),
        st.just(UniqueRule("").states) | states,
        st.sampled_from(["inserted_at", "scheduled_at"]),
    )
    fields = st.just(True) | st.lists(st.sampled_from(FIELDS), min_size=1, unique=True)
    chosen = st.dictionaries(st.sampled_from(EVERY_STATE), fields, max_size=3)
    return st.builds(
        _new_job,
        st.none() | rule,
        st.just(()) | chosen.map(replacing.replace),
        priority=st.integers(0, 9),
        max_attempts=st.integers(1, 4),
        queue=st.sampled_from(["default", "mail"]),
        tags=st.sampled_from([(), ("a",), ('b"',)]),
        schedule_in=st.none() | st.sampled_from([timedelta(0), SECOND, 60 * SECOND]),
    )


def _new_job(rule: UniqueRule | None, replace: Replace, **given: Any) -> NewJob:
    meta = {} if rule is None else {META_KEY: rule.fingerprint}
    chosen = () if rule is None else replace
    return new(meta=meta, unique=rule, replace=chosen, **given)
