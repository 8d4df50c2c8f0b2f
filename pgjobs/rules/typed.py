"""What ``@worker(args=Model)`` makes of a job's args: an instance for the worker, JSON for the row.

``Model`` is a dataclass, which is read by its annotations (``kinds``), or a pydantic model (version
2), which reads itself. pydantic is known by its methods and never imported here.
"""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pgjobs.rules.errors import ConfigurationError, InvalidJobError, closest, nearest
from pgjobs.rules.jsonb import normal_object
from pgjobs.rules.kinds import SUPPORTED, Kind, MismatchError, UnsupportedError, object_of


@dataclass(frozen=True, slots=True)
class Model:
    """The model of one worker's args. ``kind`` is None for a pydantic model."""

    worker: str
    model: Any
    kind: Kind | None

    def stored(self, given: object) -> dict[str, Any]:
        """The args of a row for an instance of the model, or for a mapping that makes one.

        ``InvalidJobError`` names the field, what is expected and what was found. An instance is
        checked as well: its JSON form must be read back.
        """
        if not isinstance(given, Mapping | self.model):
            raise InvalidJobError(
                f"worker {self.worker} takes a {self.model.__name__}, or a mapping that makes one, "
                f"not {type(given).__name__}"
            )
        try:
            made = given if isinstance(given, self.model) else self._read(given)
            self._check(made)
            args = normal_object(self._written(made), "args")
            self._read_stored(args)
        except Exception as error:  # a model's own code may raise anything
            raise InvalidJobError(f"worker {self.worker}: {_reason(error)}") from error
        return args

    def check_keys(self, keys: Iterable[str] | None) -> None:
        """``ConfigurationError`` for keys of ``unique`` that no stored args of this model can have.

        They would be absent from every job, and all jobs equal.
        """
        fields = self._fields()
        for key in keys or () if fields is not None else ():
            assert fields is not None
            if key not in fields and (first := key.split(".", 1)[0]) not in fields:
                close = closest(first, fields)
                hint = f": did you mean {close!r}?" if close else ""
                raise ConfigurationError(
                    f"worker {self.worker}: unique has the key {key!r}, and {self.model.__name__} has no "
                    f"field {first!r}{hint}; its fields, as they are stored, are {', '.join(fields)}"
                )

    def check_asked(self, asked: Mapping[str, Any]) -> None:
        """``ConfigurationError`` for args to look for that no stored args of this model can have.

        Looked into are models within it, where a field is one, or one or None.
        """
        _check_asked(f"worker {self.worker}", self.model, asked, "args")

    def _fields(self) -> list[str] | None:
        """The keys that stored args may have; None where they may be any."""
        found = _fields(self.model)
        return None if found is None else list(found)

    def instance(self, args: Mapping[str, Any]) -> Any:
        """The model for the args of a row, which an older version of the code may have written."""
        try:
            return self._read_stored(args)
        except Exception as error:  # a model's own code may raise anything
            raise InvalidJobError(
                f"the stored args of this job are no {self.model.__name__}, which worker "
                f"{self.worker} takes: {_reason(error)}; give new fields a default, or delete the job"
            ) from error

    def _check(self, made: Any) -> None:
        if self.kind is not None:
            self.kind.read(made, "args")

    def _read(self, given: Any) -> Any:
        if self.kind is not None:
            return self.kind.read(given, "args")
        return self.model.model_validate(given)

    def _read_stored(self, args: Mapping[str, Any]) -> Any:
        if self.kind is not None:
            return self.kind.read(args, "args")
        return self.model.model_validate_json(json.dumps(args))

    def _written(self, made: Any) -> Any:
        if self.kind is not None:
            return self.kind.write(made)
        return made.model_dump(mode="json", by_alias=True)


def model_of(given: object, worker: str) -> Model:
    """The model that ``args=`` names; ``ConfigurationError`` for what is none."""
    if isinstance(given, type):
        if callable(getattr(given, "model_validate_json", None)):
            return Model(worker, given, None)
        if dataclasses.is_dataclass(given):
            return Model(worker, given, _kind(given, worker))
    raise ConfigurationError(
        f"worker {worker}: args takes a dataclass or a pydantic model (version 2), not {given!r}"
    )


def _kind(model: type, worker: str) -> Kind:
    try:
        return object_of(model, {})
    except UnsupportedError as error:
        raise ConfigurationError(
            f"worker {worker}: {error}, which has no JSON form here; supported are {SUPPORTED}"
        ) from None
    except NameError as error:
        raise ConfigurationError(
            f"worker {worker}: an annotation of {model.__name__} cannot be resolved: {error}; define "
            "what it names at the top level of its module"
        ) from error


def _reason(error: Exception) -> str:
    """Which field an error is about, what is expected and what was found."""
    listed = getattr(error, "errors", None)
    if not callable(listed):
        ours = isinstance(error, MismatchError | ValueError | TypeError | RecursionError)
        return str(error) if ours else f"args are refused: {type(error).__name__}: {error}"
    found = listed()
    first = found[0]
    path = "".join(f"[{each}]" if isinstance(each, int) else f".{each}" for each in first["loc"])
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    if first["type"] == "missing":
        return f"args{path} is missing{more}"
    shown = repr(first["input"])
    short = shown if len(shown) <= 80 else shown[:77] + "..."
    return f"args{path}: {first['msg']}, not {short} ({type(first['input']).__name__}){more}"


def _check_asked(whose: str, model: Any, asked: Mapping[str, Any], path: str) -> None:
    fields = _fields(model)
    if fields is None:
        return
    for key, value in asked.items():
        if key not in fields:
            raise ConfigurationError(
                f"{whose}: {path} of {model.__name__} have no field {key!r}{nearest(str(key), fields)}"
            )
        inner = _model_within(fields[key], model)
        if inner is not None and isinstance(value, Mapping):
            _check_asked(whose, inner, value, f"{path}.{key}")


def _fields(model: Any) -> dict[str, Any] | None:
    """The keys that stored args may have, each with its annotation; None where they may be any."""
    if not hasattr(model, "model_fields"):
        hints = typing.get_type_hints(model, localns={model.__name__: model})
        return {each.name: hints[each.name] for each in dataclasses.fields(model) if each.init}
    writes = model.model_dump.__module__.startswith("pydantic.")
    decorated = model.__pydantic_decorators__.model_serializers
    extra = model.model_config.get("extra") == "allow"
    if extra or decorated or not writes or model.__pydantic_root_model__:
        return None
    written = {
        name
        for each in model.__pydantic_decorators__.field_serializers.values()
        for name in each.info.fields
    }
    found = {
        each.serialization_alias or each.alias or name: (
            None if each.metadata or {name, "*"} & written else each.annotation
        )
        for name, each in model.model_fields.items()
        if not each.exclude
    }
    return found | {e.alias or name: None for name, e in model.model_computed_fields.items()}


def _model_within(annotation: Any, model: Any) -> Any:
    """The model of the same kind that a field holds, alone or beside None; None for any other annotation."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        members = [each for each in typing.get_args(annotation) if each is not type(None)]
        annotation = members[0] if len(members) == 1 else None
    if not isinstance(annotation, type) or typing.get_origin(annotation) is not None:
        return None
    if hasattr(model, "model_fields"):
        return annotation if hasattr(annotation, "model_fields") else None
    return annotation if dataclasses.is_dataclass(annotation) else None
