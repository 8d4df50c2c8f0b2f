"""Rows that something else wrote: each is read as a job, and none stops the others."""

import copy
import dataclasses
import pickle
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from pgjobs.adapters.postgres.rows import job as read_job
from pgjobs.adapters.postgres.values import Parameters
from pgjobs.effects import Find
from pgjobs.rules.job import COLUMNS, CancelFlag, Job, JobState
from pgjobs.rules.schedule import LAST_INSTANT
from pgjobs.rules.selection import Selection, filtered
from pgjobs_testing.conformance.given import NOW, claim, every, insert, new, row

on_a_server = [pytest.mark.postgres, pytest.mark.pgjobs(mode="live")]

ROW = (
    7,
    "executing",
    "default",
    "tests.work",
    '{"a": 1}',
    "{}",
    ["x"],
    "[]",
    1,
    20,
    0,
    ["node", "token"],
    NOW,
    NOW,
    NOW,
    None,
    None,
    None,
)


def test_a_job_that_was_read_is_like_one_that_was_made():
    job = read_job(ROW)
    made = Job(
        7,
        JobState.EXECUTING,
        "default",
        "tests.work",
        {"a": 1},
        {},
        ("x",),
        (),
        1,
        20,
        0,
        ("node", "token"),
        NOW,
        NOW,
        NOW,
    )
    assert made == job
    assert type(job) is Job
    assert repr(made) == repr(job)
    assert isinstance(job.cancelled, CancelFlag)
    assert job.cancelled is not read_job(ROW).cancelled
    assert dataclasses.replace(job, queue="mail").queue == "mail"
    assert copy.copy(job) == job == pickle.loads(pickle.dumps(job))
    with pytest.raises(dataclasses.FrozenInstanceError):
        job.queue = "mail"


def test_every_column_has_its_place():
    job = read_job(ROW)
    stored = [getattr(job, name) for name in COLUMNS]
    assert stored[:4] == [7, "executing", "default", "tests.work"]
    assert [field.name for field in dataclasses.fields(Job)][: len(COLUMNS)] == list(COLUMNS)


class TestOnAServer:
    pytestmark = on_a_server

    def test_instants_that_python_does_not_have_are_cut_to_those_it_has(self, postgres):
        insert(postgres, new(), *[new(queue=f"q{n}") for n in range(4)])
        for n, text in enumerate(("infinity", "-infinity", "20000-01-01", "0044-03-15 BC")):
            postgres.query(
                "UPDATE oban_jobs SET scheduled_at = $1::text::timestamp, "
                "completed_at = $1::text::timestamp WHERE queue = $2::text",
                text,
                f"q{n}",
            )
        first = datetime.min.replace(tzinfo=UTC)
        expected = [NOW, LAST_INSTANT, first, LAST_INSTANT, first]
        assert expected == [job.scheduled_at for job in every(postgres)]
        assert [None, *expected[1:]] == [job.completed_at for job in every(postgres)]
        assert 5 == len(claim(postgres, queue=None))

    def test_numbers_that_no_int_is_parsed_from_are_decimals(self, postgres):
        insert(postgres, new(), new())
        digits = "9" * 6_000
        postgres.query(
            "UPDATE oban_jobs SET args = $1::text::jsonb WHERE id = (SELECT min(id) FROM oban_jobs)",
            f'{{"n": {digits}, "f": 1e400, "s": 0.1}}',
        )
        claimed = claim(postgres)
        assert [{"n": Decimal(digits), "f": 10**400, "s": 0.1}, {}] == [job.args for job in claimed]

    def test_json_too_deep_to_be_read_fails_its_job_alone(self, postgres):
        insert(postgres, *[new(args={"n": n}) for n in range(3)])
        depth = 5_000
        postgres.query(
            "UPDATE oban_jobs SET args = $1::text::jsonb WHERE args = '{\"n\": 1}'",
            '{"k": ' * depth + "1" + "}" * depth,
        )
        claimed = claim(postgres)
        assert [{"n": 0}, {"n": 2}] == [claimed[0].args, claimed[2].args]
        deep = claimed[1]
        if deep.worker == "tests.work":  # this Python reads it
            assert "k" in deep.args
        else:
            assert "nested too deeply" in deep.worker
            assert {} == deep.args

    def test_a_row_in_a_state_that_pgjobs_never_makes_is_read_and_kept(self, postgres):
        insert(postgres, new())
        postgres.query("UPDATE oban_jobs SET state = 'suspended'")
        assert [] == claim(postgres)
        (job,) = postgres.run(Find(filtered({"state": "suspended"})))
        assert job.state is JobState.SUSPENDED

    def test_oban_reads_what_was_written(self, postgres):
        """The columns that Oban's own statements read have the values that they expect."""
        insert(postgres, new(args={"id": 1}, tags=("a",), meta={"x": 1}))
        claim(postgres)
        ((found,),) = postgres.query(
            "SELECT to_jsonb(oban_jobs)::text FROM oban_jobs "
            "WHERE state = 'executing' AND attempted_by[1] = 'node' AND attempted_at IS NOT NULL"
        )
        for part in (
            '"tags": ["a"]',
            '"errors": []',
            '"attempt": 1',
            '"scheduled_at": "2030-01-01T12:00:00.123457"',
            '"attempted_by": ["node", "token"]',
        ):
            assert part in found

    def test_a_selection_without_conditions_means_every_row(self, postgres):
        insert(postgres, new(), new())
        assert 2 == len(postgres.run(Find(Selection())))
        assert row().state is JobState.AVAILABLE


@pytest.mark.postgres
@pytest.mark.pgjobs(mode="live")
@pytest.mark.parametrize(
    "texts",
    [["9f", "07"], ["9f", None, "07", None], ["9f"], ["a,b", "c"], ["", "9f"], [None, ""], [","]],
)
def test_digests_are_read_as_they_were_whatever_they_are(postgres, texts):
    given = Parameters()
    sql = f"SELECT {given.digests(texts)}"
    assert [(texts,)] == postgres.query(sql, *given.values)
