"""The marker's ``queues`` are what the application's own calls find configured, too."""

from __future__ import annotations

import pytest

from pgjobs import PgJobs, Queue, worker
from pgjobs_testing import harness

QUEUES = {"mail": Queue(concurrency=7, paused=True)}


@pytest.fixture
def application():
    return PgJobs("postgresql://db.example.invalid/shop", queues={"mail": 2})


@worker(queue="mail")
def send(job): ...


def test_a_queue_that_the_test_pauses_is_resumed_by_the_application(application):
    with harness(queues=QUEUES) as jobs:
        job = application.insert(send.new())
        jobs.advance(1)
        assert (True, "available") == (jobs.check_queue("mail").paused, jobs.get_job(job).state)
        application.resume_queue("mail")
        jobs.advance(1)
        assert (False, "completed") == (jobs.check_queue("mail").paused, jobs.get_job(job).state)


def test_a_queue_that_the_test_widens_is_scaled_by_the_application(application):
    with harness(queues=QUEUES) as jobs:
        assert jobs.check_queue("mail") == application.check_queue("mail")
        application.scale_queue("mail", concurrency=1)
        assert (1, 1) == tuple(each.check_queue("mail").concurrency for each in (jobs, application))
        application.reset_queue("mail")
        assert (7, 7) == tuple(each.check_queue("mail").concurrency for each in (jobs, application))


def test_a_client_without_queues_knows_none_of_the_tests_either():
    client = PgJobs("postgresql://db.example.invalid/shop", queues=False)
    with harness(queues=QUEUES) as jobs:
        client.scale_queue("mail", concurrency=3)
        assert (3, 3) == tuple(each.check_queue("mail").concurrency for each in (jobs, client))
