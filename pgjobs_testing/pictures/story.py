"""What each job went through, told from the moments of a trace: its waits and runs without a gap.

Instants are microseconds after the trace's start. A trace may begin in the middle of a job's life, as
that of one ``advance`` does: what the job was doing before its first moment is then told from there on
from the first instant of the trace.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pgjobs.rules.job import Job, JobState
from pgjobs.rules.unique import fingerprint_of
from pgjobs_testing.pictures.kinds import RUN_AS, WAITING_AS
from pgjobs_testing.trace import Moment, Trace

_MICROSECOND = timedelta(microseconds=1)
_JOB = "pgjobs.job."
_BORN = ("insert", "conflict", "replace")
_MARKED = ("insert", "conflict", "replace", "cancel", "retry", "delete", "rescue", "late")
_BEFORE = {"stage": "scheduled", "start": "available", "retry": "available"}


@dataclass(frozen=True, slots=True)
class Span:
    """A wait, or a run: then ``node`` and ``attempt`` say which. ``open``: it had no end yet."""

    kind: str
    begin: int
    end: int
    node: str = ""
    attempt: int = 0
    note: str = ""
    open: bool = False


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened to a job, a node or a queue at an instant."""

    at: int
    kind: str
    note: str = ""
    node: str = ""


@dataclass(frozen=True, slots=True)
class Story:
    """One job. ``queue`` is the one that it was in at last."""

    ordinal: int
    worker: str
    queue: str
    spans: tuple[Span, ...]
    marks: tuple[Mark, ...]


@dataclass(slots=True)
class _Telling:
    """A story so far; ``kind`` is what the job does since ``since``, empty when nothing more."""

    worker: str = ""
    queue: str = ""
    group: str | None = None
    kind: str = ""
    since: int = 0
    node: str = ""
    attempt: int = 0
    spans: list[Span] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)


def micros(at: datetime, start: datetime) -> int:
    """An instant as microseconds after the start."""
    return (at - start) // _MICROSECOND


def stories(trace: Trace) -> tuple[Story, ...]:
    """The story of every job that the trace names, by its number."""
    told: dict[int, _Telling] = {}
    moments = trace.moments
    begin = micros(moments[0].at, trace.start) if moments else 0
    end = max((micros(moment.at, trace.start) for moment in moments), default=0)
    for moment in moments:
        at = micros(moment.at, trace.start)
        if moment.ordinal and moment.name.startswith(_JOB):
            telling = told.setdefault(moment.ordinal, _Telling(since=begin))
            _tell(telling, moment, at)
            if moment.name == "pgjobs.job.stop" and moment.event == JobState.CANCELLED:
                _cancel(told.values(), telling, at)
        elif moment.name == "simulation.crash":
            _lose(told.values(), moment.node, at)
    return tuple(_told(ordinal, told[ordinal], end) for ordinal in sorted(told))


def _tell(telling: _Telling, moment: Moment, at: int) -> None:
    event, job = moment.name.removeprefix(_JOB), moment.job
    if event == "stage":
        telling.queue = telling.queue or moment.detail.removeprefix("in ")
    elif job is not None:
        telling.worker, telling.queue = job.worker, job.queue
        telling.group = fingerprint_of(job)
    if event in _MARKED:
        telling.marks.append(Mark(at, event, moment.detail, moment.node))
    run = (telling.kind, telling.node, telling.attempt)
    if event == "late" and job is not None and run == ("executing", moment.node, job.attempt):
        _turn(telling, at, "", ended="lost", note=moment.detail)  # who took it said nothing
    if event == "late" or (event == "conflict" and (telling.kind or telling.spans)):
        return
    if event == "release" and (telling.kind or telling.spans) and telling.kind != "executing":
        telling.marks.append(Mark(at, event, moment.detail, moment.node))  # no run of it began
        return
    if not (telling.kind or telling.spans or event in _BORN):
        telling.kind = _BEFORE.get(event, "executing")
        telling.node = moment.node if telling.kind == "executing" else ""
        telling.attempt = _attempt(event, job) if job is not None and telling.node else 0
    if event == "start" and job is not None:
        _turn(telling, at, "executing", moment.node, job.attempt)
    elif event == "stage":
        _turn(telling, at, "available")
    elif event == "delete":
        _turn(telling, at, "")
    elif job is not None:
        _settle(telling, job, moment, at, rescued=event == "rescue")


def _attempt(event: str, job: Job) -> int:
    """The attempt of a run that ended by ``event``, after which ``job`` is as it is given."""
    uncounted = event == "release" or (event == "stop" and job.state == JobState.SCHEDULED)
    return job.attempt + uncounted


def _settle(telling: _Telling, job: Job, moment: Moment, at: int, *, rescued: bool) -> None:
    """The job now stands in the state of its row."""
    if telling.kind == "executing" and job.state == JobState.EXECUTING:
        return
    if telling.kind == "executing":
        ended = "lost" if rescued else RUN_AS[job.state]
        _turn(telling, at, WAITING_AS.get(job.state, ""), ended=ended, note=moment.detail)
    elif job.state == JobState.EXECUTING:
        _turn(telling, at, "executing", job.attempted_by[0] if job.attempted_by else moment.node)
    else:
        _turn(telling, at, WAITING_AS.get(job.state, ""))


def _turn(
    telling: _Telling,
    at: int,
    kind: str,
    node: str = "",
    attempt: int = 0,
    *,
    ended: str = "",
    note: str = "",
) -> None:
    """What the job did until now is over; from now on it is ``kind``."""
    if telling.kind and (at > telling.since or telling.node):
        before = ended or telling.kind
        telling.spans.append(Span(before, telling.since, at, telling.node, telling.attempt, note))
    telling.kind, telling.since, telling.node, telling.attempt = kind, at, node, attempt


def _cancel(told: Iterable[_Telling], one: _Telling, at: int) -> None:
    """A run that cancelled its job cancelled the unfinished ones of its group; of them nothing is told."""
    for telling in told:
        if one.group is not None and telling.group == one.group and telling.kind:
            _turn(telling, at, "", ended="cancelled" if telling.node else "")


def _lose(told: Iterable[_Telling], node: str, at: int) -> None:
    """What ran on a node that is gone goes on executing for the store alone."""
    for telling in told:
        if telling.kind == "executing" and telling.node == node:
            attempt = telling.attempt
            _turn(telling, at, "lost", node, attempt, ended="executing", note="the node is gone")


def _told(ordinal: int, telling: _Telling, end: int) -> Story:
    if telling.kind:
        last = Span(telling.kind, telling.since, end, telling.node, telling.attempt, "", open=True)
        telling.spans.append(last)
    return Story(ordinal, telling.worker, telling.queue, tuple(telling.spans), tuple(telling.marks))
