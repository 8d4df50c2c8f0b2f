"""Which anomalies a recorded history has. A right one has none.

| anomaly | what was seen |
|---|---|
| ``lost`` | a job that was stored for sure is not there, or is gone and nobody deleted it |
| ``unexpected`` ``doubled`` | a row that nobody asked for, that failed for sure, or that is there twice |
| ``torn`` | one call stored some of its jobs, or in more than one transaction |
| ``disobeyed`` ``risen`` | an order was answered and not obeyed; a finished job came back without one |
| ``illegal-move`` | a change that no rule has |
| ``attempt-jump`` ``token-reused`` | attempts rise by one; each claim has a token of its own |
| ``unclaimed-start`` ``started-twice`` | each run has a claim, and each claim one run |
| ``unfenced`` | an outcome counted, or was given back, that was not the current claim's |
| ``unearned`` | a job was completed, snoozed or failed by no run |
| ``overlap`` | two runs of one job, the first not taken from its node |
| ``out-of-time`` | a change that real time leaves no moment for |
| ``duplicate`` ``ghost`` | there is no order in which each unique insert is right |
| ``over-rate`` ``over-concurrency`` | a queue's limit was passed |

It takes for granted that every worker is known, records its runs and has no time limit: a run that passes
one is settled before it ends.
"""

from __future__ import annotations

from pgjobs_testing.simulation.histories.accounts import accounts
from pgjobs_testing.simulation.histories.limits import limits
from pgjobs_testing.simulation.histories.lives import lives, moves
from pgjobs_testing.simulation.histories.model import Anomaly, History
from pgjobs_testing.simulation.histories.starts import starts
from pgjobs_testing.simulation.histories.times import Times
from pgjobs_testing.simulation.histories.uniqueness import uniqueness


def check(history: History) -> list[Anomaly]:
    """Every anomaly of ``history``, in the order of the table; pure, and about linear in its size."""
    known = lives(history.journal)
    times = Times(history, known)
    return [
        *accounts(history, known),
        *moves(history, known),
        *starts(history, known),
        *times.alarms(),
        *uniqueness(history, known, times),
        *limits(history.journal, history.limits.items()),
    ]
