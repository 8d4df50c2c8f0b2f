"""What a poll promises: one look that misses nothing, and counts nothing twice."""

from __future__ import annotations

from pgjobs.effects import Poll, Polled, SetControl, Transition
from pgjobs.ports import Store
from pgjobs.rules import lifecycle, selection
from pgjobs.rules.control import Control
from pgjobs.rules.job import JobState
from pgjobs_testing.conformance.given import (
    MICROSECOND,
    NOW,
    SECOND,
    Plant,
    claim,
    ids,
    insert,
    new,
    read,
    row,
)


def poll(
    store: Store,
    *queues: str,
    now: object = NOW,
    limit: int = 100,
    held: tuple[tuple[int, str], ...] = (),
) -> Polled:
    stage = lifecycle.stage(now)  # type: ignore[arg-type]  # an instant
    return store.run(Poll(stage, limit, queues, held))


class Polling:
    """Tests of ``Poll``."""

    def test_an_empty_store_has_nothing_to_tell(self, store: Store) -> None:
        assert Polled((), (), None, (), {}) == poll(store)
        assert Polled((), (), None, (), {}) == poll(store, "default", "mail")

    def test_due_jobs_become_available_in_order_of_their_due_instant(
        self, store: Store, plant: Plant
    ) -> None:
        jobs = plant(
            [
                row(state, scheduled_at=NOW + offset * MICROSECOND, queue=queue)
                for state, offset, queue in (
                    (JobState.SCHEDULED, 0, "a"),
                    (JobState.RETRYABLE, -2, "b"),
                    (JobState.SCHEDULED, -2, "a"),
                    (JobState.RETRYABLE, 1, "a"),
                    (JobState.SUSPENDED, -5, "a"),
                    (JobState.COMPLETED, -5, "a"),
                )
            ]
        )
        polled = poll(store)
        expected = [(jobs[1].id, "b"), (jobs[2].id, "a"), (jobs[0].id, "a")]
        assert expected == list(polled.staged)
        for job in jobs[:3]:
            assert lifecycle.apply(lifecycle.stage(NOW), job) == read(store, job.id)
        for job in jobs[3:]:
            assert job == read(store, job.id)
        assert jobs[3].scheduled_at == polled.next_due

    def test_staging_stops_at_the_limit_and_the_next_due_moment_is_behind_it(
        self, store: Store
    ) -> None:
        jobs = insert(store, *[new(schedule_in=SECOND) for _ in range(5)])
        later = NOW + 2 * SECOND
        first = poll(store, now=later, limit=3)
        assert ids(jobs[:3]) == [job_id for job_id, _ in first.staged]
        assert jobs[3].scheduled_at == first.next_due
        second = poll(store, now=later, limit=3)
        assert ids(jobs[3:]) == [job_id for job_id, _ in second.staged]
        assert second.next_due is None

    def test_the_next_due_moment_is_not_one_that_was_just_staged(self, store: Store) -> None:
        insert(store, new(schedule_in=SECOND), new(schedule_in=3 * SECOND))
        assert poll(store).next_due == NOW + SECOND
        polled = poll(store, now=NOW + SECOND)
        assert len(polled.staged) == 1
        assert polled.next_due == NOW + 3 * SECOND

    def test_queues_with_available_jobs_are_ready_in_the_order_asked_for(
        self, store: Store
    ) -> None:
        insert(
            store,
            new(queue="a"),
            new(queue="b", schedule_in=SECOND),
            new(queue="c"),
            new(queue="d"),
        )
        claim(store, queue="d")
        assert poll(store, "d", "c", "b", "a", "none").ready == ("c", "a")
        assert poll(store, "d", "c", "b", "a", now=NOW + SECOND).ready == ("c", "b", "a")

    def test_queues_that_were_not_asked_for_are_staged_and_not_told(self, store: Store) -> None:
        (job,) = insert(store, new(queue="other", schedule_in=SECOND))
        polled = poll(store, "mine", now=NOW + SECOND)
        assert ((job.id, "other"),) == polled.staged
        assert polled.ready == ()

    def test_claims_that_no_longer_hold_are_lost_in_the_order_asked_for(self, store: Store) -> None:
        insert(store, *[new() for _ in range(4)])
        jobs = claim(store)
        store.run(Transition(selection.by_id(jobs[1].id), lifecycle.cancel(NOW), 1))
        held = (
            (jobs[3].id, "stale"),
            (jobs[0].id, "token"),
            (jobs[1].id, "token"),
            (jobs[2].id, "token"),
            (jobs[0].id + 10**6, "token"),
        )
        expected = (jobs[3].id, jobs[1].id, jobs[0].id + 10**6)
        assert expected == poll(store, held=held).lost

    def test_a_poll_tells_what_was_set_by_hand(self, store: Store) -> None:
        store.run(SetControl("mail", Control(paused=True, concurrency=3), NOW))
        store.run(SetControl("a", Control(concurrency=2), NOW))
        expected = {"a": Control(concurrency=2), "mail": Control(paused=True, concurrency=3)}
        polled = poll(store)
        assert expected == polled.controls
        assert list(polled.controls) == ["a", "mail"]

    def test_due_jobs_of_ten_thousand_are_staged_by_several_polls(self, store: Store) -> None:
        insert(store, *[new(schedule_in=SECOND) for _ in range(10_000)])
        counts = [len(poll(store, now=NOW + SECOND, limit=5_000).staged) for _ in range(3)]
        assert counts == [5_000, 5_000, 0]
