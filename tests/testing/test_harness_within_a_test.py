"""``harness(...)`` inside a test that has jobs of its own: neither sees the other's."""

from __future__ import annotations

import pytest

from pgjobs import PgJobs, worker
from pgjobs_testing import harness


@worker
def note(job): ...


@pytest.mark.parametrize("mode", ["manual", pytest.param("postgres", marks=pytest.mark.postgres)])
def test_a_block_within_a_block_leaves_the_jobs_around_it_alone(request, mode):
    if mode == "postgres":
        request.getfixturevalue("server")
    app = PgJobs("postgresql://db.example.invalid/shop")
    with harness(mode=mode) as around:
        app.insert(note.new({"n": 1}))
        for _ in range(2):
            with harness(mode=mode) as within:
                assert within.count_jobs() == 0
                app.insert_all([note.new({"n": 2}), note.new({"n": 3})])
                assert within.drain_queue() == {"completed": 2}
        assert [job.args for job in around.all_jobs()] == [{"n": 1}]
        other = PgJobs("postgresql://db.example.invalid/other", name="other")
        other.insert(note.new({"n": 4}))
        assert [around.count_jobs(), around["other"].count_jobs()] == [1, 1]


def test_a_harness_decorates_what_then_has_one_of_its_own_at_each_call():
    app = PgJobs("postgresql://db.example.invalid/shop")

    @harness(seed=1)
    def inserts(again):
        app.insert(note.new())
        if again:
            inserts(again=False)
        return app.count_jobs()

    assert [1, 1] == [inserts(again=True), inserts(again=False)]


def test_a_harness_stands_for_the_instance_of_its_name_that_was_first_used_last():
    first, second = (PgJobs(f"postgresql://db.example.invalid/{each}") for each in ("one", "two"))
    with harness() as jobs:
        first.insert(note.new({"n": 1}))
        assert [{"n": 1}] == [job.args for job in jobs.all_jobs()]
        second.insert(note.new({"n": 2}))
        first.insert(note.new({"n": 3}))
        assert [{"n": 2}] == [job.args for job in jobs.all_jobs()]
