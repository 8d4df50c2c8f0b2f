"""How a scenario writes names, texts, numbers and choices: each a type that says what it accepts."""

from __future__ import annotations

import builtins
from typing import Annotated, Any, Literal

from pydantic import Field, PlainValidator, ValidationInfo, WithJsonSchema

from pgjobs.plugins import MAX_PAGE
from pgjobs.rules import replacing, unique
from pgjobs.rules.errors import PgJobsError
from pgjobs.rules.job import MAX_ATTEMPTS, JobState
from pgjobs.rules.jsonb import normal_object
from pgjobs.rules.options import LOWEST_PRIORITY, MAX_ALLOWED, MAX_CONCURRENCY, NAME_LIMIT
from pgjobs.worker import Worker
from pgjobs_testing.nodes.traps import ANY, EFFECTS, FAILURES
from pgjobs_testing.scenarios.accepting import (
    Between,
    accepts,
    listed,
    one_of,
    one_or_more,
    whole,
    wrong,
)
from pgjobs_testing.scenarios.mistakes import did_you_mean
from pgjobs_testing.scenarios.real import PATTERN, Imports
from pgjobs_testing.settings import MOST_SEED

PLUGINS = ("stalled", "pruner", "cron", "leader_tasks")
"""The plugins that a file may name."""
_STATES = tuple(str(state) for state in JobState)


def builtin_exception(name: str) -> type[BaseException] | None:
    """The exception that Python knows by that name, if it can be made of one text."""
    kind = getattr(builtins, name, None)
    if not isinstance(kind, type) or not issubclass(kind, BaseException):
        return None
    try:
        kind("")
    except TypeError:
        return None
    return kind


def _given(value: object) -> bool:
    if value is None or value is True:
        return True
    raise wrong("nothing, or true")


def _state(value: object) -> JobState:
    if value not in _STATES:
        raise wrong(f"one of {', '.join(_STATES)}", did_you_mean(value, _STATES))
    return JobState(str(value))


def _replace(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise wrong("a mapping of states to fields, or to true")
    try:
        replacing.replace(value)
    except PgJobsError as error:
        raise wrong("a mapping of states to fields, or to true", f" ({error})") from None
    return value


def _exception(value: object) -> BaseException:
    accepted = 'the name of a built-in exception, or that and its message: "ValueError: why"'
    if not isinstance(value, str):
        raise wrong(accepted)
    name, _, message = value.partition(":")
    kind = builtin_exception(name)
    if kind is None:
        known = [each for each in dir(builtins) if builtin_exception(each)]
        raise wrong(accepted, did_you_mean(name, known))
    return kind(message.strip()) if message.strip() else kind()


def _json_object(what: str) -> PlainValidator:
    def check(value: object) -> dict[str, Any]:
        try:
            return normal_object(value, what)
        except PgJobsError as error:
            raise wrong("an object that JSON can hold", f" ({error})") from None

    return PlainValidator(check)


def _name(value: object) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= NAME_LIMIT:
        quote = isinstance(value, int | float | bool)
        raise wrong(_A_NAME, f"; quote it: {_yaml(value)!r}" if quote else "")
    return value


def _task_name(value: object) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= TASK_NAME_LIMIT:
        quote = isinstance(value, int | float | bool)
        accepted = f"a text of 1 to {TASK_NAME_LIMIT} characters"
        raise wrong(accepted, f"; quote it: {_yaml(value)!r}" if quote else "")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        quote = isinstance(value, int | float | bool)
        raise wrong("a text", f"; quote it: {_yaml(value)!r}" if quote else "")
    return value


def _text_or_nothing(value: object) -> str | None:
    return None if value is None else _text(value)


def _yaml(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _real(value: object, info: ValidationInfo) -> Worker[Any, Any]:
    """The worker itself, imported if the context of the reading allows it."""
    imports = info.context if isinstance(info.context, Imports) else Imports()
    return imports.worker(value)


def _share(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise wrong("a number from 0 to 1")
    return float(value)


_A_NAME = f"a text of 1 to {NAME_LIMIT} characters"
NAME_SCHEMA = {"type": "string", "minLength": 1, "maxLength": NAME_LIMIT}
TASK_NAME_LIMIT = 100
"""Characters of a function's name that the engine tells."""
TASK_NAME_SCHEMA = {"type": "string", "minLength": 1, "maxLength": TASK_NAME_LIMIT}
_STATE_SCHEMA = {"type": "string", "enum": list(_STATES)}
_WHOLE_SCHEMA = {"type": "integer", "minimum": 0}
Name = Annotated[str, PlainValidator(_name), WithJsonSchema(NAME_SCHEMA)]
TaskName = Annotated[str, PlainValidator(_task_name), WithJsonSchema(TASK_NAME_SCHEMA)]
Text = Annotated[str, PlainValidator(_text), WithJsonSchema({"type": "string"})]
TextOrNothing = Annotated[
    str | None, PlainValidator(_text_or_nothing), WithJsonSchema({"type": ["string", "null"]})
]
Flag = Annotated[
    bool,
    Field(strict=True),
    accepts("true or false"),
]
Given = Annotated[bool, PlainValidator(_given), WithJsonSchema({"enum": [None, True]})]
Hang = Annotated[Literal[True], accepts("true")]
UpOrDown = Annotated[Literal["up", "down"], accepts("up or down")]
Raised = Annotated[BaseException, PlainValidator(_exception), WithJsonSchema({"type": "string"})]
RealWorker = Annotated[
    Any, PlainValidator(_real), WithJsonSchema({"type": "string", "pattern": PATTERN})
]
State = Annotated[JobState, PlainValidator(_state), WithJsonSchema(_STATE_SCHEMA)]
States = Annotated[tuple[JobState, ...], PlainValidator(one_or_more(_state)), listed(_STATE_SCHEMA)]
Names = Annotated[tuple[str, ...], PlainValidator(one_or_more(_name)), listed(NAME_SCHEMA)]
Wholes = Annotated[
    tuple[int, ...], PlainValidator(one_or_more(whole(0, 2**31 - 1))), listed(_WHOLE_SCHEMA)
]
NameOrNothing = Annotated[
    str | None,
    PlainValidator(lambda value: None if value is None else _name(value)),
    WithJsonSchema({"anyOf": [NAME_SCHEMA, {"type": "null"}]}),
]
UniqueFields = Annotated[
    tuple[str, ...],
    PlainValidator(one_or_more(one_of(unique.FIELDS))),
    listed({"type": "string", "enum": list(unique.FIELDS)}),
]
Timestamp = Annotated[
    str,
    PlainValidator(one_of(unique.TIMESTAMPS)),
    WithJsonSchema({"type": "string", "enum": list(unique.TIMESTAMPS)}),
]
ReplaceSpec = Annotated[
    dict[str, Any],
    PlainValidator(_replace),
    WithJsonSchema(
        {
            "type": "object",
            "propertyNames": {"enum": list(_STATES)},
            "additionalProperties": {
                "anyOf": [
                    {"type": "boolean"},
                    {
                        "type": "array",
                        "items": {"type": "string", "enum": list(replacing.FIELDS)},
                    },
                ]
            },
        }
    ),
]
EffectName = Annotated[
    str,
    PlainValidator(one_of((*EFFECTS, ANY))),
    WithJsonSchema({"type": "string", "enum": [*EFFECTS, ANY]}),
]
FailureName = Annotated[
    str,
    PlainValidator(one_of(FAILURES)),
    WithJsonSchema({"type": "string", "enum": list(FAILURES)}),
]
PluginNames = Annotated[
    tuple[str, ...],
    PlainValidator(one_or_more(one_of(PLUGINS))),
    listed({"type": "string", "enum": list(PLUGINS)}),
]
Args = Annotated[dict[str, Any], _json_object("args"), WithJsonSchema({"type": "object"})]
Meta = Annotated[dict[str, Any], _json_object("meta"), WithJsonSchema({"type": "object"})]
Priority = Annotated[int, Between(0, LOWEST_PRIORITY)]
Attempts = Annotated[int, Between(1, MAX_ATTEMPTS)]
Page = Annotated[int, Between(1, MAX_PAGE)]
Concurrency = Annotated[int, Between(1, MAX_CONCURRENCY)]
Allowed = Annotated[int, Between(1, MAX_ALLOWED)]
Whole = Annotated[int, Between(0, 2**31 - 1)]
Seed = Annotated[int, Between(0, MOST_SEED)]
Times = Annotated[int, Between(1, 1_000)]
Drift = Annotated[int, Between(-100_000, 100_000)]
Share = Annotated[
    float,
    PlainValidator(_share),
    WithJsonSchema({"type": "number", "minimum": 0, "maximum": 1}),
]
