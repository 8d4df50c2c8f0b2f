"""What happened in a test becomes a scenario that tells the same story, job by job."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from pgjobs import (
    Cancel,
    Discard,
    LeaderTasks,
    LivelockError,
    Queue,
    RateLimit,
    Retry,
    Snooze,
    Unique,
    backoff,
    worker,
)
from pgjobs.adapters.memory import MemoryStore
from pgjobs_testing import harness
from pgjobs_testing.scenarios.read import read, read_text
from pgjobs_testing.scenarios.replay import replay
from pgjobs_testing.scenarios.story import differences, story
from pgjobs_testing.timeline import Timeline

pytestmark = pytest.mark.usefixtures("no_application")

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "scenarios").rglob("*.yaml"))
START = datetime(2025, 3, 1, 12, 0, 0, 250_000, tzinfo=UTC)
EXACT = "# Not told exactly"


class Done:
    """The harness that the workers of a test insert into."""

    jobs: Any = None


def played(text):
    """The replay of a scenario that was written; it must hold."""
    scenario, source = read_text(text)
    result = replay(scenario, source, MemoryStore())
    assert [] == [failure.text(source) for failure in result.failures], text
    return result


def check(trace, text=None):
    """The scenario of a trace, which tells the same story and says nothing to the contrary."""
    text = Timeline.showing(trace).to_scenario() if text is None else text
    assert EXACT not in text, text
    result = played(text)
    assert [] == differences(story(trace), story(result.trace)), f"{trace.text()}\n{text}"
    return text


# Programs


def acts(job):
    """One run, as the job's args have it: by attempt and snooze, the last repeats."""
    script = job.args["does"]
    did = script[min(job.attempt - 1 + job.snoozed, len(script) - 1)]
    what = did["what"]
    for child in did.get("inserts", ()):
        Done.jobs.insert(WORKERS[child["worker"]].new({"does": child["does"]}, **child["options"]))
    if what == "raise":
        raise ValueError(did["text"])
    if what == "own":
        raise OwnError(did["text"])
    return {"retry": Retry, "discard": Discard, "cancel": Cancel}.get(what, lambda _: None)(
        did["text"]
    ) or (Snooze(did["wait"]) if what == "snooze" else None)


class OwnError(Exception):
    """One that no scenario can raise."""


def made():
    """The workers, defined anew in each test, since each test forgets them."""

    @worker(name="Plain", queue="sync")
    def plain(job):
        return acts(job)

    @worker(name="Lined", max_attempts=3, priority=2, backoff=backoff.linear(7), tags=("t",))
    def lined(job):
        return acts(job)

    @worker(name="Waits", queue="slow", timeout=20, backoff=backoff.constant(3))
    async def waits(job):
        script = job.args["does"]
        await asyncio.sleep(script[min(job.attempt - 1 + job.snoozed, len(script) - 1)]["wait"])  # noqa: TID251 - in virtual time
        return acts(job)

    @worker(name="Once", queue="sync", unique=Unique(period=20, keys=("who",)))
    def once(job):
        return acts(job)

    return {"Plain": plain, "Lined": lined, "Waits": waits, "Once": once}


WORKERS: dict[str, Any] = {}

TEXTS = st.sampled_from(
    ["no", "12:30", "1e3", "~", "", "two\nlines", "Grüße ✓ \x1b[0m", "null", "a: b"]
)
ENDS = st.sampled_from(["ok", "ok", "ok", "raise", "own", "retry", "snooze", "discard", "cancel"])
WAITS = st.sampled_from([0, 1, 5, 9.5, 25])
RUNS = st.fixed_dictionaries({"what": ENDS, "text": TEXTS, "wait": WAITS.filter(bool)})
CHILDREN = st.lists(
    st.fixed_dictionaries(
        {
            "worker": st.sampled_from(["Plain", "Lined", "Waits"]),
            "does": st.lists(RUNS, min_size=1, max_size=2),
            "options": st.fixed_dictionaries(
                {}, optional={"priority": st.integers(0, 3), "schedule_in": st.sampled_from([0, 4])}
            ),
        }
    ),
    max_size=2,
)
SCRIPTS = st.lists(
    st.tuples(RUNS, CHILDREN).map(lambda pair: pair[0] | ({"inserts": pair[1]} if pair[1] else {})),
    min_size=1,
    max_size=3,
)
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "priority": st.integers(0, 9),
        "queue": st.sampled_from(["sync", "other"]),
        "max_attempts": st.integers(1, 4),
        "meta": st.dictionaries(TEXTS, TEXTS, max_size=2),
        "schedule_in": st.sampled_from([0, 2, 10, 16.125]),
    },
)
INSERTS = st.tuples(
    st.just("insert"),
    st.sampled_from(["Plain", "Lined", "Waits", "Once"]),
    SCRIPTS,
    OPTIONS,
    st.sampled_from(["x", "y"]),
)
ONE = st.integers(0, 5)
STEPS = st.lists(
    st.one_of(
        INSERTS,
        INSERTS,
        st.tuples(st.just("advance"), st.sampled_from([0, 1, 16, 40])),
        st.tuples(st.just("skip"), st.sampled_from([1, 16])),
        st.tuples(
            st.just("drain"),
            st.sampled_from([None, "sync"]),
            st.sampled_from([False, True, timedelta(seconds=12)]),
            st.booleans(),
            st.booleans(),
            st.sampled_from([None, None, 2]),
        ),
        st.tuples(st.sampled_from(["cancel", "retry", "delete"]), ONE),
        st.tuples(st.sampled_from(["pause", "resume", "reset"]), st.sampled_from(["sync", "slow"])),
        st.tuples(st.sampled_from(["pause_all", "resume_all"])),
        st.tuples(st.just("scale"), st.integers(1, 3)),
        st.tuples(st.just("mode"), st.sampled_from(["manual", "inline"])),
    ),
    min_size=1,
    max_size=9,
)


def act(jobs, step, stored, blocks):
    what = step[0]
    if what == "insert":
        _, name, does, options, who = step
        stored.append(jobs.insert(WORKERS[name].new({"does": does, "who": who}, **options)))
    elif what == "advance":
        jobs.advance(step[1])
    elif what == "skip":
        jobs.advance(step[1], run=False)
    elif what == "drain":
        _, queue, scheduled, recursion, safety, limit = step
        if jobs.count_jobs(state="executing"):
            return  # a drain would let an async run beside it sleep to its end, at no instant
        try:
            jobs.drain_queue(queue, scheduled, recursion, safety, limit)
        except (ValueError, OwnError):
            assert not safety
        except LivelockError:
            reject()  # a snooze that the drain itself reaches: endless in any telling
    elif what in ("pause", "resume", "reset"):
        getattr(jobs, f"{what}_queue")(step[1])
    elif what in ("pause_all", "resume_all"):
        getattr(jobs, f"{what}_queues")()
    elif what == "scale":
        jobs.scale_queue("sync", step[1])
    elif what == "mode":
        blocks.enter_context(jobs.mode(step[1]))
    elif stored:
        job = stored[step[1] % len(stored)]
        if jobs.all_jobs(id=job.id):
            getattr(jobs, f"{what}_job")(job)


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(
    STEPS,
    st.sampled_from(["manual", "inline"]),
    st.integers(0, 9),
    st.booleans(),
    st.sampled_from(
        [None, {"sync": Queue(1, rate_limit=RateLimit(2, 10)), "slow": 2, "default": 3}]
    ),
)
def test_whatever_a_test_did_is_replayed_job_by_job_the_same(steps, mode, seed, jitter, queues):
    given_ = {} if queues is None else {"queues": queues}
    with (
        harness(mode=mode, start=START, seed=seed, jitter=jitter, **given_) as jobs,
        ExitStack() as blocks,
    ):
        WORKERS.update(made())
        Done.jobs = jobs
        stored: list[Any] = []
        for step in steps:
            act(jobs, step, stored, blocks)
        check(jobs.timeline)


@pytest.mark.parametrize("resume", ["resume_all_queues", "resume_queue", "reset_queue"])
def test_a_queue_that_no_node_serves_stays_so_whoever_resumes_it(resume):
    with harness(mode="inline", start=START, queues={"sync": 1}) as jobs:
        plain = made()["Plain"]
        job = jobs.insert(
            plain.new({"does": [{"what": "ok", "text": "", "wait": 1}]}, queue="other")
        )
        jobs.insert(plain.new({"does": [{"what": "ok", "text": "", "wait": 1}]}, schedule_in=1))
        getattr(jobs, resume)(*([] if resume == "resume_all_queues" else ["other"]))
        jobs.advance(1)
        assert jobs.get_job(job).state == "available"
        check(jobs.timeline)


def test_a_reset_is_written_as_one():
    """Of the queue's scale it makes the configured one again, which a resume would not."""
    with harness(start=START, queues={"sync": 1}) as jobs:
        plain = made()["Plain"]
        jobs.scale_queue("sync", concurrency=2)
        jobs.reset_queue("sync")
        jobs.insert_all([plain.new({"does": [{"what": "ok", "text": "", "wait": 1}]})] * 2)
        jobs.advance(1)
        assert "{at: 0s, reset: sync}" in check(jobs.timeline)


@pytest.mark.parametrize("span", [16, 40])
def test_what_fails_in_a_drain_is_retried_when_time_passes(span):
    with harness(mode="manual", start=START) as jobs:
        plain = made()["Plain"]
        jobs.insert(plain.new({"does": [{"what": "raise", "text": "no", "wait": 1}]}))
        jobs.drain_queue(with_safety=True)
        jobs.advance(span)
        assert len(jobs.timeline.of("start")) == 2
        check(jobs.timeline)


def test_queues_that_a_drain_s_runs_filled_start_in_the_order_of_the_test():
    one: dict[str, Any] = {"what": "ok", "text": "", "wait": 1}
    children: list[Any] = [
        {"worker": name, "does": [one], "options": {}} for name in ("Plain", "Lined")
    ]
    with harness(mode="manual", start=START) as jobs:
        WORKERS.update(made())
        Done.jobs = jobs
        jobs.insert(WORKERS["Plain"].new({"does": [one | {"inserts": children}, one]}))
        jobs.drain_queue(with_recursion=False)
        jobs.advance(0)
        started = [moment.job for moment in jobs.timeline.of("start") if moment.job]
        assert [job.queue for job in started] == ["sync", "default", "sync"]
        check(jobs.timeline)


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_the_trace_of_a_shipped_scenario_becomes_one_that_plays_the_same_trace(path):
    scenario, source = read(path)
    trace = replay(scenario, source, MemoryStore()).trace
    text = Timeline.showing(trace).to_scenario()
    for said in UNTOLD.get(path.stem, ()):
        assert f"{EXACT}: {said}\n" in text
        text = text.replace(f"{EXACT}: {said}\n", "")
    check(trace, text)


UNTOLD = {
    "crash-around-a-settle": ["how #1 ended, which its node did not live to tell: told as ok"],
}
"""What the trace of a shipped scenario does not tell."""


def faulty(steps, workers="W: {runs: [{for: 5s}]}", more="", until="2m"):
    """The trace of a scenario with these steps, after which a minute passes, and what is written of it."""
    steps = "".join(f"  - {each}\n" for each in steps)
    text = f"name: n\nnodes: [a, b]\nworkers: {{{workers}}}\nsteps:\n{steps}until: {until}\n{more}"
    scenario, source = read_text(text)
    trace = replay(scenario, source, MemoryStore()).trace
    return trace, Timeline.showing(trace).to_scenario()


X = "{at: 0s, insert: {as: job1, worker: W}}"


@pytest.mark.parametrize(
    "step",
    [
        "crash: {node: b, before: claim}",
        "crash: {node: a, after: beat}",
        "crash: {node: a, before: any}",
        "fail: {node: a, effect: settle, how: after}",
        "fail: {node: a, effect: claim, how: late, times: 3, by: 1.5s}",
        "fail: {node: b, effect: any, how: refused, times: 2}",
        "slow: {node: a, by: 0.3s}",
        "drift: {node: b, ppm: -500}",
        "delay_notifications: 0.4s",
        "double_notifications: true",
    ],
)
def test_a_fault_is_written_as_the_step_that_it_was(step):
    again = "{at: 1s, " + step + "}"
    trace, text = faulty([X, again, "{at: 30s, insert: {as: job2, worker: W}}"])
    assert f"  - {again}\n" in check(trace, text)


def test_the_end_of_a_fault_of_all_is_written():
    steps = [
        "{at: 1s, delay_notifications: 0s}",
        "{at: 1s, double_notifications: true}",
        "{at: 2s, double_notifications: false}",
    ]
    trace, text = faulty([X, *steps])
    assert all(f"  - {each}\n" in text for each in steps)
    check(trace, text)


@pytest.mark.parametrize("plugins", ["[stalled]", "[]", "[stalled, pruner]", ""])
def test_a_restart_is_written_with_its_plugins(plugins):
    restart = f"{{node: a, plugins: {plugins}}}" if plugins else "a"
    steps = [X, "{at: 10s, crash: a}", f"{{at: 20s, restart: {restart}}}"]
    trace, text = faulty(steps, more="plugins: {stalled: {}, pruner: {max_age: 1h}}\n")
    assert f"  - {steps[-1]}\n" in check(trace, text)


@pytest.mark.parametrize(
    "more", ["queues: [sync]", "queues: []", 'plugins: [], queues: [sync, "two, names", "no"]']
)
def test_a_restart_is_written_with_its_queues(more):
    steps = [X, "{at: 10s, crash: a}", f"{{at: 20s, restart: {{node: a, {more}}}}}"]
    queues = 'queues: {sync: {}, "two, names": {}, "no": {}}\n'
    trace, text = faulty(steps, more=f"{queues}plugins: {{stalled: {{}}}}\n")
    assert f"  - {steps[-1]}\n" in check(trace, text)


def test_functions_of_a_leader_are_written_with_what_each_call_did():
    tasks = """plugins:
  leader_tasks:
    crontab:
      - - "* * * * *"
        - {task: clean, runs: [ok, {for: 1s, raise: "ValueError: a: 'b'"}, {for: 70s}, {hang: true}]}
      - ["*/3 * * * *", {task: deaf, runs: [{for: 95s, ignores: true}, {for: 1s}]}]
"""
    steps = [
        X,
        "{at: 4m10s, stop: {node: a, grace: 100s}}",
        "{at: 7m, restart: {node: a, plugins: [leader_tasks]}}",
        "{at: 8m30s, crash: a}",
        "{at: 8m40s, restart: a}",
    ]
    trace, text = faulty(steps, more=tasks, until="12m")
    assert trace.text() == played(check(trace, text)).trace.text()


def test_functions_of_code_are_written_as_scripted_ones_with_a_note():
    def fails() -> None:
        raise ValueError("no")

    plugins = [LeaderTasks([("* * * * *", fails), ("@hourly", fails)], "Asia/Kathmandu")]
    with harness(plugins=plugins, start=START) as jobs:
        jobs.advance(150)
        text = jobs.timeline.to_scenario()
    assert text.startswith(f"{EXACT}: functions of LeaderTasks are scripted, under other names\n")
    name = f"{fails.__qualname__}"
    assert f'{{task: "{name}", runs: [{{for: 0s, raise: "ValueError: no"}}]}}' in text
    assert f'"{name} 2"]' in text
    told = [moment.event for moment in played(text).trace.moments]
    assert 2 == told.count("exception")


@pytest.mark.parametrize("end", ["", ", error: sorry"])
@pytest.mark.parametrize("told", ["cancel: job1", "timeout", "stop: {node: a, grace: 0s}"])
def test_a_run_that_did_not_listen_is_written_as_one_that_ignores(told, end):
    timeout = "timeout: 4s, " if told == "timeout" else ""
    steps = [X] if timeout else [X, f"{{at: 4s, {told}}}"]
    trace, text = faulty(
        steps, f"W: {{{timeout}max_attempts: 1, runs: [{{for: 9s, ignores: true{end}}}]}}"
    )
    assert f"      - {{for: 9s, ignores: true{end}}}\n" in check(trace, text)


def test_a_client_that_was_told_of_a_missing_job_is_not_told_exactly():
    steps = [X, "{at: 9s, delete: job1}", "{at: 10s, retry: job1}"]
    _, text = faulty(steps, more="invariants: true\n")
    assert text.startswith(
        f"{EXACT}: a client was told that the job to retry is gone, which is left out\n"
    )
    assert "retry" not in text.partition("name:")[2]
    played(text)


def test_a_run_whose_outcome_died_with_its_process_is_written_and_one_that_counted_is_not_told_exactly():
    for when in ("before", "after"):
        steps = [X, f"{{at: 1s, crash: {{node: a, {when}: settle}}}}"]
        trace, text = faulty(steps, more="plugins: {stalled: {interval: 5s, rescue_after: 30s}}\n")
        assert f"  - {steps[1]}\n" in text
        assert (when == "after") == text.startswith(f"{EXACT}: how #1 ended")
        assert [] == differences(story(trace), story(played(text).trace))
