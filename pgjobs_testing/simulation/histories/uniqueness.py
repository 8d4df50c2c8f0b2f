"""Whether uniqueness was linear: is there one order of all calls, true to real time, in which each is right?

For each group of duplicates. In such an order, an insert stores a job where none stands in its way, and
meets the one that does where one does. Inserts of one group hold one lock from their look to their commit,
so the journal has the stored ones in the only order that they can have had. Each is given the earliest
moment that its call, the inserts before it and the jobs in its way leave to it; a job is out of the way not
before the last call that met it was made. The earliest moment leaves the most to all that follows, so where
it comes too late there is no such order. One pass, in time that grows with the number of calls.

A period is judged by the engine's own instants, which an insert reads when it is called. A job that an
operator makes available again stands in the way once more, whoever took its place meanwhile: from then on
it hinders only where it is certain that it was there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import accumulate

from pgjobs_testing.simulation.histories.lives import Life
from pgjobs_testing.simulation.histories.model import (
    NEVER,
    Anomaly,
    Call,
    Ended,
    Entry,
    History,
    Rule,
)
from pgjobs_testing.simulation.histories.times import Times


@dataclass(frozen=True, slots=True)
class Stand:
    """A job stands in the way from one change to another; ``end`` is None where it still does."""

    begin: Entry
    end: Entry | None


@dataclass(slots=True)
class Member:
    """A stored job of a group: when it stood in the way, and the calls that met it."""

    life: Life
    stands: list[Stand]
    met: list[Call] = field(default_factory=list)
    point: float = 0.0
    """The earliest moment at which its insert can have taken place."""

    @property
    def inserted_at(self) -> int:
        return self.life.birth.inserted_at


def uniqueness(history: History, known: dict[int, Life], times: Times) -> Iterator[Anomaly]:
    """The first anomaly of each group."""
    rules: dict[str, Rule] = {}
    meetings: dict[str, list[tuple[Call, int]]] = {}
    for insert in history.inserts:
        for place, new in enumerate(insert.new):
            if new.group is None or new.rule is None:
                continue
            if rules.setdefault(new.group, new.rule) != new.rule:
                raise ValueError(f"group {new.group} is inserted by two rules: give it one")
            if insert.call.ended is Ended.OK and insert.answers[place].conflict:
                met = (insert.call, insert.answers[place].job)
                meetings.setdefault(new.group, []).append(met)
    members: dict[str, dict[int, Member]] = {}
    for life in known.values():
        group = life.birth.group
        if group in rules:
            stands = [*_stands(life, rules[group])]
            members.setdefault(group, {})[life.job] = Member(life, stands)
    for group, rule in rules.items():
        found = members.get(group, {})
        alarm = _ghost(group, rule, found, meetings.get(group, []), times)
        alarm = alarm or _duplicate(group, rule, [*found.values()], times)
        if alarm is not None:
            yield alarm


def _stands(life: Life, rule: Rule) -> Iterator[Stand]:
    begin: Entry | None = None
    for entry in life.entries:
        counts = entry.after in rule.states
        if counts and begin is None:
            begin = entry
        elif begin is not None and not counts:
            yield Stand(begin, entry)
            begin = None
    if begin is not None:
        yield Stand(begin, None)


def _ghost(
    group: str,
    rule: Rule,
    members: dict[int, Member],
    meetings: list[tuple[Call, int]],
    times: Times,
) -> Anomaly | None:
    """A call that met a job which did not stand in its way; else each is noted at the job that it met."""
    for call, job in meetings:
        member = members.get(job)
        if member is None:
            return Anomaly("ghost", f"{group}: a call met job {job}, which is none of it", (job,))
        if rule.period_us is not None and call.now - member.inserted_at >= rule.period_us:
            seen = f"{group}: a call met job {job}, whose period was over when it was made"
            return Anomaly("ghost", seen, (job,))
        if not any(_may_meet(stand, call, times) for stand in member.stands):
            seen = f"{group}: a call met job {job}, which did not stand in its way at that time"
            return Anomaly("ghost", seen, (job,))
        member.met.append(call)
    return None


def _may_meet(stand: Stand, call: Call, times: Times) -> bool:
    over = NEVER if stand.end is None else times[stand.end].before
    return times[stand.begin].after <= call.until and call.invoked <= over


def _duplicate(group: str, rule: Rule, members: list[Member], times: Times) -> Anomaly | None:
    """A job that was stored while another stood in the way; or met before it can have been there."""
    ordered = sorted(members, key=lambda each: each.life.birth.n)
    soonest = [*accumulate((each.inserted_at for each in reversed(ordered)), min)][::-1]
    blockers: list[Member] = []
    now = 0.0
    for member, least in zip(ordered, soonest, strict=True):
        window = times[member.life.birth]
        now = max(now, window.after)
        blockers = [each for each in blockers if not _expired(each, rule, least)]
        in_the_way = [each for each in blockers if not _expired(each, rule, member.inserted_at)]
        while (hindering := _hindering(in_the_way, now, times)) is not None:
            now = _clear(hindering, now, times)
            if now > window.before:
                jobs = (hindering.life.job, member.life.job)
                seen = f"{group}: job {jobs[1]} was stored while job {jobs[0]} stood in its way"
                return Anomaly("duplicate", seen, jobs)
        if now > window.before:
            seen = f"{group}: job {member.life.job} was stored out of turn"
            return Anomaly("duplicate", seen, (member.life.job,))
        member.point = now
        early = [call for call in member.met if call.until < now]
        if early:
            seen = f"{group}: a call met job {member.life.job} before it can have been stored"
            return Anomaly("ghost", seen, (member.life.job,))
        blockers = [each for each in blockers if not _gone(each, now, times)]
        blockers.append(member)
    return None


def _expired(member: Member, rule: Rule, now: int) -> bool:
    return rule.period_us is not None and now - member.inserted_at >= rule.period_us


def _hindering(members: list[Member], now: float, times: Times) -> Member | None:
    return next((each for each in members if _clear(each, now, times) > now), None)


def _clear(member: Member, now: float, times: Times) -> float:
    """The earliest moment from ``now`` on at which ``member`` may be out of the way."""
    for place, stand in enumerate(member.stands):
        if stand.begin.before is None:
            begun, over = member.point, _over(member, stand, place, times)
        else:
            begun = times[stand.begin].before
            over = NEVER if stand.end is None else times[stand.end].after
        if begun <= now < over:
            return over
    return now


def _over(member: Member, stand: Stand, place: int, times: Times) -> float:
    """The earliest end of a job's first stand: not before the last call that met it then."""
    if stand.end is None:
        return NEVER
    later = member.stands[place + 1 :]
    again = times[later[0].begin].after if later else NEVER
    met = [call.invoked for call in member.met if call.until < again]
    return max([times[stand.end].after, member.point, *met])


def _gone(member: Member, now: float, times: Times) -> bool:
    """Whether it never stands in the way again."""
    return len(member.stands) <= 1 and _clear(member, now, times) <= now
