"""Who runs the jobs of one node: scripted runs as the file says, real workers as the harness does.

A node is a process, so each has an event loop of its own. While it is suspended, or after its crash,
its loop stands still as the process would; at the end of the play what is left there is cancelled,
and reaches no store any more.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from pgjobs.ports import Finished, Run
from pgjobs_testing.clock import VirtualClock
from pgjobs_testing.executor import InlineExecutor, Loops
from pgjobs_testing.nodes.line import Line
from pgjobs_testing.scenarios.scripted import ScriptedExecutor
from pgjobs_testing.scenarios.stage import Stage


class Staff:
    """An executor that gives each run to the kind of worker that it has."""

    def __init__(
        self,
        scripted: ScriptedExecutor,
        names: Collection[str],
        tasks: Collection[str],
        clock: VirtualClock,
        stage: Stage,
        line: Line,
    ) -> None:
        self._scripted, self._names, self._tasks = scripted, names, tasks
        self._loops = Loops(clock)
        self._real = InlineExecutor(clock, self._loops, stage.available)
        self._stage, self._line = stage, line

    def start(self, runs: list[Run]) -> None:
        scripted = [run for run in runs if run.job.worker in self._of(run)]
        self._scripted.start(scripted)
        self._real.start([run for run in runs if run not in scripted])

    def _of(self, run: Run) -> Collection[str]:
        """The scripted ones among which it may be: workers, or functions of the leader's."""
        return self._names if run.then is None else self._tasks

    def tell(self, run: Run) -> None:
        self._scripted.tell(run)
        self._real.tell(run)

    def collect(self) -> list[Finished]:
        return [*self._scripted.collect(), *self._real.collect()]

    @property
    def pending(self) -> bool:
        return self._scripted.pending or self._real.pending

    def next_due(self) -> datetime | None:
        moments = (self._scripted.next_due(), self._real.next_due())
        return min((due for due in moments if due is not None), default=None)

    def turn(self, now: datetime) -> bool:
        ended = self._scripted.turn(now)
        with self._stage.on(self._line):
            return self._real.turn(now) or ended

    @property
    def wants_loop(self) -> bool:
        return self._real.wants_loop

    async def turn_async(self) -> None:
        with self._stage.on(self._line):
            await self._real.turn_async()

    def turn_here(self) -> None:
        """Let async workers go on, on this node's own loop."""
        self._loops.run(self.turn_async(), "replay")

    def close(self) -> None:
        """Cancel what still runs, and close the loop."""
        self._loops.close()
