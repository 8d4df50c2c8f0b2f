"""What a campaign must have seen at least once, or it has proved little: marks, and how often each was seen.

A mark is not a check. It says that a situation in which engines have failed has come about, so that the
invariants had something to judge.
"""

from __future__ import annotations

from collections.abc import Iterable

EXPECTED_MARKS: dict[str, str] = {
    "claimed": "a Claim or ClaimWithin took jobs",
    "left to some nodes": "a Claim or ClaimWithin took jobs of a queue that other nodes do not serve",
    "restarted with other queues": "a node came back that serves other queues than before",
    "served anew": "a Claim or ClaimWithin took jobs of a queue that its node serves since a restart",
    "left by all nodes": "at rest a job was available in a queue that no node serves which is up",
    "cancelled by hand": "a Transition cancelled jobs that waited",
    "cancelled in flight": "a Transition cancelled a job that was executing",
    "cancelled by its worker": "a Settle cancelled its job",
    "group cancelled": "a Settle cancelled another job of its group",
    "group ended late": "a Settle came true late, and cancelled its job with its group",
    "many cancelled": "one Transition cancelled two jobs or more",
    "many retried": "one Transition made two jobs or more available again",
    "many deleted": "one Delete removed two jobs or more",
    "conflict": "an Insert or Tick met a duplicate",
    "replaced": "an Insert changed the duplicate that it met, which waited",
    "replaced in flight": "an Insert changed a duplicate that was executing",
    "replaced when over": "an Insert changed a duplicate in its final state",
    "ran with new args": "a Claim or ClaimWithin took a job whose args were replaced",
    "deleted": "a Delete removed jobs",
    "deleted in flight": "a Delete removed a job that was executing",
    "discarded": "a Settle discarded a job for good, on purpose",
    "exhausted": "a Settle failed the last attempt of a job",
    "failed": "a Settle failed an attempt that is not the last",
    "timed out": "a Settle failed an attempt for its time limit",
    "snoozed": "a Settle snoozed a job",
    "released": "a Settle gave a job back: a stop, or a claim that came true late",
    "late outcome": "a Settle came after its claim was lost",
    "outcome sent again": "a Settle came a second time, as the first one's answer was lost",
    "retried by hand": "a Transition made jobs available again",
    "rescued": "a Rescue made a job of a node that is gone available",
    "rescued at its last attempt": "a Rescue discarded a job of a node that is gone",
    "pruned": "a Prune deleted jobs",
    "staged": "a Poll made due jobs available",
    "claim found lost": "a Poll told a node that a claim is no longer its own",
    "cron fired": "a Tick inserted jobs",
    "cron caught up": "a Tick was fired a second or more after its time",
    "cron fired before": "a Tick found its watermark there already",
    "rebooted": "a Tick fired an entry of @reboot for the first time",
    "rebooted again": "a Tick fired an entry of @reboot for a later start",
    "task called": "a function of a leader returned",
    "task failed": "a function of a leader raised, or was told to stop",
    "task skipped": "a tick came while its function still ran",
    "task not called": "a tick was claimed, and its node led no more when it could have called",
    "task outlived its lead": "a function ended when its node led no more",
    "lease taken over": "a Lead took the lease from another node",
    "lease lost": "an effect ended in LeaseLostError",
    "window full": "a ClaimWithin took less than it asked for, as its window is full",
    "global limit full": "a ClaimWithin took less than it asked for, as enough run on all nodes",
    "paused": "a SetControl paused a queue",
    "scaled": "a SetControl changed a concurrency",
    "controls reset": "a ResetControl took back what was set by hand",
    "failed before": "an effect failed, and had not taken place",
    "failed after commit": "an effect failed, and had taken place",
    "claim found": "a Find found what a claim took whose answer was lost",
    "stray claim found": "a Find found a claim that came true after it was given up",
}
"""Each mark that a campaign with all faults must show, and where it comes from. A world adds its own."""


class Marks:
    """How often each mark was seen."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    def saw(self, name: str, times: int = 1) -> None:
        """Count a mark."""
        self.counts[name] = self.counts.get(name, 0) + times

    @property
    def seen(self) -> tuple[tuple[str, int], ...]:
        """The marks with their counts, by name."""
        return tuple(sorted(self.counts.items()))

    def missing(self, expected: Iterable[str] = tuple(EXPECTED_MARKS)) -> tuple[str, ...]:
        """Which of ``expected`` were never seen."""
        return tuple(name for name in expected if name not in self.counts)
