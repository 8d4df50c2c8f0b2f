"""What a step of a scenario may do: as a client, as a test, or to nodes and what they share from outside."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, Field, model_validator
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from pgjobs.rules.options import NAME_LIMIT
from pgjobs_testing.scenarios.accepting import Maybe
from pgjobs_testing.scenarios.expectations import FilterSpec
from pgjobs_testing.scenarios.parts import MANY, Part
from pgjobs_testing.scenarios.times import (
    Duration,
    HorizonSpec,
    PositiveDuration,
    SignedDuration,
    WrittenInstant,
)
from pgjobs_testing.scenarios.values import (
    NAME_SCHEMA,
    Concurrency,
    Drift,
    EffectName,
    FailureName,
    Flag,
    Given,
    Name,
    Names,
    PluginNames,
    Times,
    UpOrDown,
    Whole,
)
from pgjobs_testing.scenarios.work import InsertSpec

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
    "reset",
    "pause_all",
    "resume_all",
    "hold",
    "drain",
    *FAULTS,
)
"""What a step may do."""


class OrderSpec(FilterSpec):
    """Which jobs an order for all of them means: by filters, and by their names."""

    jobs: Maybe[Names] = None


def _order(value: Any, handler: Any) -> Any:
    if isinstance(value, str) and 0 < len(value) <= NAME_LIMIT:
        return value
    if isinstance(value, dict | BaseModel):
        return handler(value)
    accepted = "a job's name, or filters such as {queue: mail, state: retryable}"
    raise PydanticCustomError("accepted", "{accepted}", {"accepted": accepted, "hint": ""})


class _NameOrFilters:
    """A text is taken for a name; everything else is read as filters, for mistakes to be told of those."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> CoreSchema:
        return core_schema.no_info_wrap_validator_function(_order, handler(OrderSpec))

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        return {"anyOf": [NAME_SCHEMA, handler(schema)]}


Order = Annotated[str | OrderSpec, _NameOrFilters()]
"""One job, by its name, or all that filters mean."""


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
    """What befalls a node: its name, or that with more. ``accepted`` is how a mistake puts it."""

    accepted: ClassVar[str] = "a node's name"
    node: Name

    @model_validator(mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        if isinstance(value, str) and 0 < len(value) <= NAME_LIMIT:
            return {"node": value}
        if isinstance(value, dict | BaseModel):
            return value
        raise PydanticCustomError("accepted", "{accepted}", {"accepted": cls.accepted, "hint": ""})

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: Any, handler: Any) -> dict[str, Any]:
        return {"anyOf": [NAME_SCHEMA, handler(core_schema)]}


class CrashSpec(OfANode):
    """A process that is gone at once, or right before or after its next effect of one kind."""

    accepted = "a node's name, or a mapping such as {node: a, after: claim}"
    before: Maybe[EffectName] = None
    after: Maybe[EffectName] = None


class RestartSpec(OfANode):
    """A new process; with ``plugins`` it has these of the file's alone, as another version would, and with
    ``queues`` it serves these alone."""

    accepted = "a node's name, or a mapping such as {node: a, plugins: [stalled], queues: [mail]}"
    plugins: Maybe[PluginNames] = None
    queues: Maybe[Names] = None


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
    cancel: Maybe[Order] = None
    retry: Maybe[Order] = None
    delete: Maybe[Order] = None
    pause: Maybe[Name] = None
    resume: Maybe[Name] = None
    scale: Maybe[ScaleSpec] = None
    reset: Maybe[Name] = None
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
        given = self.model_fields_set
        return next(name for name in ACTIONS if name in given)
