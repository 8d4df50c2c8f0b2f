"""Writes what happened as a scenario file, plays it, and says in its first lines what could not be told.

Nothing is silently wrong: the text is read by the reader and played on a store in memory, and where a
job's story is another than the one that happened, the file begins with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from pgjobs.adapters.memory import MemoryStore
from pgjobs.plugins import Cron, LeaderTasks, Plugin, Pruner, Stalled
from pgjobs.rules.errors import PgJobsError
from pgjobs.rules.job import FINAL, Job, JobState
from pgjobs.rules.options import NAME_LIMIT, Queue
from pgjobs_testing.scenarios.calls import SCRIPTED, lines_of
from pgjobs_testing.scenarios.casting import Cast, Part
from pgjobs_testing.scenarios.flowing import Raw, comment, flow, text
from pgjobs_testing.scenarios.mistakes import InvalidScenarioError
from pgjobs_testing.scenarios.moments import first_line
from pgjobs_testing.scenarios.options import WORKERS
from pgjobs_testing.scenarios.read import read_text
from pgjobs_testing.scenarios.replay import Replay, replay
from pgjobs_testing.scenarios.story import differences, story
from pgjobs_testing.scenarios.telling import happened
from pgjobs_testing.scenarios.times import START
from pgjobs_testing.scenarios.told import Asked, Happened, Ran, Step, Told
from pgjobs_testing.trace import Trace, elapsed

CHECKED = 20_000
"""Moments of a trace beyond which its scenario is not played to see whether it tells the same."""

FILE = "<scenario>"

Compare = Callable[[Replay, MemoryStore], list[str]]
"""Tells of a replay, and the store that it left, what is otherwise than it was."""


class ScenarioWritingError(PgJobsError, ValueError):
    """What happened cannot be written as a scenario."""


def scenario_text(trace: Trace, name: str) -> str:
    """The scenario of a whole trace."""
    if trace.setting is None:
        raise ScenarioWritingError(
            "this trace is a part, or of nothing that can be played again: take jobs.timeline, "
            "which has everything that happened in the test"
        )
    told = happened(trace, trace.setting, name)
    if len(trace) > CHECKED:
        told.notes.append("too long to be played on the spot: it may replay otherwise")
        return written(told, None)
    return written(told, lambda played, _: differences(story(trace), story(played.trace)))


def written(told: Happened, compare: Compare | None) -> str:
    """The file. It is played, and begins with what ``compare`` finds in its replay."""
    writer = _Writer(told)
    text = writer.text()
    scenario, source = _read(text)
    if compare is None:
        return text
    store = MemoryStore()
    played = replay(scenario, source, store)
    told.notes += compare(played, store)
    if played.endless:
        told.notes.append(played.failures[-1].what)
    lines = text.splitlines()
    writer.leave_out({lines[each.place.line - 1] for each in played.failures})
    return writer.text()


def _read(text: str) -> Any:
    try:
        return read_text(text, FILE)
    except InvalidScenarioError as error:
        raise ScenarioWritingError(f"the format cannot hold what happened: {error}") from None


class _Writer:
    def __init__(self, told: Happened) -> None:
        self._told = told
        self._cast = Cast(told)
        self._again = 0
        self._names: set[int] = set()
        self._shared = {part.name: self._of_all(part) for part in self._cast.parts}
        self._body = [*self._head(), *self._workers(), *self._steps()]
        self._expected = list(self._expects())

    def text(self) -> str:
        """The whole file."""
        told = self._told
        notes = [comment(f"Not told exactly: {note}") for note in told.notes]
        notes += [comment(remark) for remark in told.remarks]
        expect = ["expect:", *self._expected] if self._expected else []
        return "\n".join([*notes, *self._body, *expect]) + "\n"

    def leave_out(self, lines: set[str]) -> None:
        """Without these expectations."""
        self._expected = [line for line in self._expected if line not in lines]

    # Its parts

    def _head(self) -> Iterator[str]:
        told = self._told
        yield f"name: {text(told.name[:NAME_LIMIT] or 'what happened')}"
        if told.start != START:
            yield f"start: {flow(told.start.astimezone(UTC))}"
        if told.seed:
            yield f"seed: {told.seed}"
        if told.jitter:
            yield "jitter: true"
        if told.nodes != ("a",):
            yield f"nodes: {flow(list(told.nodes))}"
        queues = dict(told.queues) | dict.fromkeys(self._heard_of(), Queue(concurrency=10))
        if queues:
            yield "queues:"
            for name, queue in queues.items():
                served = {"nodes": list(told.served_by[name])} if name in told.served_by else {}
                yield f"  {text(name)}: {flow({**served, **queue_as_data(queue)})}"
        plugins = dict(self._plugin(each) for each in told.plugins)
        plugins.pop("", None)
        if plugins:
            yield "plugins:"
            for name, options in plugins.items():
                yield f"  {name}: {flow(options)}"

    def _heard_of(self) -> Iterator[str]:
        """Queues that only a step names, which must be declared."""
        known = {*self._told.queues, *(asked.new.queue for asked in self._all_asked())}
        for step in self._told.steps:
            value = step.value
            name = value.get("queue") if isinstance(value, dict) else value
            by_name = step.key in ("pause", "resume", "reset", "scale", "drain")
            if by_name and isinstance(name, str) and name not in known:
                yield name
            if step.key == "restart" and isinstance(value, dict):
                yield from (each for each in value.get("queues", ()) if each not in known)

    def _plugin(self, plugin: Plugin) -> tuple[str, Any]:
        if isinstance(plugin, Stalled):
            return "stalled", {
                "interval": _span(plugin.interval),
                "rescue_after": _span(plugin.rescue_after),
            }
        if isinstance(plugin, Pruner):
            return "pruner", {
                "max_age": _span(plugin.max_age),
                "limit": plugin.limit,
                "interval": _span(plugin.interval),
            }
        if isinstance(plugin, Cron) and plugin.entries:
            first = plugin.entries[0]
            catch_up = {} if first.catch_up is None else {"catch_up": first.catch_up}
            lines = [[str(each.crontab), self._ticks(each.what)] for each in plugin.entries]
            return "cron", {"timezone": str(first.zone), **catch_up, "crontab": lines}
        if isinstance(plugin, LeaderTasks) and plugin.entries:
            entries = plugin.entries
            if any(getattr(each.what, "__module__", "") != SCRIPTED for each in entries):
                self._told.notes.append("functions of LeaderTasks are scripted, under other names")
            zone, lines = str(entries[0].zone), lines_of(plugin, self._told.moments)
            return "leader_tasks", {"timezone": zone, "crontab": lines}
        self._told.notes.append(f"{type(plugin).__name__} without entries is left out")
        return "", None

    def _ticks(self, new: Any) -> Any:
        recurring = (t.ordinal for t in self._told.jobs.values() if t.recurs)
        part = next(
            (self._cast.of[n] for n in recurring if self._cast.of[n].worker == new.worker), None
        )
        if part is None:
            part = self._cast.plays(Asked(new, 0, "insert", self._told.start))
            part.name = part.name or part.worker
            self._shared.setdefault(part.name, {})
        return {"worker": part.name, **self._cast.options(new)}

    def _workers(self) -> Iterator[str]:
        parts = self._cast.parts
        if parts:
            yield "workers:"
        for part in parts:
            yield from self._worker(part)

    def _worker(self, part: Part) -> Iterator[str]:
        options = dict(self._shared[part.name])
        if part.timeout is not None:
            options["timeout"] = part.timeout
        backoff = self._cast.backoff(part)
        if backoff is not None:
            options["backoff"] = backoff
        runs = [self._entry(run, part) for run in part.runs]
        while len(runs) > 1 and runs[-1] == runs[-2]:  # the last repeats
            runs.pop()
        if runs in ([], [Raw("ok")]):
            yield f"  {text(part.name)}: {flow(options)}"
            return
        yield f"  {text(part.name)}:"
        yield from (f"    {name}: {flow(value)}" for name, value in options.items())
        yield "    runs:"
        yield from (f"      - {flow(run)}" for run in runs)

    def _entry(self, run: Ran, part: Part) -> Any:
        if run.ended is None:
            return {"hang": True}
        took = run.ended - run.started
        if run.ignores:
            return {"for": took, "ignores": True, **dict([run.outcome] if run.outcome else [])}
        if part.timeout is not None and took == part.timeout and run.outcome[:1] == ("error",):
            return {"hang": True}
        entry: dict[str, Any] = {"for": took} if took else {}
        if run.outcome:
            entry[run.outcome[0]] = run.outcome[1]
        inserts = [self._insert(asked) for asked in run.inserts]
        if inserts:
            entry |= {"insert": inserts[0]} if len(inserts) == 1 else {"insert_all": inserts}
        return entry or Raw("ok")

    def _steps(self) -> Iterator[str]:
        yield "steps:" if self._told.steps else "steps: [{at: 0s, hold: false}]"
        for step in self._told.steps:
            at = elapsed(step.at - self._told.start)
            yield f"  - {{at: {at}, {step.key}: {flow(self._value(step))}}}"
        yield f"until: {elapsed(self._told.until - self._told.start)}"

    def _value(self, step: Step) -> Any:
        if step.asked is not None:
            return self._insert(step.asked)
        return f"job{step.job}" if step.job else step.value

    def _insert(self, asked: Asked) -> dict[str, Any]:
        part, options = self._cast.plays(asked), self._cast.options(asked.new)
        shared = self._shared[part.name]
        mine = {key: value for key, value in options.items() if shared.get(key) != value}
        if asked.came_of == "insert":
            self._names.add(asked.ordinal)
            return {"as": f"job{asked.ordinal}", "worker": part.name, **self._instants(mine)}
        self._again += 1
        return {"as": f"again{self._again}", "worker": part.name, **self._instants(mine)}

    def _instants(self, options: dict[str, Any]) -> dict[str, Any]:
        at = options.get("scheduled_at")
        if isinstance(at, datetime) and at >= self._told.start:
            return {**options, "scheduled_at": at - self._told.start}
        return options

    def _of_all(self, part: Part) -> dict[str, Any]:
        """The options that every insert of this worker gives alike."""
        asked = [each for each in self._all_asked() if self._cast.plays(each) is part]
        given = [self._cast.options(each.new) for each in asked]
        if not given:
            return {}
        return {
            name: given[0][name]
            for name in WORKERS
            if name in given[0] and all(each.get(name) == given[0][name] for each in given)
        }

    def _all_asked(self) -> Iterator[Asked]:
        for step in self._told.steps:
            if step.asked is not None:
                yield step.asked
        for told in self._told.jobs.values():
            for run in told.runs:
                yield from run.inserts

    def _expects(self) -> Iterator[str]:
        for ordinal, told in sorted(self._told.jobs.items()):
            if ordinal in self._names and told.last is not None:
                yield f"  - {flow(self._at_end(told, told.last))}"

    def _at_end(self, told: Told, job: Job) -> dict[str, Any]:
        found: dict[str, Any] = {
            "at": "end",
            "job": f"job{told.ordinal}",
            "state": str(job.state),
            "attempt": job.attempt,
        }
        if job.state in FINAL:
            stamp: datetime | None = getattr(job, f"{job.state}_at")
            if stamp is not None:
                found[f"{job.state}_at"] = stamp - self._told.start
        if job.state in (JobState.SCHEDULED, JobState.RETRYABLE):
            found["scheduled_at"] = _after(job.scheduled_at, self._told.start)
        if job.errors:
            found["error"] = first_line(job.last_error or "")
        return found


def _after(at: datetime, start: datetime) -> timedelta | datetime:
    return at - start if at >= start else at


def queue_as_data(queue: Queue) -> Mapping[str, Any]:
    """A queue's options, as a file has them."""
    made: dict[str, Any] = {"concurrency": queue.concurrency}
    if queue.paused:
        made["paused"] = True
    if queue.global_concurrency is not None:
        made["global_concurrency"] = queue.global_concurrency
    if queue.rate_limit is not None:
        rate = queue.rate_limit
        made["rate_limit"] = {"allowed": rate.allowed, "period": rate.period}
    return made


def _span(value: float | timedelta) -> timedelta:
    return value if isinstance(value, timedelta) else timedelta(seconds=value)
