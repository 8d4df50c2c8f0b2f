"""The format as JSON Schema, draft-07, for editors: completion, a word on each key, and what goes together.

It is made of the models. What they check in code and a schema can say as well is added here; what no
schema can say (names that are referred to, the order of steps) only reading the file tells.
"""

from __future__ import annotations

from typing import Any

from pgjobs_testing.nodes.traps import LATE
from pgjobs_testing.scenarios.descriptions import DESCRIPTIONS
from pgjobs_testing.scenarios.expectations import EXPECTED_OF_A_JOB, SUBJECTS
from pgjobs_testing.scenarios.model import Scenario
from pgjobs_testing.scenarios.steps import ACTIONS
from pgjobs_testing.scenarios.work import OUTCOMES

DRAFT = "http://json-schema.org/draft-07/schema#"


def json_schema() -> dict[str, Any]:
    """The schema; equal for equal models."""
    made = Scenario.model_json_schema(by_alias=True, ref_template="#/definitions/{model}")
    definitions: dict[str, Any] = made.pop("$defs", {})
    for name, part in (("Scenario", made), *definitions.items()):
        part.pop("description", None)
        for form in _forms(part):
            _tidy(name, form)
    for name, rules in _RULES.items():
        (form,) = _forms(made if name == "Scenario" else definitions[name])
        form |= rules
    return {
        "$schema": DRAFT,
        **made,
        "title": "A scenario of pgjobs_testing",
        "description": "A timeline of jobs that is replayed on virtual time.",
        "definitions": definitions,
    }


def _forms(part: dict[str, Any]) -> list[dict[str, Any]]:
    """The mappings that a part may be; where a single word stands for one, that is no mapping."""
    return [each for each in (part, *part.get("anyOf", ())) if "properties" in each]


def _tidy(name: str, form: dict[str, Any]) -> None:
    """Say what each key means; leave out what pydantic says for itself."""
    form.pop("title", None)
    form.pop("description", None)
    for key, schema in form["properties"].items():
        schema.pop("title", None)
        if schema.get("default", "") is None:  # left out is what it means, not null
            del schema["default"]
        items = schema.get("items", {})
        if isinstance(items, dict) and "prefixItems" in items:  # as draft-07 writes pairs
            items["items"] = items.pop("prefixItems")
        if "$ref" in schema:  # draft-07 reads nothing beside it
            schema["allOf"] = [{"$ref": schema.pop("$ref")}]
        description, *examples = DESCRIPTIONS[name][key]
        schema["description"] = description.replace("`", "")
        if "`" in description:
            schema["markdownDescription"] = description
        if examples:
            schema["examples"] = examples


def _one_of(keys: tuple[str, ...]) -> dict[str, Any]:
    """Exactly one of these keys is given."""
    return {"oneOf": [{"required": [key]} for key in keys]}


def _bars(key: str, *others: str) -> dict[str, Any]:
    """Where ``key`` is given, none of the others is."""
    return {key: {"not": {"anyOf": [{"required": [other]} for other in others]}}}


def _ends() -> dict[str, Any]:
    """A run has at most one end, and one that hangs has none."""
    barred: dict[str, Any] = {}
    for n, end in enumerate(OUTCOMES):
        others = OUTCOMES[:n] + OUTCOMES[n + 1 :]
        barred |= _bars(end, *others, *(("for", "insert", "insert_all") if end == "hang" else ()))
    return barred


_TICKING = {"anyOf": [{"required": ["cron"]}, {"required": ["leader_tasks"]}]}
_RULES: dict[str, dict[str, Any]] = {
    "Scenario": {
        "anyOf": [{"required": ["steps"]}, {"required": ["plugins"]}],
        "if": {"properties": {"plugins": _TICKING}, "required": ["plugins"]},
        "then": {"required": ["until"]},
    },
    "StepSpec": _one_of(ACTIONS),
    "CrashSpec": _one_of(("before", "after")),
    "FailSpec": {"dependencies": {"by": {"properties": {"how": {"const": LATE}}}}},
    "BackoffSpec": _one_of(("constant", "linear", "exponential")),
    "WorkerSpec": {"if": {"required": ["use"]}, "then": {"maxProperties": 1}},
    "CallSpec": {"dependencies": {**_bars("hang", "for"), "ignores": ["for"]}},
    "RunSpec": {"dependencies": {**_ends(), "ignores": ["for"]}},
    "InsertSpec": {"dependencies": _bars("scheduled_at", "schedule_in")},
    "ExpectationSpec": {
        **_one_of(SUBJECTS),
        "dependencies": {
            **{key: ["job"] for key in EXPECTED_OF_A_JOB},
            "is": ["count"],
            "count": ["is"],
            "order": ["jobs"],
            "jobs": ["order"],
        },
        "if": {"required": ["job"]},
        "then": {"minProperties": 3},
    },
}
"""What goes together in each mapping, as ``checks.py`` has it."""
