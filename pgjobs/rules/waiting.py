"""What is said where a unique insert would wait for a transaction that its own caller has open."""

from __future__ import annotations

from collections.abc import Iterable

from pgjobs.rules.errors import OpenTransactionError
from pgjobs.rules.job import NewJob
from pgjobs.rules.wording import listed

REMEDY = (
    "was connection= forgotten? Give it to every insert within the transaction, also in the functions "
    "that it calls, or end the transaction first"
)


def waits(jobs: Iterable[NewJob], whose: str) -> OpenTransactionError | None:
    """The error for an insert of ``jobs``, any of which may wait; None where none is unique.

    ``whose`` says which transaction is open.
    """
    workers = sorted({job.worker for job in jobs if job.unique is not None})
    if not workers:
        return None
    named = (
        f"worker {workers[0]!r}" if len(workers) == 1 else f"one of the workers {listed(workers)}"
    )
    return OpenTransactionError(
        f"a unique insert, of {named}, waits for a transaction that is open in {whose}, and that holds "
        f"the place of an equal job: {REMEDY}"
    )
