"""What an insert promises: all of it, in the order given, exactly as a reader will see it."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from pgjobs.effects import Count, Find, Insert
from pgjobs.ports import Store
from pgjobs.rules import selection
from pgjobs.rules.job import Job, JobState, NewJob
from pgjobs.rules.jsonb import MAX_DEPTH, normal_object
from pgjobs.rules.schedule import LAST_INSTANT
from pgjobs.rules.selection import OneOf, Selection
from pgjobs_testing.conformance.given import (
    BEYOND_INT4,
    MICROSECOND,
    NOW,
    SECOND,
    every,
    examples,
    ids,
    insert,
    new,
    new_jobs,
    read,
)
from pgjobs_testing.properties.values import json_objects


class Inserting:
    """Tests of ``Insert``."""

    def test_inserted_jobs_come_back_in_the_order_given_with_ascending_ids(
        self, store: Store
    ) -> None:
        given_ = [new(args={"n": n}, priority=(n * 7) % 10, queue=f"q{n % 3}") for n in range(50)]
        jobs = insert(store, *given_)
        assert [{"n": n} for n in range(50)] == [job.args for job in jobs]
        assert sorted(set(ids(jobs))) == ids(jobs)

    def test_ids_are_wider_than_four_bytes(self, store: Store) -> None:
        (job,) = insert(store, new())
        assert job.id >= BEYOND_INT4
        assert read(store, job.id) == job

    def test_an_inserted_job_has_not_begun(self, store: Store) -> None:
        (job,) = insert(store, new("tests.rest", args={"a": 1}, queue="mail", max_attempts=3))
        expected = Job(
            id=job.id,
            state=JobState.AVAILABLE,
            queue="mail",
            worker="tests.rest",
            args={"a": 1},
            meta={},
            tags=(),
            errors=(),
            attempt=0,
            max_attempts=3,
            priority=0,
            attempted_by=(),
            inserted_at=NOW,
            scheduled_at=NOW,
        )
        assert expected == job
        assert expected == read(store, job.id)

    def test_a_job_due_now_or_earlier_is_available_and_one_due_later_is_scheduled(
        self, store: Store
    ) -> None:
        dues = [NOW - SECOND, NOW, NOW + MICROSECOND, LAST_INSTANT]
        jobs = insert(store, *[new(scheduled_at=due) for due in dues])
        states = [JobState.AVAILABLE] * 2 + [JobState.SCHEDULED] * 2
        assert states == [job.state for job in jobs]
        assert dues == [job.scheduled_at for job in jobs]
        assert jobs == every(store)

    def test_schedule_in_counts_from_the_insert_and_never_passes_the_last_instant(
        self, store: Store
    ) -> None:
        spans = [timedelta(0), timedelta(microseconds=1), timedelta(days=1), timedelta.max]
        jobs = insert(store, *[new(schedule_in=span) for span in spans])
        dues = [NOW, NOW + MICROSECOND, NOW + timedelta(days=1), LAST_INSTANT]
        assert dues == [job.scheduled_at for job in jobs]

    def test_instants_are_kept_to_the_microsecond_in_every_year(self, store: Store) -> None:
        dues = [
            datetime(1, 1, 1, tzinfo=UTC),
            datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
            datetime(2038, 1, 19, 3, 14, 8, 1, tzinfo=UTC),
            LAST_INSTANT,
        ]
        jobs = insert(store, *[new(scheduled_at=due) for due in dues])
        assert dues == [job.scheduled_at for job in every(store)]
        assert jobs == every(store)

    def test_a_template_makes_equal_jobs_that_share_nothing(self, store: Store) -> None:
        template = new(args={"list": [1]}, meta={"deep": {"a": []}}, tags=("x",))
        first, second = insert(store, template, template)
        (third,) = insert(store, template)
        first.args["list"].append(2)
        first.meta["deep"]["a"].append(3)
        assert first.id < second.id < third.id
        for job in (second, third, *every(store)):
            assert job.args == {"list": [1]}
            assert job.meta == {"deep": {"a": []}}
            assert not job.conflict
        assert template.args == {"list": [1]}

    def test_a_reader_may_change_what_it_read_without_changing_the_store(
        self, store: Store
    ) -> None:
        (job,) = insert(store, new(args={"a": [1]}))
        for _ in range(2):
            found = read(store, job.id)
            assert found is not None
            assert found.args == {"a": [1]}
            found.args["a"].append(2)

    def test_an_insert_of_nothing_does_nothing(self, store: Store) -> None:
        assert store.run(Insert((), NOW)) == []
        assert every(store) == []

    def test_a_large_insert_keeps_its_order(self, store: Store) -> None:
        jobs = insert(store, *[new(args={"n": n}, priority=n % 10) for n in range(12_001)])
        assert [*range(12_001)] == [job.args["n"] for job in jobs]
        assert sorted(ids(jobs)) == ids(jobs)
        assert store.run(Count(Selection())) == {"": 12_001}

    def test_a_large_insert_is_answered_as_it_is_read_whatever_it_holds(self, store: Store) -> None:
        traps = [
            new(
                "tests.\t\\N",
                args={"a\tb": "\n\r\\.\\", "ä": [1.5, None, True, {"z": '"\x7f\u2028'}]},
                meta={"m": ["\\", "\t"]},
                tags=('c,"\\{}', "NULL", "\t\n", "\\N"),
                queue="a'b\"c\\\n",
                max_attempts=5,
                priority=3,
            ),
            new("\\.", scheduled_at=NOW + MICROSECOND, tags=("x",)),
            new("Ä", schedule_in=timedelta(days=400), args={"n": 10**30}),
            new(scheduled_at=NOW - SECOND),
        ]
        inserted = insert(store, *traps * 300)
        assert len(inserted) == 1_200
        assert inserted == every(store)

    def test_an_insert_may_be_awaited(self, store: Store) -> None:
        async def main() -> list[list[Job]]:
            inserts = [store.run_async(Insert((new(args={"n": n}),), NOW)) for n in range(30)]
            return list(await asyncio.gather(*inserts))

        inserted = [job for jobs in asyncio.run(main()) for job in jobs]
        assert sorted(inserted, key=lambda job: job.id) == every(store)
        assert [*range(30)] == [job.args["n"] for job in inserted]

    def test_one_store_serves_one_event_loop_after_another(self, store: Store) -> None:
        async def main() -> dict[str, int]:
            await store.run_async(Insert((new(),), NOW))
            return await store.run_async(Count(Selection()))

        assert [{"": n} for n in (1, 2, 3)] == [asyncio.run(main()) for _ in range(3)]

    @examples(40)
    @given(jobs=st.lists(new_jobs(), max_size=5))
    def test_what_is_answered_is_what_is_read(self, store: Store, jobs: list[NewJob]) -> None:
        inserted = insert(store, *jobs)
        found = store.run(Find(Selection((OneOf("id", tuple(ids(inserted))),))))
        assert inserted == found
        assert [job.worker for job in jobs] == [job.worker for job in found]

    @examples(150)
    @given(args=json_objects(), meta=json_objects())
    def test_json_is_read_as_its_normal_form_to_the_order_of_keys_and_the_type_of_numbers(
        self, store: Store, args: dict[str, object], meta: dict[str, object]
    ) -> None:
        (job,) = insert(store, new(args=args, meta=meta))
        found = read(store, job.id)
        assert found is not None
        for read_ in (job, found):
            assert json.dumps(args) == json.dumps(read_.args)
            assert json.dumps(meta) == json.dumps(read_.meta)

    def test_json_may_be_nested_to_the_limit(self, store: Store) -> None:
        deep: object = "core"
        for level in range(MAX_DEPTH - 1):
            deep = [deep] if level % 2 else {"k": deep}
        args = normal_object({"k": deep}, "args")
        (job,) = insert(store, new(args=args))
        assert [job] == store.run(Find(selection.by_id(job.id)))
        assert args == job.args
