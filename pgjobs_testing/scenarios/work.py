"""What a scenario file says of jobs and of workers, scripted and real."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, ClassVar

from pydantic import ConfigDict, Field, model_validator

from pgjobs.rules import backoff
from pgjobs.rules.backoff import Backoff
from pgjobs.rules.unique import Unique
from pgjobs_testing.scenarios.accepting import Maybe
from pgjobs_testing.scenarios.parts import MANY, Part, short
from pgjobs_testing.scenarios.real import queue_of
from pgjobs_testing.scenarios.times import Duration, PeriodOrNone, PositiveDuration, WrittenInstant
from pgjobs_testing.scenarios.values import (
    Args,
    Attempts,
    Flag,
    Hang,
    Meta,
    Name,
    Names,
    Priority,
    Raised,
    RealWorker,
    ReplaceSpec,
    Share,
    States,
    Text,
    Timestamp,
    UniqueFields,
)

OUTCOMES = ("error", "snooze", "discard", "cancel", "raise", "hang")
"""How a scripted run may end other than well."""


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


class CallSpec(Part):
    """One call of a leader's task: how long it takes, and how it ends; one that ``ignores`` goes on when it
    is told to stop."""

    accepted: ClassVar[str] = "ok, or a mapping such as {for: 2s, raise: ValueError}"
    duration: Duration = Field(timedelta(0), alias="for")
    raised: Maybe[Raised] = Field(None, alias="raise")
    hang: Maybe[Hang] = None
    ignores: Flag = False

    model_config = ConfigDict(
        extra="forbid", frozen=True, populate_by_name=True, arbitrary_types_allowed=True
    )

    @model_validator(mode="before")
    @classmethod
    def _ok(cls, value: Any) -> Any:
        return short(value, "ok", cls.accepted)

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: Any, handler: Any) -> dict[str, Any]:
        return {"anyOf": [{"const": "ok"}, handler(core_schema)]}


class RunSpec(CallSpec):
    """One run of a scripted worker: as a call, with what it inserts at its end, and more ways to end.

    ``insert_all`` inserts one after another.
    """

    accepted = "ok, or a mapping such as {for: 2s, error: why}"
    error: Maybe[Text] = None
    snooze: Maybe[Duration] = None
    discard: Maybe[Text] = None
    cancel: Maybe[Text] = None
    insert: Maybe[InsertSpec] = None
    insert_all: Maybe[list[InsertSpec]] = None


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
        return short(value, "guide", "guide, or a mapping such as {linear: 60s}")

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

    A real worker, named by ``use``, has its own options and does what its code does. One that is
    ``missing`` is known to who inserts, and to no node: an older version serves the queues.
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
    missing: Flag = False
    runs: list[RunSpec] = Field(default_factory=lambda: [RunSpec()], min_length=1, max_length=MANY)

    @property
    def serving(self) -> str:
        """The queue of its jobs where an insert names none."""
        return self.queue if self.use is None else queue_of(self.use)
