"""From a trace to what a scenario is written from: who inserted what, how each run went, what was done.

What a run inserted at its end is the run's; what it did otherwise can only be told as a step.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from pgjobs.engine.drain import DrainPlan
from pgjobs.rules.control import EVERY_QUEUE
from pgjobs.rules.job import JobState
from pgjobs.rules.options import Queue
from pgjobs_testing.scenarios.moments import (
    ON_A_NODE,
    delay_told,
    drain_options,
    end_of_run,
    failure,
    fault_step,
    first_line,
    late_error,
)
from pgjobs_testing.scenarios.told import Asked, Happened, Ran, Step, Told
from pgjobs_testing.trace import CLIENT, Call, Moment, Setting, Trace

INSERTED = ("insert", "conflict", "replace")
BY_HAND = ("cancel", "retry", "delete")
TOLD_TO_STOP = "CancelledError"
TIMED_OUT = "JobTimeoutError"
ENDS = ("completed", "retryable", "scheduled", "cancelled", "discarded")

_ON_ALL: dict[str, tuple[str, object]] = {
    "drop": ("drop_notifications", True),
    "deliver": ("drop_notifications", False),
    "down": ("database", "down"),
    "up": ("database", "up"),
    "double": ("double_notifications", True),
    "single": ("double_notifications", False),
}


def happened(trace: Trace, setting: Setting, name: str) -> Happened:
    """What a whole trace tells."""
    return _Teller(trace, setting, name).all()


class _Teller:
    def __init__(self, trace: Trace, setting: Setting, name: str) -> None:
        self._trace, self._setting = trace, setting
        last = trace.moments[-1].at if trace.moments else trace.start
        self._told = Happened(
            name,
            trace.start,
            max(setting.now, last),
            setting.nodes,
            setting.queues,
            setting.plugins,
            setting.seed,
            setting.jitter,
            setting.worker,
            setting.served_by,
        )
        self._told.moments = trace.moments
        self._open: dict[int, Ran] = {}
        self._ended_late: dict[int, Ran] = {}
        self._in_runs: list[tuple[Step, Ran]] = []
        self._drained = 0
        self._plan: tuple[DrainPlan, str] | None = None
        self._quiet_since = 0
        self._let = not setting.held
        self._last_run: Ran | None = None

    def all(self) -> Happened:
        told, calls = self._told, list(self._trace.calls)
        if self._setting.held:
            told.steps.append(Step(told.start, "hold", True))
        for index, moment in enumerate(self._trace.moments):
            while calls and calls[0].index <= index:
                self._call(calls.pop(0))
            self._moment(moment)
        for call in calls:
            self._call(call)
        self._give_to_runs()
        self._say_who_recurs()
        return told

    # What the test did to time

    def _call(self, call: Call) -> None:
        steps = self._told.steps
        if call.what == "hold":
            self._let = False
        if call.what == "drain":
            plan, node = call.given
            self._plan, self._drained, self._quiet_since = (plan, node), 0, call.index
            steps.append(Step(call.at, "drain", {}))
        elif call.what == "drained":
            self._end_drain(call)
        elif call.what == "let":
            self._let = True
            self._quiet_since = call.index
            steps.append(Step(call.at, "hold", False))
        elif steps and steps[-1].key == "hold" and not steps[-1].value and self._idle(call):
            steps.pop()  # nothing happened meanwhile
        elif steps and steps[-1] == Step(call.at, "hold", False):
            steps[-1].value = True
        else:
            steps.append(Step(call.at, "hold", True))

    def _idle(self, call: Call) -> bool:
        return self._quiet_since == call.index and not self._told.plugins

    def _end_drain(self, call: Call) -> None:
        if self._plan is None:
            return
        (plan, node), self._plan = self._plan, None
        step = next(each for each in reversed(self._told.steps) if each.key == "drain")
        if self._quiet_since == call.index:
            self._told.steps.remove(step)
            return
        step.value = drain_options(plan, step.at)
        failed = self._last_run is not None and self._last_run.outcome[:1] in (
            ("raise",),
            ("error",),
        )
        if plan.limit is not None or (failed and not plan.safety):
            step.value["limit"] = self._drained  # what a worker raised ended the drain
        if node != self._setting.nodes[0]:
            step.value["node"] = node

    # What happened

    def _moment(self, moment: Moment) -> None:
        event, known = moment.event, moment.ordinal
        if event in INSERTED and moment.job is not None:
            self._inserted(moment)
        elif event == "start" and moment.job is not None:
            self._started(moment)
        elif event in ENDS and moment.job is not None:
            self._ended(moment)
        elif event == "late":
            self._late(moment)
        elif event == "release":
            self._given_back(moment)
        elif event == "stage" and known in self._told.jobs:
            self._staged(known)
        elif moment.node == CLIENT:
            self._by_hand(moment)
        elif event in ON_A_NODE and not known:
            self._gone_at_a_settle(moment)
            step = fault_step(moment)
            self._told.steps += [] if step is None else [step]
        elif event == "rescue":
            self._open.pop(known, None)
            self._known(moment).last = moment.job

    def _inserted(self, moment: Moment) -> None:
        job = moment.job
        assert job is not None
        told = self._told.jobs.setdefault(moment.ordinal, Told(moment.ordinal, job.worker))
        told.last = job
        if moment.new is None:
            told.recurs = True
            return
        asked = Asked(moment.new, moment.ordinal, moment.event, moment.at)
        step = Step(moment.at, "insert", asked=asked)
        self._told.steps.append(step)
        run = self._open.get(moment.by)
        if run is not None:
            self._in_runs.append((step, run))
        elif moment.by:
            self._say(f"#{moment.by} inserted #{moment.ordinal} beside its run: told as a step")

    def _known(self, moment: Moment) -> Told:
        """What is known of a job; one whose insert nobody lived to tell of is of a crontab."""
        worker = "" if moment.job is None else moment.job.worker
        unheard = moment.event in ("start", "release", "rescue")
        return self._told.jobs.setdefault(
            moment.ordinal, Told(moment.ordinal, worker, recurs=unheard)
        )

    def _started(self, moment: Moment) -> None:
        job = moment.job
        assert job is not None
        run = Ran(moment.at, job.attempt, moment.node)
        self._open[moment.ordinal] = run
        self._ended_late.pop(moment.ordinal, None)
        told = self._known(moment)
        told.runs.append(run)
        told.last = job
        if not self._let:  # a run that a drained one's insert began is not the drain's
            self._drained, self._last_run = self._drained + 1, run

    def _ended(self, moment: Moment) -> None:
        job = moment.job
        assert job is not None
        told = self._known(moment)
        told.last = job
        run = self._open.pop(moment.ordinal, None)
        if run is None:
            return
        run.ended = end_of_run(run, moment)
        error = job.last_error or ""
        run.told = error.startswith(TIMED_OUT)
        if job.state == JobState.RETRYABLE:
            run.delay = job.scheduled_at - run.ended
            run.outcome = failure(error)
        elif job.state == JobState.SCHEDULED:
            run.outcome = ("snooze", job.scheduled_at - run.ended)
        elif job.state == JobState.DISCARDED:
            last = job.attempt >= job.max_attempts
            run.outcome = failure(error) if last else ("discard", first_line(error))
        elif job.state == JobState.CANCELLED:
            run.outcome = ("cancel", first_line(error))

    def _given_back(self, moment: Moment) -> None:
        """A run was told to stop: it did, or its end was told as late just before. A late claim had none."""
        self._known(moment).last = moment.job
        run = self._open.pop(moment.ordinal, None)
        if run is not None:
            run.told = True
            return
        late = self._ended_late.pop(moment.ordinal, None)
        if late is not None and late.node == moment.node:
            late.told = late.ignores = True

    def _late(self, moment: Moment) -> None:
        job = moment.job
        runs = self._known(moment).runs
        for run in reversed(runs):
            if job is None or (run.attempt, run.node) != (job.attempt, moment.node):
                continue  # what was given back runs elsewhere as the same attempt
            if run.ended is None or run.told:
                error = late_error(moment.detail)
                if not error.startswith(TOLD_TO_STOP):
                    run.limit = None if run.ended is None else run.ended - run.started
                    run.ended, run.ignores = end_of_run(run, moment), run.told
                    run.outcome = ("error", error) if error else ()
                    self._ended_late[moment.ordinal] = run
                if self._open.get(moment.ordinal) is run:
                    del self._open[moment.ordinal]
                break

    def _gone_at_a_settle(self, moment: Moment) -> None:
        """A process that was gone around a settle had a run that ended; which, is known where it had one."""
        if moment.event != "crash" or not moment.detail.endswith(" settle"):
            return
        runs = [each for each in self._open.items() if each[1].node == moment.node]
        if len(runs) == 1:
            ((ordinal, run),) = runs
            run.ended = moment.at
            if moment.detail.startswith("after"):
                self._say(f"how #{ordinal} ended, which its node did not live to tell: told as ok")

    def _staged(self, ordinal: int) -> None:
        told = self._told.jobs[ordinal]
        if told.last is not None:
            told.last = replace(told.last, state=JobState.AVAILABLE)

    def _by_hand(self, moment: Moment) -> None:
        event, steps = moment.event, self._told.steps
        if event in _ON_ALL:
            key, value = _ON_ALL[event]
            steps.append(Step(moment.at, key, value))
        elif event == "delay":
            steps.append(Step(moment.at, "delay_notifications", delay_told(moment.detail)))
        elif event == "missing":
            self._say(f"a client was told that {moment.detail} is gone, which is left out")
        elif event in BY_HAND:
            told = self._known(moment)
            told.last = None if event == "delete" else moment.job
            steps.append(Step(moment.at, event, job=moment.ordinal))
            if event != "retry" and (run := self._open.pop(moment.ordinal, None)) is not None:
                run.told = True
        elif event == "rollback" and moment.ordinal in self._told.jobs:
            self._told.jobs[moment.ordinal].last = None
            self._say(f"the insert of #{moment.ordinal} was rolled back: told as a delete")
            steps.append(Step(moment.at, "delete", job=moment.ordinal))
        elif event in ("pause", "resume"):
            everywhere = moment.detail == EVERY_QUEUE
            key, value = (f"{event}_all", True) if everywhere else (event, moment.detail)
            steps.append(Step(moment.at, key, value))
        elif event == "scale":
            queue, _, concurrency = moment.detail.rpartition(" to ")
            steps.append(
                Step(moment.at, "scale", {"queue": queue, "concurrency": int(concurrency)})
            )
        elif event == "reset":
            steps.append(Step(moment.at, "reset", moment.detail))
        if moment.by:
            self._say(f"#{moment.by} did a {event} in its run, which is told as a step")

    # At last

    def _give_to_runs(self) -> None:
        """What a run inserted at its very end is a part of the run."""
        given: set[int] = set()
        for step, run in self._in_runs:
            assert step.asked is not None
            if run.ended == step.at:
                run.inserts.append(step.asked)
                given.add(id(step))
            else:
                self._say(f"#{step.asked.ordinal} was inserted amid a run, which is told as a step")
        self._told.steps[:] = [each for each in self._told.steps if id(each) not in given]

    def _say_who_recurs(self) -> None:
        if not any(call.what == "let" for call in self._trace.calls) and self._setting.held:
            self._told.plugins = ()  # they act only where time passes
        if self._setting.others:
            return
        named = {asked.new.queue for asked in self._all_asked()} - set(self._told.queues)
        self._told.queues = {
            **self._told.queues,
            **dict.fromkeys(sorted(named), Queue(paused=True)),
        }
        for queue in sorted(named):
            self._told.remarks.append(f"no node serves {queue}, which is told as a pause of it")
        self._told.steps[:] = _paused_again(self._told.steps, sorted(named))

    def _all_asked(self) -> list[Asked]:
        asked = [step.asked for step in self._told.steps if step.asked is not None]
        for told in self._told.jobs.values():
            asked += [each for run in told.runs for each in run.inserts]
        return asked

    def _say(self, note: str) -> None:
        if note not in self._told.notes:
            self._told.notes.append(note)


def _paused_again(steps: Iterable[Step], unserved: Sequence[str]) -> Iterator[Step]:
    """The steps; a queue that no node serves, told as a pause, is paused again where a step resumes it."""
    for step in steps:
        yield step
        for queue in unserved:
            if step.key == "resume_all" or (step.key, step.value) == ("resume", queue):
                yield Step(step.at, "pause", queue)
