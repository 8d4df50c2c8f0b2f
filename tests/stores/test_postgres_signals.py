"""What is told to listeners, in Oban's form; and what is heard of them."""

import base64
import gzip
import json

import psycopg
import pytest

from pgjobs import NewJob, PgJobs
from pgjobs.adapters.postgres.names import Names
from pgjobs.adapters.postgres.signals import signal_of
from pgjobs.effects import Delete, Poll, SetControl, Transition
from pgjobs.ports import Signal
from pgjobs.rules import lifecycle
from pgjobs.rules.control import Control
from pgjobs.rules.job import JobState
from pgjobs.rules.selection import OneOf, Selection
from pgjobs_testing.conformance.given import NOW, SECOND, claim, insert, new
from pgjobs_testing.conformance.sessions import listening, opened, until

PUBLIC = Names("public")

on_a_server = [pytest.mark.postgres, pytest.mark.pgjobs(mode="live")]


@pytest.fixture
def ear(dsn, postgres):
    """A foreign listener on Oban's channels and ours."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        for channel in ("public.oban_insert", "public.oban_signal", "public.pgjobs"):
            connection.execute(f'LISTEN "{channel}"')
        yield connection


def heard(ear):
    """What was told until now: a mark is sent, and all that comes before it is taken."""
    ear.execute("""SELECT pg_notify('public.pgjobs', '"end"')""")
    found = []
    for note in ear.notifies(timeout=10):
        if note.payload == '"end"':
            return found
        found.append((note.channel, json.loads(note.payload)))
    raise AssertionError(f"the mark did not come: {found}")


class TestOnAServer:
    pytestmark = on_a_server

    def test_an_insert_tells_each_queue_once_and_the_earliest_due_moment(self, postgres, ear):
        insert(
            postgres,
            new(queue="a"),
            new(queue='b"\\'),
            new(queue="a"),
            new(queue="c", schedule_in=2 * SECOND),
            new(queue="d", schedule_in=SECOND),
        )
        assert [
            ("public.oban_insert", {"queue": "a"}),
            ("public.oban_insert", {"queue": 'b"\\'}),
            ("public.pgjobs", {"due": "2030-01-01T12:00:01.123457Z"}),
        ] == sorted(heard(ear), key=str)

    def test_a_large_insert_tells_each_queue_once(self, postgres, ear):
        insert(postgres, *[new(queue=f"q{n % 2}") for n in range(11_000)])
        assert 2 == len(heard(ear))

    def test_ten_thousand_jobs_for_three_queues_send_three_small_notifications(
        self, dsn, postgres, ear
    ):
        jobs = PgJobs(dsn, queues=False)
        jobs.insert_all(NewJob("any", {"n": n}, queue=f"q{n % 3}") for n in range(10_000))
        notes = heard(ear)
        assert [("public.oban_insert", {"queue": f"q{n}"}) for n in range(3)] == sorted(
            notes, key=str
        )
        assert max(len(json.dumps(payload)) for _, payload in notes) < 100
        jobs.store.close()

    def test_a_retry_tells_its_queue(self, postgres, ear):
        insert(postgres, new(queue="a", schedule_in=SECOND), new(queue="a", schedule_in=SECOND))
        heard(ear)
        postgres.run(Transition(Selection(), lifecycle.retry(NOW), 10))
        assert [("public.oban_insert", {"queue": "a"})] == heard(ear)

    def test_what_executes_is_told_to_stop_in_obans_form_when_it_is_cancelled_or_deleted(
        self, postgres, ear
    ):
        insert(postgres, new(), new())
        first, second = claim(postgres)
        insert(postgres, new())
        heard(ear)
        chosen = Selection((OneOf("id", (first.id, second.id + 1)),))
        assert 2 == len(postgres.run(Transition(chosen, lifecycle.cancel(NOW), 10)))
        pkill = {"action": "pkill", "job_id": first.id, "from": "pgjobs"}
        assert [("public.oban_signal", pkill)] == heard(ear)
        assert 3 == len(postgres.run(Delete(Selection(), 10)))
        assert [("public.oban_signal", pkill | {"job_id": second.id})] == heard(ear)

    def test_a_control_is_told_in_our_own_channel(self, postgres, ear):
        postgres.run(SetControl("a", Control(paused=True), NOW))
        assert [("public.pgjobs", {"control": "a"})] == heard(ear)

    def test_a_poll_tells_the_queues_of_what_it_staged(self, postgres, ear):
        insert(postgres, new(queue="a", schedule_in=SECOND), new(queue="b", schedule_in=SECOND))
        heard(ear)
        postgres.run(Poll(lifecycle.stage(NOW + SECOND), 10, ()))
        expected = [("public.oban_insert", {"queue": queue}) for queue in "ab"]
        assert expected == sorted(heard(ear), key=str)
        postgres.run(Poll(lifecycle.stage(NOW + SECOND), 10, ()))
        assert [] == heard(ear)

    def test_a_queue_too_long_for_a_payload_is_inserted_all_the_same(self, postgres, ear):
        (job,) = insert(postgres, new(queue='"' * 7_000))
        assert job.state is JobState.AVAILABLE
        assert [] == heard(ear)

    @pytest.mark.parametrize("gzipped", [False, True])
    def test_a_session_hears_what_an_oban_tells(self, dsn, postgres, gzipped):
        def told(payload):
            text = json.dumps(payload)
            return (
                base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()
                if gzipped
                else text
            )

        with opened(postgres) as session, psycopg.connect(dsn, autocommit=True) as oban:
            listening(postgres, session)
            for channel, payload in (
                ("public.oban_insert", {"queue": "mail"}),
                ("public.oban_signal", {"action": "pause", "queue": "mail", "ident": "any"}),
                ("public.oban_signal", {"action": "pkill", "job_id": 2**40}),
            ):
                oban.execute("SELECT pg_notify(%s, %s)", (channel, told(payload)))
            last = Signal("kill", job_id=2**40)
            found = until(session, lambda items: last in items)
            assert [Signal("insert", "mail"), last] == [
                one for one in found if one.kind != "control"
            ]


@pytest.mark.parametrize(
    "channel,payload",
    [
        ("public.oban_insert", "nonsense"),
        ("public.oban_insert", "[]"),
        ("public.oban_insert", "{}"),
        ("public.oban_insert", '{"queue": 3}'),
        ("public.oban_insert", ""),
        ("public.oban_insert", "{" * 5_000),
        ("public.oban_signal", '{"action": "pkill"}'),
        ("public.oban_signal", '{"action": "pkill", "job_id": "x"}'),
        ("public.oban_signal", '{"action": "scale", "queue": "x"}'),
        ("public.oban_leader", '{"queue": "x"}'),
        ("public.oban_insert", '{"a":' * 1_500),
        ("public.oban_signal", '{"action": "pkill", "job_id": 1e999}'),
        (
            "public.oban_signal",
            base64.b64encode(gzip.compress(b"{}", mtime=0)[:10] + b"\xff" * 20).decode(),
        ),
        ("public.pgjobs", '{"due": "soon"}'),
        ("public.pgjobs", '{"due": "2030-01-01T00:00:00"}'),
        ("public.pgjobs", '{"unknown": "x"}'),
        ("public.pgjobs", '{"due": "2030-01-01T00:00:00Z", "control": "x"}'),
        ("public.pgjobs", base64.b64encode(b"\x1f\x8b no gzip").decode()),
        ("other.pgjobs", '{"control": "x"}'),
    ],
)
def test_what_cannot_be_read_is_no_signal(channel, payload):
    assert signal_of(channel, payload, PUBLIC) is None


@pytest.mark.parametrize("mark, kind", [({}, "kill"), ({"from": "pgjobs"}, "cancel")])
def test_an_obans_pkill_asks_for_the_cancel_that_ours_only_tells_of(mark, kind):
    payload = json.dumps({"action": "pkill", "job_id": 7} | mark)
    assert Signal(kind, job_id=7) == signal_of("public.oban_signal", payload, PUBLIC)


def test_channels_are_obans_where_its_names_fit_and_ours_where_they_do_not():
    assert ("public.oban_insert", "public.oban_signal", "public.pgjobs") == PUBLIC.channels
    assert ('My "x.oban_insert', 'My "x.oban_signal', 'My "x.pgjobs') == Names('My "x').channels
    assert Names("x" * 51).insert_channel == "x" * 51 + ".oban_insert"
    (own,) = Names("x" * 52).channels
    assert len(own) <= 63
    assert Names("x" * 53).own_channel != own
    (hashed,) = Names("x" * 63).channels
    assert hashed != Names("y" * 63).own_channel
