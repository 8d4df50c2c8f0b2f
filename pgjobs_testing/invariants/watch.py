"""Which invariants look at which effect, and in which order: the table, and what feeds it.

An effect is first judged as a whole, against the ledger as it stood; then each of its passages, before it is
entered; then the whole again, against the ledger as it stands. Those that say most come first: what differs
from the answer is looked at last.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NoReturn

from pgjobs.effects import (
    Claim,
    ClaimWithin,
    Delete,
    Effect,
    Find,
    Insert,
    Poll,
    ResetControl,
    SetControl,
    Settle,
    Transition,
)
from pgjobs.leading import Beat, Lead, Leave, Prune, Rescue, Resign, Tick, Watermarks
from pgjobs.rules.errors import LeaseLostError
from pgjobs.rules.job import Job
from pgjobs_testing.invariants import (
    asking,
    inserting,
    leading,
    limits,
    passing,
    starting,
    ticking,
)
from pgjobs_testing.invariants.beside import BESIDE
from pgjobs_testing.invariants.calling import TASKS, Calls
from pgjobs_testing.invariants.ending import Endings
from pgjobs_testing.invariants.expected import Marks
from pgjobs_testing.invariants.facts import Facts
from pgjobs_testing.invariants.hearing import Hearing, Losses, Runs
from pgjobs_testing.invariants.ledger import Ledger
from pgjobs_testing.invariants.marks import Marking
from pgjobs_testing.invariants.ordering import Orders
from pgjobs_testing.invariants.passages import PASSAGES, Passage
from pgjobs_testing.invariants.rebooting import Reboots
from pgjobs_testing.invariants.resting import Rest
from pgjobs_testing.invariants.serving import Serving
from pgjobs_testing.invariants.sight import Sight
from pgjobs_testing.invariants.telling import Tellings
from pgjobs_testing.nodes.watching import Alarm, AlarmError

OfEffect = Callable[[Sight], None]
OfPassage = Callable[[Sight, Passage], None]

GIVEN_UP = 1_000
"""Effects that failed and may yet take place; beyond that the oldest is forgotten."""


@dataclass(frozen=True, slots=True)
class Judges:
    """Who judges a kind of effect as a whole: by the ledger as it stood before, and as it stands after."""

    before: tuple[OfEffect, ...] = ()
    after: tuple[OfEffect, ...] = ()


NOBODY = Judges()
"""Of kinds that have no passages and that nobody judges: they are entered, for others to be judged by."""


class Invariants:
    """The watch over one world: safety after each effect, liveness ``at_rest``.

    ``compare`` holds the store's rows against the ledger. ``started``, ``told``, ``ended`` and ``gone`` tell
    of runs, which no effect tells of; without them the concurrency of a node is not looked at. ``marks``
    count what was seen. ``alarm`` is the first: an engine that survives its plugins may catch the error.
    """

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.ledger = Ledger()
        self.marks = Marks()
        self.alarm: Alarm | None = None
        self._hearing = Hearing(facts)
        self._losses = Losses()
        self._skipped = ticking.Skipped()
        self._made_up_for = ticking.MadeUpFor(facts, self._skipped)
        self._reboots = Reboots(facts)
        self._runs = Runs()
        self._endings = Endings(facts, self.ledger)
        self._tellings = Tellings(facts, self.ledger)
        self._orders = Orders(self.ledger)
        self._serving = Serving(facts)
        self._marking = Marking(self.marks, self._serving)
        self._calls = Calls(facts, self.ledger, self.marks)
        self._given_up: dict[int, Effect[Any]] = {}
        self._windows = limits.Windows()
        self._judges = {
            kind: (judges, PASSAGES.get(kind), BESIDE.get(kind))
            for kind, judges in self._of_effects().items()
        }
        self._ways = self._of_passages()

    # As effects end

    def committed(self, node: str, effect: Effect[Any], answer: Any, now: datetime) -> None:
        """An effect took place: judge it, and enter it. ``AlarmError`` for what may not be."""
        self._marking.committed(node, effect)
        found = self._judges.get(type(effect))
        if found is None:
            return  # it only reads
        judges, passages, beside = found
        given_up, ledger = self._given_up, self.ledger
        late = given_up.pop(id(effect), None) is not None if given_up else False
        if judges is NOBODY:
            if beside is not None:
                beside(ledger, effect, answer)
            return
        sight = Sight(self.facts, ledger, node, effect, answer, now, late)
        try:
            for judge in judges.before:
                judge(sight)
            if passages is not None:
                for passage in passages(ledger, effect, answer):
                    for way in self._ways[passage.event]:
                        way(sight, passage)
                    self._marking.passed(passage)
                    if passage.after is not passage.before:
                        ledger.put(passage.before, passage.after, now)
            if beside is not None:
                beside(ledger, effect, answer)
            for judge in judges.after:
                judge(sight)
        except AlarmError as error:
            raise self._kept(error) from None

    def failed(self, node: str, effect: Effect[Any], error: Exception, now: datetime) -> None:
        """An effect ended without an answer; it may have taken place before, or do so later."""
        if isinstance(error, LeaseLostError):
            try:
                leading.fence_refused(Sight(self.facts, self.ledger, node, effect, None, now))
            except AlarmError as alarmed:
                raise self._kept(alarmed) from None
        self._given_up[id(effect)] = effect
        if len(self._given_up) > GIVEN_UP:
            del self._given_up[next(iter(self._given_up))]
        self._marking.failed(node, effect, error)
        if isinstance(effect, Poll):
            self._hearing.failed(node, effect)
            self._losses.failed(node, effect)
        elif isinstance(effect, Settle):
            self._endings.refused(effect)
            self._tellings.refused(effect, error)
        elif isinstance(effect, Tick):
            self._skipped.failed(effect, error)
            self._calls.failed(effect)
        self._endings.failed(node)
        self._made_up_for.failed(node)
        self._reboots.excused(node)
        self._tellings.troubled(node, now)

    # What effects do not tell

    def started(self, node: str, job: Job, now: datetime) -> None:
        """A run begins on ``node``: from the executor, or from ``pgjobs.job.start``."""
        claim = job.id, job.token
        if self._runs.claims.get(claim) != node:
            self._alarm(
                "one_start", f"job {job.id} starts on {node}, which did not claim it", now, job.id
            )
        if claim in self._runs.started:
            self._alarm("one_start", f"job {job.id} starts twice under one claim", now, job.id)
        self._runs.begin(node, claim, job.queue)
        self._endings.started(node, job, now)

    def told(self, node: str, job: Job, now: datetime) -> None:
        """``node`` tells a run to stop."""
        self._endings.told(node, job, now)

    def heard(self, event: str, metadata: Mapping[str, Any], now: datetime) -> None:
        """Telemetry: of it, what is told of outcomes and of a leader's functions is judged."""
        try:
            if event in TASKS:
                self._calls.heard(event, metadata, now)
            else:
                self._tellings.heard(event, metadata, now)
        except AlarmError as error:
            raise self._kept(error) from None

    def ended(self, node: str, job: Job) -> None:
        """A run on ``node`` has really ended, and its slot is free."""
        self._runs.end(node, (job.id, job.token))
        self._endings.ended(node, job)

    def gone(self, node: str) -> None:
        """A node (its name in the store) is no more: crashed or stopped; its runs are gone with it."""
        self._runs.running.pop(node, None)
        self._losses.gone(node)
        self._endings.gone(node)
        self._tellings.gone(node)
        self._calls.gone(node)
        self._reboots.excused(node)

    def stopping(self, node: str, grace: timedelta, now: datetime) -> None:
        """A node is told to stop; its runs may go on for ``grace``."""
        self._endings.stopping(node, grace, now)

    def stopped(self, node: str, now: datetime) -> None:
        """A node's stop has ended; it is ``gone`` right after."""
        alarm = self._endings.left(node, now)
        if alarm is not None:
            raise self._kept(AlarmError(alarm))

    def slowed(self, node: str) -> None:
        """Answers of the store take a while to reach a node."""
        self._made_up_for.slowed(node)

    def suspended(self, node: str, now: datetime) -> None:
        """A node does nothing, until it is resumed."""
        self._calls.excused(node)
        self._endings.suspended(node)
        self._tellings.troubled(node, now)

    def resumed(self, node: str, now: datetime) -> None:
        """A node that was suspended goes on: it could hear nothing meanwhile."""
        self._hearing.stood_still(node, now)
        self._endings.resumed(node, now)
        self._made_up_for.resumed(node, now)
        self._reboots.excused(node)
        self._tellings.troubled(node, now)

    def look(self, now: datetime) -> None:
        """An instant is over: everybody who is awake has had its turn."""
        try:
            self._endings.look(now)
            self._tellings.look(now)
            self._calls.look(now)
        except AlarmError as error:
            raise self._kept(error) from None

    def joined(
        self, node: str, now: datetime, queues: Collection[str] | None, before: str | None = None
    ) -> None:
        """A node starts (by its name in the store), in the place of ``before``. It serves these queues
        alone; None: all."""
        self._reboots.joined(node, now)
        if queues is not None:
            self._serving.told(node, queues, before)
            self._marking.joined(node)

    def ordered(self, event: str, filters: Mapping[str, Any]) -> None:
        """A client begins to cancel, retry or delete (``event``) all that ``filters`` mean."""
        self._orders.given(event, filters)

    def carried_out(self, count: int, now: datetime) -> None:
        """It has ended, and its client is told that ``count`` were changed."""
        try:
            self._orders.carried_out(count, now)
        except AlarmError as error:
            raise self._kept(error) from None

    def planted(self, rows: Sequence[Job], now: datetime) -> None:
        """Rows were written past every effect, as another program would."""
        for row in rows:
            self.ledger.put(self.ledger.rows.get(row.id), row, now)

    # At checkpoints

    def compare(self, rows: Sequence[Job], now: datetime) -> None:
        """The store's rows are the ledger's: what was committed is never lost, and nothing else is there."""
        found = self.ledger.difference(rows)
        if found is not None:
            self._alarm("books", f"job {found[0]} {found[1]}", now, found[0])

    def at_rest(
        self,
        rows: Sequence[Job],
        now: datetime,
        *,
        since: datetime,
        living: Collection[str],
        stopping: Collection[str] = (),
        excused: Collection[int] = (),
        whole: bool = True,
        rescued: bool = True,
    ) -> None:
        """Faults ended at ``since``, ``settles_within`` ago at least: all is final or rightly waiting.

        ``living`` are the nodes that are up, by their names in the store, ``stopping`` those whose stop has
        not ended. ``excused`` are jobs whose outcome the store refuses for ever. ``whole``: every node has
        all plugins; ``rescued``: whoever leads rescues.
        """
        self.compare(rows, now)
        rest = Rest(
            self.facts,
            self.ledger,
            self._runs,
            self._windows,
            self._serving,
            now=now,
            since=since,
            living=living,
            stopping=stopping,
            excused=excused,
            whole=whole,
            rescued=rescued,
        )
        try:
            rest.check()
        except AlarmError as error:
            raise self._kept(error) from None
        if rest.unserved:
            self.marks.saw("left by all nodes", rest.unserved)

    def _alarm(self, invariant: str, seen: str, now: datetime, *jobs: int) -> NoReturn:
        raise self._kept(AlarmError(Alarm(invariant, seen, now, jobs)))

    def _kept(self, error: AlarmError) -> AlarmError:
        self.alarm = self.alarm or error.alarm
        return error

    # The table

    def _of_effects(self) -> dict[type[Any], Judges]:
        marks = self._marking
        claims = (
            starting.looked_at,
            self._serving.claims,
            starting.Tokens(self._runs).claims,
            limits.within_demand,
            limits.limited,
            self._endings.claims,
            starting.beats_first,
            starting.Unpaused(self._hearing),
            limits.Slots(self._hearing, self._runs),
        )
        takes = limits.Takes(self._windows)
        obeyed = Judges((asking.obeyed, marks.of_order))
        return {
            Insert: Judges((inserting.answered,)),
            Claim: Judges(claims, (takes, marks.of_few)),
            ClaimWithin: Judges(claims, (takes, marks.of_few, marks.of_claim)),
            Settle: Judges((), (asking.not_refused, self._tellings.settled, marks.of_settle)),
            Poll: Judges(
                (), (asking.poll_is_true, self._losses.polled, self._hearing.polled, marks.of_poll)
            ),
            Transition: obeyed,
            Delete: obeyed,
            Find: Judges((marks.of_find,)),
            SetControl: Judges((self._hearing.was_set, marks.of_control)),
            ResetControl: Judges((self._hearing.was_set, marks.of_reset)),
            Beat: NOBODY,
            Leave: NOBODY,
            Lead: Judges((leading.one_holder, self._reboots.leads, marks.of_lead)),
            Resign: NOBODY,
            Rescue: Judges((leading.fence_held, leading.rescues)),
            Prune: Judges((leading.fence_held, leading.aged)),
            Watermarks: Judges((leading.fence_held, self._made_up_for.read, self._reboots.read)),
            Tick: Judges(
                (
                    leading.fence_held,
                    leading.once_a_tick,
                    self._skipped.fires,
                    self._made_up_for.fires,
                    self._reboots.fires,
                    self._calls.fires,
                    inserting.answered,
                    marks.of_tick,
                )
            ),
        }

    def _of_passages(self) -> dict[str, tuple[OfPassage, ...]]:
        not_early = starting.NotEarly()
        every: tuple[OfPassage, ...] = (
            passing.known,
            passing.lawful,
            passing.counted,
            passing.can_run,
            starting.not_dated_ahead,
        )
        decided: tuple[OfPassage, ...] = (*every, starting.not_dated_behind)
        last: tuple[OfPassage, ...] = (passing.as_told,)
        inserted: tuple[OfPassage, ...] = (
            inserting.unique,
            inserting.replaces,
            inserting.Fingerprints(),
        )
        outcome = (
            passing.fenced,
            *every,
            self._endings.outcome,
            passing.at_its_last_attempt,
            passing.backed_off,
            self._tellings.outcome,
        )
        claimed = (
            starting.in_order,
            starting.in_its_own_name,
            not_early,
            limits.over_all_nodes,
            self._windows,
            starting.Tokens(self._runs).claimed,
            passing.same_args,
        )
        stored: tuple[OfPassage, ...] = (
            *inserted,
            *decided,
            not_early,
            passing.same_args,
            *last,
        )
        return {
            "insert": stored,
            "replace": stored,
            "conflict": (*inserted, passing.known, *last),
            "claim": (*decided, *claimed, *last),
            "stage": (*decided, asking.staged_when_due, not_early, *last),
            "complete": outcome,
            "fail": outcome,
            "discard": outcome,
            "snooze": outcome,
            "release": (*outcome, not_early.gives_back),
            "cancel": (*outcome, self._orders.passed, *last),
            "rescue": (*decided, passing.at_its_last_attempt, not_early.gives_back, *last),
            "retry": (*decided, not_early, self._orders.passed, *last),
            "delete": (passing.known, self._orders.passed, *last),
            "prune": decided,
        }
