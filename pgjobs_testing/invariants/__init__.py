"""What must hold of a simulated world after every effect, and when it is at rest.

``Invariants`` is told of each effect (``Watch``), keeps its own books (``Ledger``), and stops the world
with an ``AlarmError`` that names the invariant. Each effect costs what it changes.
"""

from pgjobs_testing.invariants.expected import EXPECTED_MARKS, Marks
from pgjobs_testing.invariants.facts import Facts, settles_within
from pgjobs_testing.invariants.watch import Invariants

__all__ = ["EXPECTED_MARKS", "Facts", "Invariants", "Marks", "settles_within"]
