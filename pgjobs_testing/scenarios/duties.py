"""What a scenario file says of plugins, and of what a crontab inserts."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from pgjobs_testing.scenarios.accepting import Maybe
from pgjobs_testing.scenarios.parts import MANY, SOME, Part
from pgjobs_testing.scenarios.times import CronExpression, Duration, Interval, TimeZone
from pgjobs_testing.scenarios.values import TASK_NAME_LIMIT, TASK_NAME_SCHEMA, Page, TaskName
from pgjobs_testing.scenarios.work import CallSpec, InsertSpec


def _pair(value: Any) -> Any:
    """A line of a crontab, which has two parts."""
    if not isinstance(value, list) or len(value) != 2:
        accepted = 'a pair such as ["0 * * * *", Worker]'
        raise PydanticCustomError("accepted", "{accepted}", {"accepted": accepted, "hint": ""})
    return tuple(value)


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


class TaskSpec(Part):
    """A scripted function of ``LeaderTasks``: its name, or that with what each call does."""

    task: TaskName
    runs: list[CallSpec] = Field(
        default_factory=lambda: [CallSpec.model_validate("ok")], min_length=1, max_length=MANY
    )

    @model_validator(mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        if isinstance(value, str) and 0 < len(value) <= TASK_NAME_LIMIT:
            return {"task": value}
        if isinstance(value, dict | BaseModel):
            return value
        accepted = "a function's name, or a mapping such as {task: clean, runs: [{for: 2s}]}"
        raise PydanticCustomError("accepted", "{accepted}", {"accepted": accepted, "hint": ""})

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: Any, handler: Any) -> dict[str, Any]:
        return {"anyOf": [TASK_NAME_SCHEMA, handler(core_schema)]}


def _task_pair(value: Any) -> Any:
    """A line of a leader's crontab, which has two parts."""
    if not isinstance(value, list) or len(value) != 2:
        accepted = 'a pair such as ["*/5 * * * *", clean]'
        raise PydanticCustomError("accepted", "{accepted}", {"accepted": accepted, "hint": ""})
    return tuple(value)


class LeaderTasksSpec(Part):
    """The options of ``LeaderTasks``, and its entries: pairs of an expression and a scripted function."""

    timezone: TimeZone = "Etc/UTC"
    crontab: list[Annotated[tuple[CronExpression, TaskSpec], BeforeValidator(_task_pair)]] = Field(
        min_length=1, max_length=SOME
    )


class PluginsSpec(Part):
    """What the leader of the nodes does; none of it where it is not named."""

    stalled: Maybe[StalledSpec] = None
    pruner: Maybe[PrunerSpec] = None
    cron: Maybe[CronSpec] = None
    leader_tasks: Maybe[LeaderTasksSpec] = None

    @property
    def tasks(self) -> dict[str, TaskSpec]:
        """The scripted functions by name, in the file's order."""
        lines = () if self.leader_tasks is None else self.leader_tasks.crontab
        return {spec.task: spec for _, spec in lines}
