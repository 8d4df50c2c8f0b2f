"""What ``@worker(args=Model)`` makes of a job's args: an instance for the worker, JSON for the row.

``Model`` is a dataclass, which is read by its annotations (``kinds``), or a pydantic model (version
2), which reads itself. pydantic is known by its methods and never imported here.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pgjobs.rules.errors import ConfigurationError, InvalidJobError, closest
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

    def _fields(self) -> list[str] | None:
        """The keys that stored args may have; None where they may be any."""
        if self.kind is not None:
            return [each.name for each in dataclasses.fields(self.model) if each.init]
        writes = self.model.model_dump.__module__.startswith("pydantic.")
        decorated = self.model.__pydantic_decorators__.model_serializers
        extra = self.model.model_config.get("extra") == "allow"
        if extra or decorated or not writes or self.model.__pydantic_root_model__:
            return None
        names = [
            each.serialization_alias or each.alias or name
            for name, each in self.model.model_fields.items()
            if not each.exclude
        ]
        return names + [e.alias or name for name, e in self.model.model_computed_fields.items()]

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
