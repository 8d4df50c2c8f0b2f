"""What only a leader does, and only while it leads: leases, ticks, rescue, pruning."""

from __future__ import annotations

from datetime import timedelta

from pgjobs.leading import Fence, Lead, Lease, Rescue
from pgjobs.rules.job import Job
from pgjobs.rules.schedule import EPOCH
from pgjobs.rules.stalled import FOREIGN_UNKNOWN, MISSED_BEATS
from pgjobs_testing.invariants.ledger import Ledger, node_of
from pgjobs_testing.invariants.sight import Sight, named
from pgjobs_testing.invariants.ticking import back, entry_of, window


def holds(ledger: Ledger, fence: Fence) -> bool:
    """Whether the lease is this node's, under this token, at the instant of the fence."""
    lease = ledger.leases.get(fence.name)
    return (
        lease is not None
        and (lease.node, lease.token) == (fence.node, fence.token)
        and fence.now < lease.until
    )


def fence_held(sight: Sight) -> None:
    """What a leader does takes place while the lease is its own, with its token, and never after (edge 14;
    bugs 91, 92, 94)."""
    fence: Fence = sight.effect.fence
    if fence.node != sight.node:
        sight.alarm("fence_held", f"it stands under a fence of {fence.node}")
    if not holds(sight.ledger, fence):
        lease = sight.ledger.leases.get(fence.name)
        sight.alarm("fence_held", f"it stands under {fence}, and the lease is {lease}")


def fence_refused(sight: Sight) -> None:
    """A leader that holds its lease is not told that it has lost it (edge 14; bug 94)."""
    fence: Fence | None = getattr(sight.effect, "fence", None)
    if fence is not None and holds(sight.ledger, fence):
        sight.alarm("fence_refused", f"{fence} holds, and is refused as lost")


def one_holder(sight: Sight) -> None:
    """A lease changes hands when it has run out by the taker's clock and no earlier, under a token that grows
    by one; who has it keeps its token; so no two hold it at an instant (edge 14; bugs 92, 94, 95, 97)."""
    effect, lease = sight.effect, sight.answer
    expected = led(sight.ledger.leases.get(effect.name), effect)
    if lease != expected:
        sight.alarm("one_holder", f"the lease is {lease}, and should be {expected}")
    if effect.node != sight.node:
        sight.alarm("one_holder", f"a lease is asked for in the name of {effect.node}")


def led(old: Lease | None, effect: Lead) -> Lease:
    """The lease as it must stand after an effect."""
    until = effect.now + effect.span
    if old is None:
        return Lease(effect.node, 1, until)
    if old.node == effect.node:
        # A renewal that comes late sets no lease back.
        return Lease(effect.node, old.token, max(until, old.until))
    return old if effect.now < old.until else Lease(effect.node, old.token + 1, until)


def once_a_tick(sight: Sight) -> None:
    """Each tick of an entry is fired once, whoever leads: its watermark only moves on (edge 13; bugs 82, 83,
    92). None is fired before its time, nor one that is further back than is made up for (bugs 83, 91)."""
    effect = sight.effect
    mark, tick = sight.ledger.ticks.get(effect.key), f"the tick {effect.at} of {effect.key}"
    fired = mark is not None and mark >= effect.at
    if sight.answer is None:
        if not fired:
            sight.alarm("once_a_tick", f"{tick} is lost: its watermark is {mark}")
        return
    if fired:
        sight.alarm("once_a_tick", f"{tick} is fired again: its watermark is {mark}")
    ago = effect.fence.now - effect.at
    if ago < timedelta(0):
        sight.alarm("once_a_tick", f"{tick} is fired {-ago} early")
    entry = entry_of(sight)
    if entry is not None and ago > window(entry):
        made = window(entry)
        sight.alarm("once_a_tick", f"{tick} is fired {ago} late, where {made} is made up for")


def rescues(sight: Sight) -> None:
    """A job is taken from a node whose heartbeat is older than ``rescue_after`` and three of its own
    intervals, from no other, and from every one such (edge 11; bugs 53, 68, 70, 71, 74, 77, 79)."""
    effect, ledger, after = sight.effect, sight.ledger, sight.facts.rescue_after
    if after is None or effect.rescue_after < after:
        sight.alarm("rescues", f"a rescue after {effect.rescue_after}, not {after}")
    lost = sorted(
        job_id
        for node, held in ledger.executing.items()
        if node != effect.fence.node
        for job_id in held
        if _gone(ledger, effect, ledger.rows[job_id])
    )
    found, expected = [job.id for job in sight.answer], lost[: effect.limit]
    if found != expected:
        wrong = [job_id for job_id in found if job_id not in expected]
        odd = wrong or [job_id for job_id in expected if job_id not in found] or found
        rows = (ledger.rows.get(job_id) for job_id in odd)
        shown = ", ".join("a job that nobody knows" if row is None else named(row) for row in rows)
        kind = "not to be rescued" if wrong else "to be rescued, and not, or not in turn"
        sight.alarm("rescues", f"{shown}: {kind}", *odd)


def _gone(ledger: Ledger, effect: Rescue, row: Job) -> bool:
    now = effect.fence.now
    beat = ledger.beats.get(node_of(row))
    if beat is None:
        return row.attempted_at is None or now - row.attempted_at > FOREIGN_UNKNOWN
    silence = now - beat.beat_at
    return silence > effect.rescue_after and silence > MISSED_BEATS * beat.every


def aged(sight: Sight) -> None:
    """Only what has been over for ``max_age`` is pruned, counted from its final state; the oldest first, and
    no more than the limit (edge 1; bug 103). The answer tells how much, and what is left."""
    effect, answer, facts = sight.effect, sight.answer, sight.facts
    if facts.max_age is None or effect.until > max(EPOCH, back(effect.fence.now, facts.max_age)):
        sight.alarm("aged", f"what was over at {effect.until} is pruned at {effect.fence.now}")
    old = sight.ledger.aged(effect.until, effect.limit)
    if answer.count != len(old):
        sight.alarm(
            "aged",
            f"{answer.count} are pruned, of {len(old)} that are old enough",
            *(job.id for job in old),
        )
