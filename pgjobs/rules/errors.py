"""Which errors pgjobs raises, and how their messages name the remedy.

::

    PgJobsError
    ├── ConfigurationError     an option, a filter or a name that cannot be used
    ├── InvalidJobError        args, meta or options that cannot become a job
    ├── InvalidResultError     what a worker returned is not a result (stored, rarely raised)
    ├── UnknownWorkerError     a row names a worker that is not registered here (stored)
    ├── JobNotFoundError       no job has that id
    ├── JobTimeoutError        a run passed its time limit (stored)
    ├── ProcessDiedError       a worker's process ended before its job did (stored)
    ├── RemoteError            stands for what was raised in a worker's process (telemetry)
    ├── LivelockError          a drain that cannot end
    ├── BlockingCallError      a synchronous call that would wait for workers in a running event loop
    ├── OpenTransactionError   a call that would wait for a transaction that its own caller has open
    └── StoreError             the store did not do what it was asked
        ├── StoreUnavailableError   it cannot be reached now; trying again may help
        ├── StoreNotReadyError      its tables are missing, or may not be used
        ├── LeaseLostError          a leader's effect came after its lease
        └── CapturedStoreError      a test run keeps real databases closed
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import lru_cache


class PgJobsError(Exception):
    """The base of every error that pgjobs raises on purpose."""


class ConfigurationError(PgJobsError, ValueError):
    """An option, filter or name that cannot be used; the message names what is accepted."""


class InvalidJobError(PgJobsError, ValueError):
    """Args, meta or options that cannot become a job; the message names the place and the remedy."""


class InvalidResultError(PgJobsError, TypeError):
    """A worker returned something that looks like a result and is none."""


class UnknownWorkerError(PgJobsError, LookupError):
    """A job names a worker that is not registered in this process."""


class JobNotFoundError(PgJobsError, LookupError):
    """No job has the id that was asked for."""


class JobTimeoutError(PgJobsError, TimeoutError):
    """A run took longer than its worker's time limit."""


class ProcessDiedError(PgJobsError, RuntimeError):
    """The process of a worker ended before its job did: it was killed, it crashed, or it exited."""


class RemoteError(PgJobsError):
    """Stands for an exception that was raised in a worker's process, and did not leave it.

    ``kind`` is the name of its type, ``stacktrace`` its traceback as text.
    """

    def __init__(self, kind: str, summary: str, stacktrace: str) -> None:
        super().__init__(kind, summary, stacktrace)
        self.kind, self.summary, self.stacktrace = kind, summary, stacktrace

    def __str__(self) -> str:
        return self.summary


class LivelockError(PgJobsError, RuntimeError):
    """A drain ran one job a hundred times without any progress."""


class BlockingCallError(PgJobsError, RuntimeError):
    """A synchronous call would wait for workers in the thread of a running event loop, or in one of them.

    Calls that wait for the database alone do not raise it: they block the loop until it has answered.
    """


class OpenTransactionError(PgJobsError, RuntimeError):
    """A call would wait for a transaction that its own caller, or its test, has open: for ever.

    Raised in memory, and under test on PostgreSQL. No ``StoreError``: to try again cannot help.
    """


class StoreError(PgJobsError):
    """The store refused an effect, or failed at it."""


class StoreUnavailableError(StoreError, ConnectionError):
    """The store cannot be reached now; the same effect may succeed later."""


class StoreNotReadyError(StoreError):
    """The store is reached and serves nobody as it is: tables are missing, or its user may not use them.

    Once somebody has seen to that, the same effect may succeed.
    """


class LeaseLostError(StoreError):
    """An effect of a leader that is none any more: nothing was changed."""


class CapturedStoreError(StoreError):
    """A real database would be opened where a test run keeps them closed."""


SHOWN_CHARACTERS = 300


def shown(value: object) -> str:
    """A value in a message: its ``repr``, bounded, whatever that raises."""
    try:
        text = repr(value)
    except Exception:
        return f"an unprintable {type(value).__name__}"
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}..."


def nearest(name: str, known: Iterable[str]) -> str:
    """``": did you mean 'max_attempts'?"`` for the closest known name, else the list of all."""
    names = sorted(known)
    if close := closest(name, names):
        return f": did you mean {close!r}?"
    return f"; known are {', '.join(names)}" if names else ""


def closest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is most like ``name``, if one is like it at all."""
    return _closest(name, tuple(sorted(known)))


@lru_cache(maxsize=128)  # each attempt of a job whose worker is unknown asks, and it takes long
def _closest(name: str, known: tuple[str, ...]) -> str | None:
    import difflib  # only a mistake needs it

    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return close[0] if close else None


def reject_unknown(given: Iterable[str], known: Collection[str], what: str) -> None:
    """Raise ``ConfigurationError`` for the first name in ``given`` that is not ``known``."""
    for name in given:
        if not isinstance(name, str) or name not in known:
            raise ConfigurationError(f"unknown {what} {name!r}{nearest(str(name), known)}")
