"""From a file to a scenario, or to every mistake in it at once."""

from __future__ import annotations

import types
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from pgjobs_testing.scenarios import checks, trial
from pgjobs_testing.scenarios.mistakes import (
    InvalidScenarioError,
    at_path,
    did_you_mean,
    found,
)
from pgjobs_testing.scenarios.model import Scenario
from pgjobs_testing.scenarios.parts import Part
from pgjobs_testing.scenarios.real import Imports
from pgjobs_testing.scenarios.source import (
    Source,
    StopReadingError,
    TreePath,
    parse,
    read_source,
)

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails


def read(path: Path, imports: Imports | None = None) -> tuple[Scenario, Source]:
    """The scenario of a file, with its source; ``InvalidScenarioError`` names every mistake.

    Without ``imports`` that allow it, a file that names real workers is refused.
    """
    return understood(read_source(path), imports)


def read_text(
    text: str, file: str = "<text>", imports: Imports | None = None
) -> tuple[Scenario, Source]:
    """The scenario that ``text`` is; ``InvalidScenarioError`` names every mistake."""
    return understood(parse(file, text), imports)


def understood(source: Source, imports: Imports | None = None) -> tuple[Scenario, Source]:
    """The scenario that a source holds."""
    if imports is not None:
        source.imports = imports
    if not isinstance(source.data, dict):
        source.report((), f"found {found(source.data)}; accepted: a mapping with name and steps")
        raise InvalidScenarioError(source.file, source.mistakes)
    scenario = None
    try:
        scenario = Scenario.model_validate(source.data, context=source.imports)
    except ValidationError as error:
        wrong = error.errors(include_url=False)
    else:
        wrong = []
    with suppress(StopReadingError):
        for each in wrong:
            _report(each, source)
        checks.check(source)
        if scenario is not None:
            trial.check(source, scenario)
    if source.mistakes or scenario is None:
        raise InvalidScenarioError(source.file, source.mistakes)
    return scenario, source


def _report(error: ErrorDetails, source: Source) -> None:
    """Say what pydantic found, in the words of the format."""
    path: TreePath = error["loc"]
    kind = error["type"]
    if kind == "extra_forbidden":
        _report_unknown_key(path, source)
        return
    if kind == "missing":
        where = f" in {at_path(path[:-1])}" if path[:-1] else ""
        source.report(path[:-1], f"the key {str(path[-1])!r} is missing{where}")
        return
    context = error.get("ctx", {})
    if path and path[-1] == "[key]":
        path = path[:-1]
        said = f"found the key {found(path[-1])}; accepted: {context.get('accepted')}"
        source.report(path, f"{at_path(path[:-1])}: {said}", key=True)
        return
    accepted = context.get("accepted") or _ACCEPTED.get(kind) or error["msg"]
    if kind == "too_long":
        accepted = f"up to {context['max_length']:,} of them"
    place = f"{at_path(path)}: " if path else ""
    value = context.get("found", source.value(path))
    said = f"found {found(value)}; accepted: {accepted}{context.get('hint', '')}"
    source.report(path, place + said)


_ACCEPTED = {
    "model_type": "a mapping",
    "dict_type": "a mapping",
    "list_type": "a list",
    "too_short": "a list with something in it",
}


def _report_unknown_key(path: TreePath, source: Source) -> None:
    part = _part_at(path[:-1])
    key = str(path[-1])
    where = f" in {at_path(path[:-1])}" if path[:-1] else ""
    known = _keys(part) if part is not None else []
    near = did_you_mean(key, known)
    accepted = "" if near else f"; accepted: {', '.join(known)}"
    source.report(path, f"found the unknown key {key!r}{where}{near or accepted}", key=True)


def _keys(part: type[Part]) -> list[str]:
    return [field.alias or name for name, field in part.model_fields.items()]


def _part_at(path: TreePath) -> type[Part] | None:
    """The model of the mapping at ``path``."""
    kind: Any = Scenario
    for step in path:
        kind = _plain(kind)
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            fields = {field.alias or name: field for name, field in kind.model_fields.items()}
            if step not in fields:
                return None
            kind = fields[str(step)].annotation
        elif get_origin(kind) in (list, dict, tuple):
            kind = get_args(kind)[-1]  # of a pair, its second is the mapping
        else:
            return None
    kind = _plain(kind)
    return kind if _is_part(kind) else None


def _is_part(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Part)


def _plain(kind: Any) -> Any:
    """An annotation without ``Annotated``, ``| None``, and the word that may stand for a mapping."""
    while True:
        if get_origin(kind) is Annotated:
            kind = get_args(kind)[0]
        elif get_origin(kind) in (Union, types.UnionType):
            parts = [_plain(each) for each in get_args(kind) if each is not type(None)]
            kind = next((each for each in parts if _is_part(each)), parts[0])
        else:
            return kind
