"""What a session promises: each effect ends once, waits end early, and signals are heard."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pgjobs.effects import (
    Claim,
    Count,
    Delete,
    Effect,
    Find,
    Insert,
    ResetControl,
    SetControl,
    Settle,
    Transition,
)
from pgjobs.ports import Done, Session, Signal, Store
from pgjobs.rules import lifecycle, outcome, selection
from pgjobs.rules.control import Control
from pgjobs.rules.job import JobState
from pgjobs.rules.selection import Selection
from pgjobs_testing.conformance.given import NOW, SECOND, claim, every, ids, insert, new

PATIENCE_S = 0.5
"""A wait that something ends is over long before; what nothing ends fails after 200 of these."""


@contextmanager
def opened(store: Store, name: str = "node") -> Iterator[Session]:
    session = store.session(name)
    try:
        yield session
    finally:
        session.close()


def until(session: Session, enough: Callable[[list[Done | Signal]], bool]) -> list[Done | Signal]:
    """What is collected until it is enough; 200 waits at the most."""
    found = session.collect()
    for _ in range(200):
        if enough(found):
            return found
        session.wait(PATIENCE_S)
        found += session.collect()
    raise AssertionError(f"not enough was collected: {found}")


def ended(session: Session, *effects: Effect[object]) -> list[Done]:
    """The ends of ``effects``, in the order in which they came."""
    found = until(session, lambda items: len(_dones(items)) >= len(effects))
    assert len(effects) == len(_dones(found))
    return _dones(found)


def _dones(items: list[Done | Signal]) -> list[Done]:
    return [item for item in items if isinstance(item, Done)]


def listening(store: Store, session: Session) -> None:
    """Signals are hints: a session may miss those of its first moments. After this it hears."""
    ask = Count(Selection())
    session.submit(ask)
    ended(session, ask)
    for _ in range(200):
        store.run(ResetControl("listening", NOW))
        session.wait(0.05)
        if Signal("control", "listening") in session.collect():
            return
    raise AssertionError("the session does not hear of what happens to the store")


class Sessions:
    """Tests of ``Store.session``."""

    def test_an_effect_ends_with_its_answer(self, store: Store) -> None:
        with opened(store) as session:
            effect = Insert((new(),), NOW)
            session.submit(effect)
            (done,) = ended(session, effect)
            assert effect is done.effect
            assert done.error is None
            assert every(store) == done.answer

    def test_claims_and_settlements_may_overlap(self, store: Store) -> None:
        insert(store, *[new(args={"n": n}) for n in range(30)])
        with opened(store) as session:
            running = claim(store, "first", demand=10)
            settled = outcome.returned(None)
            settle = Settle(tuple(lifecycle.settle(job, settled, NOW) for job in running))
            change = lifecycle.claim("node", "second", NOW)
            take = Claim(selection.claimable("default"), 10, change)
            session.submit(settle)
            session.submit(take)
            answers = {id(done.effect): done.answer for done in ended(session, settle, take)}
            assert answers[id(settle)] == [True] * 10
            assert [*range(10, 20)] == [job.args["n"] for job in answers[id(take)]]

    def test_effects_of_one_kind_end_in_the_order_of_their_submission(self, store: Store) -> None:
        with opened(store) as session:
            effects: list[Effect[object]] = [Insert((new(args={"n": n}),), NOW) for n in range(20)]
            for effect in effects:
                session.submit(effect)
            assert [*map(id, effects)] == [id(done.effect) for done in ended(session, *effects)]
        assert [*range(20)] == [job.args["n"] for job in every(store)]

    def test_an_effect_that_the_store_cannot_carry_out_ends_with_an_error(
        self, store: Store
    ) -> None:
        class Unknown(Effect[None]):
            pass

        with opened(store) as session:
            unknown, known = Unknown(), Count(Selection())
            session.submit(unknown)
            session.submit(known)
            by_effect = {id(done.effect): done for done in ended(session, unknown, known)}
            assert by_effect[id(unknown)].error is not None
            assert by_effect[id(known)].answer == {"": 0}

    def test_nothing_is_collected_twice(self, store: Store) -> None:
        with opened(store) as session:
            session.submit(Count(Selection()))
            ended(session, Count(Selection()))
            assert _dones(session.collect()) == []

    def test_a_wait_ends_when_another_thread_wakes_it(self, store: Store) -> None:
        with opened(store) as session:
            listening(store, session)
            for _ in range(20):
                waker = threading.Thread(target=session.wake)
                waker.start()
                session.wait(PATIENCE_S)
                waker.join()

    def test_a_wake_before_the_wait_ends_it_at_once(self, store: Store) -> None:
        with opened(store) as session:
            listening(store, session)
            session.collect()
            for _ in range(3):
                session.wake()
                session.wake()
                session.wait(PATIENCE_S)

    def test_a_wait_of_no_time_returns(self, store: Store) -> None:
        with opened(store) as session:
            session.wait(0)
            session.wait(0.0)

    def test_a_session_may_be_closed_with_effects_under_way(self, store: Store) -> None:
        for _ in range(3):
            with opened(store) as session:
                for _ in range(5):
                    session.submit(Find(Selection()))
        with opened(store) as session:
            listening(store, session)

    def test_each_of_two_sessions_hears_of_what_happens_to_the_store(self, store: Store) -> None:
        with opened(store, "one") as one, opened(store, "two") as two:
            listening(store, one)
            listening(store, two)
            self._hear_all(store, one, two)

    def _hear_all(self, store: Store, *sessions: Session) -> None:
        def hear(*signals: Signal) -> None:
            for session in sessions:
                until(session, lambda items: all(signal in items for signal in signals))

        jobs = insert(
            store, new(queue="a"), new(queue="b"), new(queue="a"), new(schedule_in=SECOND)
        )
        hear(Signal("insert", "a"), Signal("insert", "b"), Signal("due", at=NOW + SECOND))
        running = claim(store, queue="a")
        store.run(Transition(selection.by_id(running[0].id), lifecycle.cancel(NOW), 1))
        hear(Signal("cancel", job_id=running[0].id))
        store.run(Delete(selection.by_id(running[1].id), 1))
        hear(Signal("cancel", job_id=running[1].id))
        store.run(Transition(selection.by_id(jobs[3].id), lifecycle.retry(NOW), 1))
        hear(Signal("insert", "default"))
        store.run(SetControl("mail", Control(paused=True), NOW))
        hear(Signal("control", "mail"))
        store.run(ResetControl("b", NOW))
        hear(Signal("control", "b"))

    def test_a_session_serves_again_after_the_store_was_closed(self, store: Store) -> None:
        insert(store, new())
        store.close()
        assert len(every(store)) == 1
        with opened(store) as session:
            session.submit(Find(Selection()))
            (done,) = ended(session, Find(Selection()))
            assert ids(every(store)) == ids(done.answer)
            assert JobState.AVAILABLE is done.answer[0].state

    def test_the_stores_clock_is_aware_where_there_is_one(self, store: Store) -> None:
        now = store.server_now()
        assert now is None or now.utcoffset() is not None
