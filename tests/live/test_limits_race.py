"""Four processes with eight connections hammer one limited queue: its history is exact.

Claims take turns, so there is one order of them, in which the rules give each what it got.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

import psycopg
import pytest

from pgjobs.adapters.postgres.store import PostgresStore
from pgjobs.effects import Windows
from pgjobs.rules.limits import Turn
from pgjobs.rules.ratelimit import Window
from pgjobs_testing.conformance.given import MICROSECOND, NOW, every, ids, insert, new
from tests.live.gate import told_by
from tests.live.limited_claims import ALLOWED, CLAIMERS, CLAIMS, LIMITS, MOST, PERIOD, QUEUE

pytestmark = [pytest.mark.live, pytest.mark.slow, pytest.mark.pgjobs(mode="live")]

PROCESSES = 4
JOBS = 800
"""More than all claims want together."""

# A claim holds the queue's turn until it has committed: starts are noted in the order of turns. An end is
# noted a little before it is committed and counts.
NOTED = f"""
CREATE TABLE noted (n bigserial, token text, began boolean);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  INSERT INTO noted (token, began) VALUES (NEW.attempted_by[2], NEW.state = 'executing');
  RETURN NULL;
END $$;
CREATE TRIGGER noted AFTER UPDATE ON oban_jobs FOR EACH ROW WHEN (NEW.queue = '{QUEUE}')
  EXECUTE FUNCTION note();
"""


@dataclass(frozen=True)
class Told:
    """One claim as its process tells it."""

    token: str
    now: datetime
    demand: int
    ids: list[int]
    running: int
    opens_at: datetime | None

    @property
    def claimer(self) -> int:
        return int(self.token.partition("-")[0])

    @property
    def waits(self) -> bool:
        """Whether it was told of an instant to wait for."""
        return self.opens_at is not None and self.opens_at > self.now


def test_claims_of_four_processes_are_those_of_the_rules_one_after_another(database: str) -> None:
    store = PostgresStore(database)
    store.migrate()
    jobs = insert(store, *[new(queue=QUEUE) for _ in range(JOBS)])
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(NOTED.encode())
        runs = [(database, str(n)) for n in range(PROCESSES)]
        told = [read(each) for each in told_by("limited_claims.py", *runs)]
        noted = connection.execute("SELECT token, began FROM noted ORDER BY n").fetchall()
    turns = list(in_turn({claim.token: claim for claim in told}, noted))
    starts, order, window = replayed(turns)
    assert {QUEUE: window} == store.run(Windows())
    stored = {job.id: (job.attempt, job.attempted_at) for job in every(store)}
    store.close()
    assert order == ids(jobs)[: len(order)]
    begun = {job: (1, at) for job, at in zip(order, starts, strict=True)}
    assert dict.fromkeys(ids(jobs), (0, None)) | begun == stored
    spans = [late - early for early, late in zip(starts, starts[ALLOWED - 1 :], strict=False)]
    assert min(spans) < PERIOD
    spans = [late - early for early, late in zip(starts, starts[ALLOWED:], strict=False)]
    assert min(spans) >= PERIOD
    # the race was one, and both limits were met
    assert Counter(claim.claimer for claim, _ in turns) == dict.fromkeys(
        range(PROCESSES * CLAIMERS), CLAIMS
    )
    changes = sum(one.claimer != other.claimer for (one, _), (other, _) in pairwise(turns))
    behind = sum(one.now > other.now for (one, _), (other, _) in pairwise(turns))
    vain = [claim for claim in told if not claim.ids]
    full = sum(claim.running >= MOST for claim in vain)
    sys.stdout.write(
        f"{len(told)} claims, {len(turns)} took {len(order)} jobs; the turn changed hands {changes} "
        f"times, {behind} times to a clock behind; in vain {len(vain)}, for running jobs {full}\n"
    )
    assert all(claim.running >= MOST or claim.waits for claim in vain)
    assert 0 < full < len(vain)
    assert min(changes, behind) > PROCESSES * CLAIMERS


def in_turn(told: dict[str, Told], noted: list[tuple[str, bool]]) -> Iterator[tuple[Told, int]]:
    """The claims that took something, in the order of their turns, with how many ends were noted before."""
    ended, last, seen = 0, "", set[str]()
    for token, began in noted:
        if not began:
            ended += 1
        elif token != last:
            assert token not in seen, "a claim began within another's turn"
            seen.add(token)
            last = token
            yield told[token], ended
    assert seen == {claim.token for claim in told.values() if claim.ids}


def replayed(turns: list[tuple[Told, int]]) -> tuple[list[datetime], list[int], Window]:
    """Each start with its job, and the window that is left, as the rules alone have them."""
    starts: list[datetime] = []
    order: list[int] = []
    window: Window = ()
    for claim, ended in turns:
        taken = len(claim.ids)
        running = claim.running - taken
        assert len(starts) - ended <= running < MOST
        turn = Turn(LIMITS, claim.demand, claim.now, window, running)
        assert (turn.room, turn.opens_at(taken)) == (taken, claim.opens_at)
        starts += [turn.at] * taken
        order += claim.ids
        window = turn.after(taken)
    return starts, order, window


def read(told: list[Any]) -> Told:
    token, now, demand, taken, running, opens_at = told
    return Told(token, instant(now), demand, taken, running, opens_at and instant(opens_at))


def instant(since: int) -> datetime:
    return NOW + since * MICROSECOND
