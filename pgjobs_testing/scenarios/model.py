"""What a scenario file may hold: one frozen model for each mapping of the format.

Models check single values. What spans several of them (names, order, "exactly one of") is checked
by ``checks.py``, so that one mistake hides no other.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from pgjobs.rules import backoff
from pgjobs.rules.backoff import Backoff
from pgjobs.rules.options import Queue, RateLimit
from pgjobs.rules.schedule import LAST_INSTANT
from pgjobs.rules.unique import Unique
from pgjobs.worker import Worker
from pgjobs_testing.scenarios.mistakes import did_you_mean
from pgjobs_testing.scenarios.real import queue_of
from pgjobs_testing.scenarios.values import (
    START,
    Allowed,
    Args,
    Attempts,
    Concurrency,
    CronExpression,
    DateTime,
    Drift,
    Duration,
    EffectName,
    FailureName,
    Flag,
    Given,
    Hang,
    HorizonSpec,
    Instant,
    InstantOrEnd,
    InstantOrNothing,
    Interval,
    Maybe,
    Meta,
    Name,
    NameOrNothing,
    Names,
    Page,
    PeriodOrNone,
    PluginNames,
    PositiveDuration,
    Priority,
    Raised,
    RealWorker,
    ReplaceSpec,
    Seed,
    Share,
    SignedDuration,
    State,
    States,
    Text,
    TextOrNothing,
    Times,
    Timestamp,
    TimeZone,
    UniqueFields,
    UpOrDown,
    Whole,
    Wholes,
    WrittenInstant,
)

OUTCOMES = ("error", "snooze", "discard", "cancel", "raise", "hang")
"""How a scripted run may end other than well."""
FAULTS = (
    "crash",
    "restart",
    "stop",
    "suspend",
    "partition",
    "heal",
    "skew",
    "drift",
    "slow",
    "fail",
    "drop_notifications",
    "delay_notifications",
    "double_notifications",
    "database",
)
"""What a step may do to nodes, and to what they share."""
ACTIONS = (
    "insert",
    "insert_all",
    "cancel",
    "retry",
    "delete",
    "pause",
    "resume",
    "scale",
    "pause_all",
    "resume_all",
    "hold",
    "drain",
    *FAULTS,
)
"""What a step may do."""
NODES, SOME, MANY = 100, 1_000, 10_000
"""At most so many nodes; queues, workers, entries of a crontab, expectations; steps, runs, jobs at once."""
SUBJECTS = ("job", "count", "jobs")
"""What an expectation may be about."""


def _pair(value: Any) -> Any:
    """A line of a crontab, which has two parts."""
    if not isinstance(value, list) or len(value) != 2:
        accepted = 'a pair such as ["0 * * * *", Worker]'
        raise PydanticCustomError("accepted", "{accepted}", {"accepted": accepted, "hint": ""})
    return tuple(value)


class Part(BaseModel):
    """A mapping of the file: unknown keys are mistakes."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    def given(self, *names: str) -> dict[str, Any]:
        """Those of ``names`` that the file gives, with their values."""
        return {name: getattr(self, name) for name in names if name in self.model_fields_set}


class RateSpec(Part):
    """At most ``allowed`` starts in any half-open window of ``period``."""

    allowed: Allowed
    period: PositiveDuration


class QueueSpec(Part):
    """How the node serves a queue."""

    concurrency: Concurrency = 10
    paused: Flag = False
    global_concurrency: Maybe[Concurrency] = None
    rate_limit: Maybe[RateSpec] = None

    def made(self) -> Queue:
        """The queue that is meant."""
        rate = self.rate_limit
        limit = None if rate is None else RateLimit(rate.allowed, rate.period)
        return Queue(self.concurrency, self.paused, self.global_concurrency, limit)


class UniqueSpec(Part):
    """How duplicates are recognised: the options of ``pgjobs.Unique``; a period of null is for ever."""

    period: PeriodOrNone = None
    fields_: Maybe[UniqueFields] = Field(None, alias="fields")
    keys: Maybe[Names] = None
    states: Maybe[States] = None
    timestamp: Maybe[Timestamp] = None

    def made(self) -> Unique:
        """The options that are meant."""
        given = self.given("period", "keys", "states", "timestamp")
        if "fields_" in self.model_fields_set:
            given["fields"] = self.fields_
        return Unique(**given)


class InsertSpec(Part):
    """A job to insert; ``as`` names it for steps and expectations. ``unique`` null switches it off."""

    name_as: Maybe[Name] = Field(None, alias="as")
    worker: Name
    args: Args = Field(default_factory=dict)
    queue: Name = "default"
    priority: Priority = 0
    max_attempts: Attempts = 20
    tags: list[Name] = Field(default_factory=list)
    meta: Meta = Field(default_factory=dict)
    schedule_in: Maybe[Duration] = None
    scheduled_at: Maybe[WrittenInstant] = None
    unique: UniqueSpec | None = None
    replace: Maybe[ReplaceSpec] = None


class RunSpec(Part):
    """One run of a scripted worker: how long it takes, what it inserts at its end, how it ends.

    ``insert_all`` inserts one after another. A run that ``ignores`` goes on when it is told to stop.
    """

    duration: Duration = Field(timedelta(0), alias="for")
    error: Maybe[Text] = None
    snooze: Maybe[Duration] = None
    discard: Maybe[Text] = None
    cancel: Maybe[Text] = None
    raised: Maybe[Raised] = Field(None, alias="raise")
    hang: Maybe[Hang] = None
    ignores: Flag = False
    insert: Maybe[InsertSpec] = None
    insert_all: Maybe[list[InsertSpec]] = None

    model_config = ConfigDict(
        extra="forbid", frozen=True, populate_by_name=True, arbitrary_types_allowed=True
    )

    @model_validator(mode="before")
    @classmethod
    def _ok(cls, value: Any) -> Any:
        return _short(value, "ok", "ok, or a mapping such as {for: 2s, error: why}")

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: Any, handler: Any) -> dict[str, Any]:
        return {"anyOf": [{"const": "ok"}, handler(core_schema)]}


class BackoffSpec(Part):
    """How long a failed job waits: ``guide``, or one kind with its options."""

    constant: Maybe[Duration] = None
    linear: Maybe[Duration] = None
    exponential: Maybe[Duration] = None
    jitter: Share = 0.0
    max: Maybe[Duration] = None

    @model_validator(mode="before")
    @classmethod
    def _guide(cls, value: Any) -> Any:
        return _short(value, "guide", "guide, or a mapping such as {linear: 60s}")

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: Any, handler: Any) -> dict[str, Any]:
        return {"anyOf": [{"const": "guide"}, handler(core_schema)]}

    def made(self) -> Backoff:
        """The backoff that is meant."""
        if self.constant is not None:
            return backoff.constant(self.constant, jitter=self.jitter, max=self.max)
        if self.linear is not None:
            return backoff.linear(self.linear, jitter=self.jitter, max=self.max)
        if self.exponential is not None:
            capped = backoff.exponential().max_s if self.max is None else self.max
            return backoff.exponential(self.exponential, jitter=self.jitter, max=capped)
        return backoff.DEFAULT


class WorkerSpec(Part):
    """A scripted worker: the options of ``pgjobs.worker``, and what each run does; or a real one.

    A real worker, named by ``use``, has its own options and does what its code does.
    """

    use: Maybe[RealWorker] = None
    queue: Name = "default"
    max_attempts: Attempts = 20
    priority: Priority = 0
    tags: list[Name] = Field(default_factory=list)
    meta: Meta = Field(default_factory=dict)
    timeout: Maybe[PositiveDuration] = None
    backoff: BackoffSpec = Field(default_factory=BackoffSpec)
    unique: Maybe[UniqueSpec] = None
    replace: Maybe[ReplaceSpec] = None
    runs: list[RunSpec] = Field(default_factory=lambda: [RunSpec()], min_length=1, max_length=MANY)

    @property
    def serving(self) -> str:
        """The queue of its jobs where an insert names none."""
        return self.queue if self.use is None else queue_of(self.use)


class StalledSpec(Part):
    """The options of ``Stalled``."""

    interval: Interval = timedelta(seconds=60)
    rescue_after: Interval = timedelta(seconds=60)


class PrunerSpec(Part):
    """The options of ``Pruner``."""

    max_age: Duration = timedelta(days=7)
    limit: Page = 1_000
    interval: Interval = timedelta(seconds=30)


class CronJobSpec(InsertSpec):
    """What a line of a crontab inserts: a worker's name, or that with the options of ``insert``."""

    @model_validator(mode="before")
    @classmethod
    def _worker(cls, value: Any) -> Any:
        return {"worker": value} if isinstance(value, str) else value

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: Any, handler: Any) -> dict[str, Any]:
        made = handler.resolve_ref_schema(handler(core_schema))
        for key in NOT_IN_A_CRONTAB:
            made["properties"].pop(key, None)
        return {"anyOf": [{"type": "string"}, made]}


NOT_IN_A_CRONTAB = ("as", "scheduled_at")
"""Keys of an insert that would mean one job, not one each tick."""


class CronSpec(Part):
    """The options of ``Cron``, and its entries: pairs of an expression and what is inserted."""

    timezone: TimeZone = "Etc/UTC"
    catch_up: Maybe[Duration] = None
    crontab: list[Annotated[tuple[CronExpression, CronJobSpec], BeforeValidator(_pair)]] = Field(
        min_length=1, max_length=SOME
    )


class PluginsSpec(Part):
    """What the leader of the nodes does; none of it where it is not named."""

    stalled: Maybe[StalledSpec] = None
    pruner: Maybe[PrunerSpec] = None
    cron: Maybe[CronSpec] = None


class ScaleSpec(Part):
    """A queue's new concurrency."""

    queue: Name
    concurrency: Concurrency


class DrainSpec(Part):
    """The options of ``drain_queue``: one job at a time, in no time, whatever is paused or limited.

    ``node`` is the name it is done in; by default that of the first node.
    """

    queue: Maybe[Name] = None
    with_scheduled: Maybe[HorizonSpec] = None
    with_recursion: Flag = True
    limit: Maybe[Whole] = None
    node: Maybe[Name] = None


class OfANode(Part):
    """What befalls a node: its name, or that with more."""

    node: Name

    @model_validator(mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        return {"node": value} if isinstance(value, str) else value

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: Any, handler: Any) -> dict[str, Any]:
        return {"anyOf": [{"type": "string", "minLength": 1}, handler(core_schema)]}


class CrashSpec(OfANode):
    """A process that is gone at once, or right before or after its next effect of one kind."""

    before: Maybe[EffectName] = None
    after: Maybe[EffectName] = None


class RestartSpec(OfANode):
    """A new process; with ``plugins`` it has these of the file's alone, as another version would."""

    plugins: Maybe[PluginNames] = None


class FailSpec(Part):
    """What befalls the next effects of a node: see the format. ``by``: how much later one commits."""

    node: Name
    effect: EffectName
    how: FailureName
    times: Times = 1
    by: Duration = timedelta(seconds=5)


class SlowSpec(Part):
    """How long every answer of the store takes to reach a node from now on."""

    node: Name
    by: Duration


class DriftSpec(Part):
    """By how many microseconds a second a node's clock is too fast from now on; negative: too slow."""

    node: Name
    ppm: Drift


class StopSpec(Part):
    """A node that is asked to stop, and how long its runs may go on."""

    node: Name
    grace: Duration = timedelta(seconds=15)


class SuspendSpec(Part):
    """A node whose process does nothing for a while."""

    node: Name
    span: PositiveDuration = Field(alias="for")


class SkewSpec(Part):
    """A node whose clock is off from now on: ahead, or behind where ``by`` is negative."""

    node: Name
    by: SignedDuration


class StepSpec(Part):
    """What somebody does at an instant, from outside of the engine."""

    at: WrittenInstant
    insert: Maybe[InsertSpec] = None
    insert_all: Maybe[Annotated[list[InsertSpec], Field(max_length=MANY)]] = None
    cancel: Maybe[Name] = None
    retry: Maybe[Name] = None
    delete: Maybe[Name] = None
    pause: Maybe[Name] = None
    resume: Maybe[Name] = None
    scale: Maybe[ScaleSpec] = None
    pause_all: Given | None = None
    resume_all: Given | None = None
    hold: Maybe[Flag] = None
    drain: Maybe[DrainSpec] = None
    crash: Maybe[CrashSpec] = None
    restart: Maybe[RestartSpec] = None
    stop: Maybe[StopSpec] = None
    suspend: Maybe[SuspendSpec] = None
    partition: Maybe[Name] = None
    heal: Maybe[Name] = None
    skew: Maybe[SkewSpec] = None
    drift: Maybe[DriftSpec] = None
    slow: Maybe[SlowSpec] = None
    fail: Maybe[FailSpec] = None
    drop_notifications: Maybe[Flag] = None
    delay_notifications: Maybe[Duration] = None
    double_notifications: Maybe[Flag] = None
    database: Maybe[UpOrDown] = None

    @property
    def action(self) -> str:
        """The one thing that this step does."""
        return next(name for name in ACTIONS if name in self.model_fields_set)


class FilterSpec(Part):
    """Which jobs are meant; a list means "one of", args and meta are contained, tags all there."""

    state: Maybe[States] = None
    queue: Maybe[Names] = None
    worker: Maybe[Names] = None
    tags: Maybe[Names] = None
    args: Maybe[Args] = None
    meta: Maybe[Meta] = None
    priority: Maybe[Wholes] = None
    attempt: Maybe[Wholes] = None
    max_attempts: Maybe[Wholes] = None


class ExpectationSpec(Part):
    """What must be true at an instant, after all that is due then: of a job, a count or an order.

    Of a job: ``error`` is contained in its last error, ``args`` and ``meta`` are contained in its
    own, the rest is equal; null means empty. ``conflict`` and ``replaced`` tell what its insert came to:
    which job was there before, and whether it was changed. An order is that of first starts, and
    leaves out what has not started.
    """

    at: InstantOrEnd
    job: Maybe[Name] = None
    state: Maybe[State] = None
    queue: Maybe[Name] = None
    worker: Maybe[Name] = None
    node: TextOrNothing | None = None
    attempt: Maybe[Whole] = None
    max_attempts: Maybe[Whole] = None
    priority: Maybe[Whole] = None
    snoozed: Maybe[Whole] = None
    tags: Maybe[list[Name]] = None
    args: Maybe[Args] = None
    meta: Maybe[Meta] = None
    error: TextOrNothing | None = None
    conflict: NameOrNothing | None = None
    replaced: Maybe[Flag] = None
    inserted_at: InstantOrNothing | None = None
    scheduled_at: InstantOrNothing | None = None
    attempted_at: InstantOrNothing | None = None
    completed_at: InstantOrNothing | None = None
    discarded_at: InstantOrNothing | None = None
    cancelled_at: InstantOrNothing | None = None
    count: Maybe[FilterSpec] = None
    is_: Maybe[Whole] = Field(None, alias="is")
    jobs: Maybe[FilterSpec] = None
    order: Maybe[list[Name]] = None


EXPECTED_OF_A_JOB = tuple(
    name for name in ExpectationSpec.model_fields if name not in ("at", *SUBJECTS, "is_", "order")
)
"""What an expectation can say of a job."""


class Scenario(Part):
    """A whole file."""

    name: Name
    start: DateTime = START
    seed: Seed = 0
    jitter: Flag = False
    nodes: list[Name] = Field(["a"], min_length=1, max_length=NODES)
    queues: dict[Name, QueueSpec] = Field(default_factory=dict, max_length=SOME)
    plugins: PluginsSpec = Field(default_factory=PluginsSpec)
    workers: dict[Name, WorkerSpec] = Field(default_factory=dict, max_length=SOME)
    steps: list[StepSpec] = Field(default_factory=list, min_length=1, max_length=MANY)
    until: Maybe[WrittenInstant] = None
    expect: list[ExpectationSpec] = Field(default_factory=list, max_length=SOME)
    invariants: Flag = False
    trace: Maybe[Text] = None

    @property
    def alone(self) -> bool:
        """Whether one node has the store to itself all the time, so that it need not poll in vain."""
        return len(self.nodes) == 1 and all(step.action not in FAULTS for step in self.steps)

    def inserts(self) -> Iterator[tuple[tuple[str | int, ...], InsertSpec]]:
        """Every job that the file inserts, with its path: by runs, by steps, by a crontab."""
        for name, worker in self.workers.items():
            for n, run in enumerate(worker.runs):
                if run.insert is not None:
                    yield ("workers", name, "runs", n, "insert"), run.insert
                for m, each in enumerate(run.insert_all or ()):
                    yield ("workers", name, "runs", n, "insert_all", m), each
        for n, step in enumerate(self.steps):
            if step.insert is not None:
                yield ("steps", n, "insert"), step.insert
            for m, each in enumerate(step.insert_all or ()):
                yield ("steps", n, "insert_all", m), each
        cron = self.plugins.cron
        for n, (_, job) in enumerate(() if cron is None else cron.crontab):
            yield ("plugins", "cron", "crontab", n, 1), job

    @property
    def queues_used(self) -> list[str]:
        """The queues that workers and inserts name, in the file's order."""
        used = [worker.serving for worker in self.workers.values()]
        used += [each.queue for _, each in self.inserts() if "queue" in each.model_fields_set]
        return list(dict.fromkeys(used))

    @property
    def real_workers(self) -> list[Worker[Any, Any]]:
        """The workers that ``use`` names, in the file's order."""
        return [spec.use for spec in self.workers.values() if spec.use is not None]

    def stored(self, worker: str) -> str:
        """The name that rows have for a worker: a real one's own, else the file's."""
        spec = self.workers.get(worker)
        return worker if spec is None or spec.use is None else str(spec.use.name)

    def instant(self, written: Instant) -> datetime:
        """The instant that is meant by what is written."""
        return resolved(self.start, written)


def resolved(start: datetime, written: Instant) -> datetime:
    """An instant from how it is written; ``LAST_INSTANT`` where it would be later than that."""
    if isinstance(written, datetime):
        return written
    try:
        return start + written
    except OverflowError:
        return LAST_INSTANT


def _short(value: Any, word: str, accepted: str) -> Any:
    """The mapping that a single word stands for."""
    if value == word:
        return {}
    if isinstance(value, dict | BaseModel):
        return value
    hint = did_you_mean(value, [word]) if isinstance(value, str) else ""
    raise PydanticCustomError("accepted", "{accepted}", {"accepted": accepted, "hint": hint})
