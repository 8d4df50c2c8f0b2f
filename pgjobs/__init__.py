"""A PostgreSQL-backed job queue whose whole engine takes an injected clock, executor and chance."""

from typing import TYPE_CHECKING

from pgjobs import telemetry
from pgjobs.adapters.memory import MemoryStore
from pgjobs.app import PgJobs, next_at
from pgjobs.client import QueueStatus, WindowStatus
from pgjobs.engine.drain import DrainResult
from pgjobs.plugins import Cron, LeaderTasks, Pruner, Stalled
from pgjobs.preview import cron_preview
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
    PgJobsError,
    ProcessDiedError,
    RemoteError,
    StoreError,
    StoreUnavailableError,
    UnknownWorkerError,
)
from pgjobs.rules.explaining import Explanation
from pgjobs.rules.job import Cancel, Discard, Job, JobState, NewJob, Retry, Snooze
from pgjobs.rules.options import Queue, RateLimit
from pgjobs.rules.unique import Unique
from pgjobs.worker import Worker, worker

if TYPE_CHECKING:
    from pgjobs.adapters.postgres.store import PostgresStore as PostgresStore

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
    "PgJobs",
    "PgJobsError",
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


def __getattr__(name: str) -> object:
    """``PostgresStore`` is imported when it is first named: a client in memory needs no driver."""
    if name == "PostgresStore":
        from pgjobs.adapters.postgres.store import PostgresStore

        return PostgresStore
    raise AttributeError(f"module 'pgjobs' has no attribute {name!r}")
