"""Processes for which a few descriptors are to be had, and not all that they take."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pgjobs import ProcessDiedError
from pgjobs.adapters.processes import ProcessExecutor
from pgjobs.adapters.system import SystemClock
from tests.live import in_processes as work
from tests.live.test_process_executor import Collected, run_of

pytestmark = [pytest.mark.live, pytest.mark.timeout(60)]


@contextmanager
def descriptors(spare: int) -> Iterator[None]:
    """So many more can be opened."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = {int(each.name) for each in Path("/proc/self/fd").iterdir()}
    free = [number for number in range(len(taken) + spare + 1) if number not in taken]
    resource.setrlimit(resource.RLIMIT_NOFILE, (free[spare], hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="looks up which are open")
def test_however_few_there_are_each_run_ends_and_later_ones_run():
    collected = Collected()
    executor = ProcessExecutor(collected.outbox, SystemClock(), idle_s=0.0)
    for spare in range(12):
        run = run_of(work.quick)
        with descriptors(spare):
            executor.start([run])
            end = collected.take(spare + 1)[-1]
        assert run is end.run
        assert isinstance(end.outcome.exception, ProcessDiedError | None), end.outcome.error
    executor.start([run_of(work.quick)])
    assert collected.take(13)[-1].outcome.error is None
    executor.close()
