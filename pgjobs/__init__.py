"""A PostgreSQL-backed job queue whose whole engine takes an injected clock, executor and chance."""

from importlib import import_module
from typing import TYPE_CHECKING

from pgjobs import telemetry
from pgjobs.app import PgJobs, next_at
from pgjobs.client import QueueStatus, WindowStatus
from pgjobs.plugins import Cron, LeaderTasks, Pruner, Stalled
from pgjobs.rules import backoff
from pgjobs.rules.errors import (
    BlockingCallError,
    CapturedStoreError,
    ConfigurationError,
    InvalidJobError,
    InvalidResultError,
    JobNotFoundError,
    JobTimeoutError,
    LeaseLostError,
    LivelockError,
    OpenTransactionError,
    PgJobsError,
    ProcessDiedError,
    RemoteError,
    StoreError,
    StoreNotReadyError,
    StoreUnavailableError,
    UnknownWorkerError,
)
from pgjobs.rules.job import Cancel, Discard, Job, JobState, NewJob, Retry, Snooze
from pgjobs.rules.options import Queue, RateLimit
from pgjobs.rules.unique import Unique
from pgjobs.worker import Worker, worker

if TYPE_CHECKING:
    from pgjobs.adapters.memory import MemoryStore
    from pgjobs.adapters.postgres.store import PostgresStore
    from pgjobs.engine.drain import DrainResult
    from pgjobs.preview import cron_preview
    from pgjobs.rules.explaining import Explanation

__all__ = [
    "BlockingCallError",
    "Cancel",
    "CapturedStoreError",
    "ConfigurationError",
    "Cron",
    "Discard",
    "DrainResult",
    "Explanation",
    "InvalidJobError",
    "InvalidResultError",
    "Job",
    "JobNotFoundError",
    "JobState",
    "JobTimeoutError",
    "LeaderTasks",
    "LeaseLostError",
    "LivelockError",
    "MemoryStore",
    "NewJob",
    "OpenTransactionError",
    "PgJobs",
    "PgJobsError",
    "PostgresStore",
    "ProcessDiedError",
    "Pruner",
    "Queue",
    "QueueStatus",
    "RateLimit",
    "RemoteError",
    "Retry",
    "Snooze",
    "Stalled",
    "StoreError",
    "StoreNotReadyError",
    "StoreUnavailableError",
    "Unique",
    "UnknownWorkerError",
    "WindowStatus",
    "Worker",
    "backoff",
    "cron_preview",
    "next_at",
    "telemetry",
    "worker",
]


_LATER = {
    "DrainResult": "pgjobs.engine.drain",
    "Explanation": "pgjobs.rules.explaining",
    "MemoryStore": "pgjobs.adapters.memory",
    "PostgresStore": "pgjobs.adapters.postgres.store",
    "cron_preview": "pgjobs.preview",
}
"""What is imported when it is first named, and where from: a process pays for what it uses."""


def __getattr__(name: str) -> object:
    if name in _LATER:
        found = globals()[name] = getattr(import_module(_LATER[name]), name)
        return found
    raise AttributeError(f"module 'pgjobs' has no attribute {name!r}")
