"""What a test sees of a caller's transaction that a job was inserted in: its end, in the timeline.

In mode inline a job runs when its transaction is committed, as it could in production, and not before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from pgjobs.rules.job import Job
from pgjobs_testing.executor import running
from pgjobs_testing.recorder import Recorder


class Inline(Protocol):
    """Runs what is due where the mode is inline."""

    def called(self) -> None: ...

    async def called_async(self) -> None: ...


class CallersTransactions:
    """Told by the memory store how inserts within callers' transactions have ended.

    ``engine`` gives None once there is none any more.
    """

    def __init__(self, engine: Callable[[], Inline | None], recorder: Recorder) -> None:
        self._engine, self._recorder = engine, recorder

    def committed(self) -> None:
        engine = self._engine()
        if engine is None:  # its test is over, and nobody will look
            return
        if not running():
            engine.called()
            return
        from sqlalchemy.util import await_only  # none but an AsyncSession commits in a running loop

        await_only(engine.called_async())

    def rolled_back(self, jobs: list[Job]) -> None:
        for job in jobs:
            self._recorder.note("rollback", detail=job.worker, job=job)
