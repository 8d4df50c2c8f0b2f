"""What a failing test's report shows of its jobs: what happened in virtual time, how to have it again,
and a scenario that replays it.

It is made for failing tests alone, and never hides why one failed: what cannot be shown says so in a line.
"""

from __future__ import annotations

import json
import re
import shlex
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from hashlib import blake2b
from pathlib import Path

import pytest

from pgjobs.rules.job import Job, JobState
from pgjobs.rules.options import Queue
from pgjobs.rules.wording import listed
from pgjobs_testing.capture import Capture
from pgjobs_testing.engine import Engine
from pgjobs_testing.folding import shown
from pgjobs_testing.timeline import Timeline
from pgjobs_testing.trace import Trace, elapsed
from pgjobs_testing.unserved import by_queue, not_served

TITLE = "pgjobs timeline"
JOBS = 30
SCENARIO_LINES = 80
"""Lines of a scenario beyond which it is in a file alone."""
WIDTH = 60
"""Characters of args, and of an error."""


def sections(capture: Capture, block: Capture | None, item: pytest.Item) -> list[tuple[str, str]]:
    """Title and text of each section, one for each engine to whose jobs something happened.

    ``block`` is the ``harness()`` that ended last in the test: under ``@given`` that of the failing example.
    """
    trace: Trace | None = getattr(item, "trace", None)
    if trace is not None:
        return [(TITLE, _guarded(lambda: _of_scenario(trace, item)))]
    own = _of_engines(capture, TITLE, item)
    if block is None:
        return own
    return own + _of_engines(block, f"{TITLE} of harness()" if own else TITLE, item)


def _of_engines(capture: Capture, title: str, item: pytest.Item) -> list[tuple[str, str]]:
    used = [(name, each) for name, each in capture.named_engines() if len(each.recorder)]
    told = []
    for name, engine in used:
        whose = title if len(used) == 1 else f"{title} of {name or 'the harness'}"
        text = _guarded(partial(_of_test, engine, whose, capture, item))
        told.append((whose, text))
    return told


def _guarded(made: Callable[[], str]) -> str:
    try:
        return made()
    except Exception as error:
        return f"not shown: {type(error).__name__}: {error}"


def _of_test(engine: Engine, title: str, capture: Capture, item: pytest.Item) -> str:
    trace = engine.recorder.trace()
    now = elapsed(capture.clock.now() - trace.start)
    lines = [
        f"mode {capture.mode}; 0s is {trace.start.isoformat()}, and the clock stands at {now}",
        *shown(trace),
        "",
        *_jobs(trace, engine.recorder.strays),
        *_not_served(trace, engine.served()),
        f"again: pytest {shlex.quote(item.nodeid)} {capture.repeated_by}",
    ]
    return "\n".join([*lines, "", _guarded(lambda: _scenario(trace, title, item))])


def _of_scenario(trace: Trace, item: pytest.Item) -> str:
    again = f"again: pgjobs-testing replay {shlex.quote(item.nodeid.split('::', 1)[0])}"
    return "\n".join(
        [f"0s is {trace.start.isoformat()}", *shown(trace), "", *_jobs(trace, {}), again]
    )


def _last(trace: Trace) -> dict[int, Job]:
    """Each job as it stood at last, as far as the moments tell."""
    last: dict[int, Job] = {}
    for moment in trace.moments:
        if moment.ordinal and moment.job is not None:
            last[moment.ordinal] = moment.job
            if moment.event == "delete":
                del last[moment.ordinal]
    return last


def _not_served(trace: Trace, served: Mapping[str, Queue] | None) -> Iterator[str]:
    """Of jobs that no node would run, though a drain does."""
    last = _last(trace)
    ordinals = {job.id: ordinal for ordinal, job in last.items()}
    for queue, jobs in by_queue(last.values(), served or None).items():
        which = listed([f"#{ordinals[job.id]}" for job in jobs])
        yield f"note: only a drain runs {which}: {not_served(queue, served or ())}"


def _jobs(trace: Trace, strays: Mapping[int, str]) -> Iterator[str]:
    """How each job stood at last."""
    last = _last(trace)
    if not last:
        return
    yield "jobs as they stood then:"
    wide = max(len(job.worker) for job in list(last.values())[-JOBS:])
    if len(last) > JOBS:
        yield f"  ... {len(last) - JOBS} earlier ones are left out ..."
    for ordinal, job in list(last.items())[-JOBS:]:
        number, attempts = f"#{ordinal}", f"{job.attempt} of {job.max_attempts}"
        yield (
            f"  {number:<5} {job.worker:<{wide}}  {job.state:<9}  attempt {attempts:<7}"
            f"{_due(job, trace)}  {_short(json.dumps(job.args, ensure_ascii=False))}{_why(job)}"
        )
        if job.id in strays:
            yield f"        {strays[job.id]}"


def _due(job: Job, trace: Trace) -> str:
    waits = job.state in (JobState.SCHEDULED, JobState.RETRYABLE)
    return f"  due {elapsed(job.scheduled_at - trace.start)}" if waits else ""


def _why(job: Job) -> str:
    error = job.last_error
    return "" if not error else f"  {_short(error.split(chr(10), 1)[0])!r}"


def _short(text: str) -> str:
    return text if len(text) <= WIDTH else text[: WIDTH - 3] + "..."


def _scenario(trace: Trace, title: str, item: pytest.Item) -> str:
    """The scenario, or where it is."""
    text = Timeline.showing(trace).to_scenario(item.name)
    lines = text.rstrip("\n").split("\n")
    if len(lines) <= SCENARIO_LINES:
        return (
            f"scenario, to paste into a file such as it.scenario.yaml, which replays it:\n\n{text}"
        )
    path = _directory(item) / _file_name(item.nodeid, title)
    path.write_text(text, encoding="utf-8")
    beginning = "\n".join(lines[:SCENARIO_LINES])
    left_out = len(lines) - SCENARIO_LINES
    return (
        f"scenario, which replays it: {path}\n"
        f"(its first lines; {left_out} more are in the file)\n\n{beginning}\n"
    )


def _directory(item: pytest.Item) -> Path:
    """pytest's cache directory; where it has none, a new temporary one."""
    cache = getattr(item.config, "cache", None)
    if cache is None:
        return Path(tempfile.mkdtemp(prefix="pgjobs-scenarios-"))
    return Path(cache.mkdir("pgjobs-scenarios"))


def _file_name(nodeid: str, title: str) -> str:
    """A name of its own for each test and section."""
    whole = f"{nodeid} {title}"
    slug = re.sub(r"[^A-Za-z0-9]+", "-", nodeid.rpartition("/")[2]).strip("-")[:60]
    return f"{slug}-{blake2b(whole.encode(), digest_size=4).hexdigest()}.scenario.yaml"
