"""Why a job has not run yet, or what became of it: from facts to reasons.

``RULES`` is the decision: for each state, the rules in the order in which what they tell must end
before the job can start. A rule looks at the facts and tells its reason, or None. Every reason that
holds is told.

What is judged "now" (slots, limits, the order of the queue) is judged of a job that is due. Of one
that is due later, only that is told which will still hold then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from pgjobs.rules import ratelimit, reasons, stalled, standings
from pgjobs.rules.control import EVERY_QUEUE, Control
from pgjobs.rules.errors import closest
from pgjobs.rules.facts import Facts, node_of
from pgjobs.rules.job import WAITING, Job, JobState
from pgjobs.rules.lifecycle import iso
from pgjobs.rules.reasons import Reason
from pgjobs.rules.schedule import from_micros, later
from pgjobs.rules.wording import shown_at

MISSED = 2
"""Intervals without a heartbeat after which a node counts as silent."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why ``job`` has not run yet, at the instant ``now``, or what became of it.

    True in a condition when there is something to tell: false just when the job waits and nothing
    holds it back (``ready``). ``str()`` is a short text.
    """

    job: Job
    now: datetime
    reasons: tuple[Reason, ...]

    def __bool__(self) -> bool:
        return bool(self.reasons)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of the reasons, in their order: ``"paused" in jobs.explain(job).kinds``."""
        return tuple(reason.kind for reason in self.reasons)

    @property
    def waiting(self) -> bool:
        """Whether it is waiting to run (``available``, ``scheduled`` or ``retryable``)."""
        return self.job.state in WAITING

    @property
    def blocked(self) -> bool:
        """Whether it waits, and cannot start before something ends that is told here."""
        return any(reason.blocks for reason in self.reasons)

    @property
    def ready(self) -> bool:
        """Whether it waits, and nothing holds it back: it starts at the next step of a node."""
        return self.waiting and all(reason.blocks is False for reason in self.reasons)

    @property
    def earliest(self) -> datetime | None:
        """The earliest instant at which it can start; None where that cannot be computed.

        It can where it is ready, or all that holds it back ends at known instants.
        """
        holding = [r for r in self.reasons if r.blocks is not False and r.kind != "not_run_yet"]
        ends = [reason.ends_at for reason in holding]
        if not self.waiting or None in ends:
            return None
        return max((self.now, *(end for end in ends if end is not None)))

    def __str__(self) -> str:
        job = self.job
        head = f"job {job.id} of {job.worker} in queue {job.queue}: {job.state}"
        if not self.reasons:
            return f"{head}, and nothing holds it back: it starts at the next step of a node"
        lines = [head, *(f"  - {reason}" for reason in self.reasons)]
        if self.waiting and self.earliest is not None:
            now = self.earliest == self.now
            lines.append(
                f"  can start {'now' if now else f'at {shown_at(self.earliest)} at the earliest'}"
            )
        return "\n".join(lines)


def explain(facts: Facts) -> Explanation:
    """The reasons that hold, in the order in which they must end."""
    told = (rule(facts) for rule in (_conflict, *RULES[facts.job.state]))
    found = [each for each in told if each is not None]
    return Explanation(facts.job, facts.now, tuple(_with_remedy(found)))


_ENDS_BY_TIME = ("conflict", "scheduled", "retryable", "not_run_yet")


def _with_remedy(told: Sequence[Reason]) -> Iterator[Reason]:
    """The reasons, with what would run the job under test said so that it is true beside the others."""
    kinds = {each.kind for each in told}
    held = any(each.blocks and each.kind not in _ENDS_BY_TIME for each in told)
    for each in told:
        if not isinstance(each, reasons.NotRunYet):
            yield each
        elif "attempts_used" not in kinds:  # then nothing does
            yield replace(each, held=held, served="queue_not_served" not in kinds)


def _conflict(facts: Facts) -> Reason | None:
    if not facts.conflict:
        return None
    job, rule = facts.job, facts.rule
    if rule is None:
        return standings.Conflict(job.id, job.state, job.inserted_at, None, None, for_ever=False)
    since: datetime = getattr(job, rule.timestamp)
    frees_at = None if rule.period is None else later(since, rule.period)
    counts = rule.counts(job, facts.now)
    return standings.Conflict(
        job.id, job.state, job.inserted_at, counts, frees_at, for_ever=rule.period is None
    )


def _scheduled(facts: Facts) -> Reason | None:
    job = facts.job
    if facts.due:
        return None
    return reasons.Scheduled(job.scheduled_at, job.scheduled_at - facts.now, job.snoozed)


def _retryable(facts: Facts) -> Reason | None:
    job = facts.job
    if facts.due:
        return None
    wait = job.scheduled_at - facts.now
    return reasons.Retryable(job.scheduled_at, wait, job.attempt, job.max_attempts, job.last_error)


def _attempts_used(facts: Facts) -> Reason | None:
    job = facts.job
    if job.attempt < job.max_attempts:
        return None
    return reasons.AttemptsUsed(job.attempt, job.max_attempts)


def _no_node(facts: Facts) -> Reason | None:
    if facts.nodes:
        return None
    last = max(facts.beats, key=lambda beat: (beat.at, beat.node), default=None)
    return reasons.NoNode(None, None) if last is None else reasons.NoNode(last.node, last.at)


def _queue(facts: Facts) -> Reason | None:
    if facts.configured is not None:
        return None
    name, served = facts.job.queue, facts.served
    kind = reasons.QueueNotKnown if facts.test is None else reasons.QueueNotServed
    return kind(name, served, closest(name, served))


def _paused(facts: Facts) -> Reason | None:
    name, queue = facts.job.queue, facts.queue
    if not queue.paused:
        return None
    own = facts.controls.get(name, Control())
    everywhere = facts.controls.get(EVERY_QUEUE, Control())
    configured = own.paused_over if facts.configured is None else facts.configured.paused
    if own.paused and own.paused_over in (None, configured):
        return reasons.Paused(name, "pause_queue")
    return reasons.Paused(name, "pause_all_queues" if everywhere.paused else "configuration")


def _no_free_slot(facts: Facts) -> Reason | None:
    if facts.configured is None or not facts.due or facts.free or not facts.nodes:
        return None
    here = tuple(each for each in facts.running if each.node in facts.nodes)
    return reasons.NoFreeSlot(facts.queue.concurrency, facts.nodes, here)


def _global_limit(facts: Facts) -> Reason | None:
    limit = facts.queue.global_concurrency
    if limit is None or not facts.due or len(facts.executing) < limit:
        return None
    return reasons.GlobalLimit(limit, facts.running)


def _rate_limit(facts: Facts) -> Reason | None:
    limit, window, now = facts.queue.rate_limit, facts.window, facts.now
    opens_at = None if limit is None else ratelimit.opens_at(limit, window, now)
    if limit is None or opens_at is None or not (facts.due or facts.job.scheduled_at < opens_at):
        return None
    counting = ratelimit.counting(limit, window, ratelimit.moment(window, now))
    used = sum(n for _, n in counting)
    claims = tuple((from_micros(at), n) for at, n in counting)
    return reasons.RateWindow(opens_at, opens_at - now, limit.allowed, limit.period, used, claims)


def _jobs_ahead(facts: Facts) -> Reason | None:
    if facts.configured is None or not facts.due or not facts.ahead:
        return None
    room = facts.turn.room
    return None if facts.ahead < room else reasons.JobsAhead(facts.ahead, room)


def _unknown_worker(facts: Facts) -> Reason | None:
    name, known = facts.job.worker, facts.workers
    if known is None or name in known:
        return None
    return reasons.UnknownWorker(name, closest(name, known))


def _not_run_yet(facts: Facts) -> Reason | None:
    if facts.test is None:
        return None
    wait = None if facts.due else facts.job.scheduled_at - facts.now
    return reasons.NotRunYet(facts.test.mode, facts.test.started, wait)


def _suspended(_: Facts) -> Reason | None:
    return reasons.Suspended()


def _executing(facts: Facts) -> Reason | None:
    job = facts.job
    ran = None if job.attempted_at is None else facts.now - job.attempted_at
    return standings.Executing(node_of(job), job.attempted_at, job.attempt, ran)


def _node_silent(facts: Facts) -> Reason | None:
    job, node, rescue = facts.job, node_of(facts.job), facts.rescue
    if facts.test is not None and node == facts.test.node:
        return None
    beat = next((each for each in facts.beats if each.node == node), None)
    if beat is not None and facts.now - beat.at <= MISSED * beat.every:
        return None
    at = None if beat is None else beat.at
    if rescue is None:
        return standings.NodeSilent(node, at, None, None)
    if beat is not None:
        since = later(beat.at, max(rescue.after, stalled.MISSED_BEATS * beat.every))
    else:
        since = later(job.attempted_at or facts.now, stalled.FOREIGN_UNKNOWN)
    return standings.NodeSilent(node, at, since, rescue.interval)


def _completed(facts: Facts) -> Reason | None:
    return standings.Completed(facts.job.completed_at, facts.job.attempt)


def _discarded(facts: Facts) -> Reason | None:
    job = facts.job
    return standings.Discarded(job.discarded_at, job.attempt, job.max_attempts, job.last_error)


def _cancelled(facts: Facts) -> Reason | None:
    job = facts.job
    at = job.cancelled_at
    own = at is not None and bool(job.errors) and job.errors[-1].get("at") == iso(at)
    return standings.Cancelled(at, job.last_error if own else None)


Rule = Callable[[Facts], Reason | None]

_START: tuple[Rule, ...] = (
    _attempts_used,
    _no_node,
    _queue,
    _paused,
    _rate_limit,
    _no_free_slot,
    _global_limit,
    _jobs_ahead,
    _unknown_worker,
    _not_run_yet,
)
RULES: Mapping[JobState, tuple[Rule, ...]] = {
    JobState.SCHEDULED: (_scheduled, *_START),
    JobState.RETRYABLE: (_retryable, *_START),
    JobState.AVAILABLE: _START,
    JobState.SUSPENDED: (_suspended,),
    JobState.EXECUTING: (_executing, _node_silent),
    JobState.COMPLETED: (_completed,),
    JobState.DISCARDED: (_discarded,),
    JobState.CANCELLED: (_cancelled,),
}
"""state: the rules, in the order in which what they tell must end."""
