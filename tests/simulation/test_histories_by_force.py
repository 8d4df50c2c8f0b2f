"""Uniqueness is judged as a search through all orders judges it, on histories small enough for that.

The search takes every order of the calls that real time allows, and looks for one in which each is right.
"""

from __future__ import annotations

from itertools import permutations

from hypothesis import given, settings
from hypothesis import strategies as st

from pgjobs_testing.simulation.histories.lives import lives
from pgjobs_testing.simulation.histories.model import (
    Answer,
    Call,
    Ended,
    Entry,
    History,
    Insert,
    New,
    Order,
    Row,
    Rule,
)
from pgjobs_testing.simulation.histories.times import Times
from pgjobs_testing.simulation.histories.uniqueness import uniqueness

RULE = Rule(None, ("available",))
MOST = 6
SPAN = st.tuples(st.integers(0, 9), st.integers(0, 4))
STORES = st.tuples(SPAN, st.one_of(st.none(), SPAN))
"""When a job is stored, and when it is cancelled, if it is."""
MEETS = st.tuples(st.integers(0, 2), SPAN)


def call(span: tuple[int, int]) -> Call:
    return Call("p", span[0], span[0] + span[1], Ended.OK, 0, 9)


def history(stores, meets) -> History:
    """Jobs 1, 2 ... of one group in the order in which they were stored, and calls that met one."""
    inserts, orders, rows = [], [], {}
    births, ends = [], []
    for place, (stored, cancelled) in enumerate(stores):
        job, key = place + 1, f"s{place}"
        inserts.append(Insert(call(stored), (New(key, "g", RULE),), (Answer(job),)))
        births.append(Entry(job, job, job, None, "available", 0, "", "q", key, "g", 0, 0))
        rows[job] = Row(key, "available" if cancelled is None else "cancelled", 0)
        if cancelled is not None:
            orders.append(Order(call(cancelled), "cancel", job, "cancelled"))
            end = Entry(90 + job, 0, job, "available", "cancelled", 0, "", "q", key, "g", 0, 0)
            ends.append(end)
    for place, (met, span) in enumerate(meets):
        answer = Answer(1 + met, conflict=True)
        inserts.append(Insert(call(span), (New(f"m{place}", "g", RULE),), (answer,)))
    return History(tuple(inserts), tuple(orders), journal=(*births, *ends), rows=rows)


def events(stores, meets):
    for place, (stored, cancelled) in enumerate(stores):
        yield stored, "store", place
        if cancelled is not None:
            yield cancelled, "cancel", place
    for met, span in meets:
        yield span, "meet", met


def linear(stores, meets) -> bool:
    """Whether some order is true to real time, and right at each of its calls."""
    return any(right(order) and in_time(order) for order in permutations([*events(stores, meets)]))


def in_time(order) -> bool:
    """No call comes after one that was made when it had returned."""
    latest = -1
    for (invoked, lasts), _, _ in order:
        latest = max(latest, invoked)
        if invoked + lasts < latest:
            return False
    return True


def right(order) -> bool:
    standing, stored = None, -1
    for _, what, job in order:
        if what == "store":
            if standing is not None or job != stored + 1:
                return False
            standing = stored = job
        elif what == "meet" and standing != job:
            return False
        elif what == "cancel":
            if job != standing:
                return False
            standing = None
    return True


@settings(max_examples=400)
@given(st.lists(STORES, min_size=1, max_size=3), st.lists(MEETS, max_size=3))
def test_uniqueness_is_linear_just_where_a_search_finds_an_order(stores, meets):
    while len([*events(stores, meets)]) > MOST:
        (meets or stores).pop()
    made = history(stores, meets)
    known = lives(made.journal)
    times = Times(made, known)
    found = [*times.alarms(), *uniqueness(made, known, times)]
    assert linear(stores, meets) == (not found), found
