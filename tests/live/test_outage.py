"""A node that loses its server in the middle of a batch, and gets it back."""

from __future__ import annotations

import pytest

from pgjobs_testing.servers import ServerError, choose
from tests.live.outage import CONCURRENCY, JOBS, outage

pytestmark = [pytest.mark.live, pytest.mark.postgres, pytest.mark.pgjobs(mode="live")]


def test_no_job_is_lost_or_run_twice_when_the_server_stops_in_the_middle_of_a_batch():
    try:
        server = choose("embedded", None, {}).server()
    except ServerError as error:
        pytest.skip(f"outages need the embedded server: {error}")
    with server:
        found = outage(server, server.create_database("outage"), lambda: None)
    every = JOBS + 5
    assert {"completed": every} == found["states"]
    assert (every, every, 1, [1]) == (
        found["ids"],
        found["runs"],
        found["most_runs_of_one"],
        found["attempts"],
    )
    assert CONCURRENCY == found["finished_while_away"]
    assert 3 == found["inserts_refused"]
    (line,) = found["warnings"]
    assert "will be asked again; running jobs go on" in line
