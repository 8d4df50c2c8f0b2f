"""Limited claims from many connections at once: the history that they leave is exact."""

from datetime import timedelta

import psycopg
import pytest

from pgjobs.adapters.postgres.limits import STALLED_MS
from pgjobs.adapters.postgres.names import Names
from pgjobs.adapters.postgres.statements import plan
from pgjobs.effects import ClaimWithin, Count, Settle, Windows
from pgjobs.rules import lifecycle, outcome, selection
from pgjobs.rules.errors import StoreError
from pgjobs.rules.limits import Limits
from pgjobs.rules.options import RateLimit
from pgjobs.rules.schedule import from_micros
from pgjobs_testing.conformance.given import NOW, every, insert, new
from pgjobs_testing.conformance.limits import within
from tests.stores.test_postgres_concurrency import together

pytestmark = [pytest.mark.postgres, pytest.mark.pgjobs(mode="live")]

STEP = timedelta(milliseconds=100)
EXECUTING = selection.Selection((selection.OneOf("state", ("executing",)),))


@pytest.mark.parametrize("isolation", ["read committed", "repeatable read", "serializable"])
def test_eight_claimers_whose_clocks_differ_never_exceed_the_rate(dsn, postgres, isolation):
    """Whatever the isolation that the database has by default."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        name = connection.info.dbname
        connection.execute(
            f"ALTER DATABASE \"{name}\" SET default_transaction_isolation = '{isolation}'".encode()
        )
    postgres.close()
    rate = RateLimit(7, 1)
    insert(postgres, *[new() for _ in range(400)])

    def claimer(number):
        def run():
            for turn in range(25):
                now = NOW + turn * STEP - (number % 4) * STEP / 2
                within(postgres, f"{number}-{turn}", rate=rate, demand=5, now=now)

        return run

    together(*map(claimer, range(8)))
    starts = sorted(job.attempted_at for job in every(postgres) if job.attempted_at)
    assert 7 <= len(starts) <= 21 + 7
    assert 7 == max(sum(a <= b < a + rate.period for b in starts) for a in starts)
    remembered = [from_micros(at) for at, n in postgres.run(Windows())["default"] for _ in range(n)]
    assert starts[-len(remembered) :] == remembered


@pytest.mark.parametrize("isolation", ["read committed", "repeatable read"])
def test_eight_claimers_never_run_more_than_all_nodes_may(dsn, postgres, isolation):
    with psycopg.connect(dsn, autocommit=True) as connection:
        name = connection.info.dbname
        connection.execute(
            f"ALTER DATABASE \"{name}\" SET default_transaction_isolation = '{isolation}'".encode()
        )
    postgres.close()
    insert(postgres, *[new() for _ in range(200)])

    def claimer(number):
        def run():
            most, done = 0, 0
            for turn in range(60):
                found = within(postgres, f"{number}-{turn}", most=3, demand=2)
                # What a claim says that it counted would be as wrong as what it took by it.
                most = max(most, postgres.run(Count(EXECUTING))[""])
                if found.jobs:
                    done += len(found.jobs)
                    settled = (lifecycle.settle(job, outcome.COMPLETED, NOW) for job in found.jobs)
                    postgres.run(Settle(tuple(settled)))
            return most, done

        return run

    found = together(*map(claimer, range(8)))
    assert 3 == max(most for most, _ in found)
    assert sum(done for _, done in found) == sum(
        job.state == "completed" for job in every(postgres)
    )


def test_first_claims_of_a_queue_that_has_no_row_yet_take_turns_too(postgres):
    insert(postgres, *[new() for _ in range(40)])
    rate = RateLimit(4, 60)
    found = together(*[lambda n=n: within(postgres, f"t{n}", rate=rate) for n in range(8)])
    assert 4 == sum(len(one.jobs) for one in found)


def test_a_claimer_that_stands_still_does_not_keep_its_turn_for_ever(dsn, postgres):
    change = lifecycle.claim("node", "token", NOW)
    effect = ClaimWithin("q", selection.claimable("q"), 1, change, Limits(RateLimit(1, 60)))
    (locked,) = plan(effect, Names("public")).statements
    with psycopg.connect(dsn) as connection:
        cursor = psycopg.RawCursor(connection)
        within(postgres, rate=RateLimit(1, 60), queue="q")
        assert 1 == len(cursor.execute(locked.sql, locked.parameters).fetchall())
        (shown,) = cursor.execute("SHOW idle_in_transaction_session_timeout").fetchone()
        assert f"{STALLED_MS // 1000}s" == shown
        connection.rollback()
        (shown,) = cursor.execute("SHOW idle_in_transaction_session_timeout").fetchone()
        assert f"{STALLED_MS // 1000}s" != shown


def test_a_window_that_cannot_be_read_is_an_error_that_says_so_and_holds_no_lock(postgres):
    insert(postgres, new())
    within(postgres, rate=RateLimit(5, 60))
    for broken in ("[1]", '[["x", 1]]', '{"a": 1}', "[[1, null]]", "[[1e300, 1]]"):
        postgres.query("UPDATE pgjobs_queues SET starts = $1::text::jsonb", broken)
        with pytest.raises(StoreError, match="which is no window: set it to NULL to forget it"):
            within(postgres, "again", rate=RateLimit(5, 60))
    postgres.query("UPDATE pgjobs_queues SET starts = NULL")
    assert [] == within(postgres, "whole", rate=RateLimit(5, 60)).jobs
