"""Finds the real workers that a file names by ``use``, and imports nothing unless that is allowed.

A file is data, so reading one runs no code. Whoever plays it may allow imports: the command with
``--allow-imports``, the plugin always, for it imports the project's code anyway. Then the module of
each ``use`` is imported, and no other.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic_core import PydanticCustomError

from pgjobs.worker import DEFAULT_QUEUE, REGISTRY, Worker
from pgjobs_testing.scenarios.mistakes import did_you_mean, shortened

A_WORKER = 'a worker as "module:name", such as "shop.jobs:nightly"'
PATTERN = r"^[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*$"
REFUSAL = (
    "a real worker by its module only where imports are allowed: replay with --allow-imports if you "
    "trust this file, or run it under pytest"
)
_REFERENCE = re.compile(PATTERN)


class Imports:
    """What one file may import, and the workers that it has found so far, by what ``use`` says.

    ``root`` is put first on the path that modules are looked for on, once one is asked for.
    """

    def __init__(self, *, allowed: bool = False, root: Path | None = None) -> None:
        self.allowed = allowed
        self._root = root
        self.found: dict[str, Worker[Any, Any]] = {}

    def worker(self, written: object) -> Worker[Any, Any]:
        """The worker that ``use`` means; an error that says what is accepted."""
        if not isinstance(written, str) or not _REFERENCE.fullmatch(written):
            hint = "; separate the two by a colon" if _looks_dotted(written) else ""
            raise _wrong(A_WORKER, hint)
        if not self.allowed:
            raise _wrong(REFUSAL)
        found = self.found.get(written)
        if found is None:
            found = self.found[written] = self._worker(written)
        return found

    @property
    def workers(self) -> dict[str, None]:
        """The names under which rows may come to name what was imported; none without ``use``."""
        return dict.fromkeys(REGISTRY.by_name if self.found else ())

    @property
    def queues(self) -> list[str]:
        """The queues of these workers."""
        named = [REGISTRY.by_name[name] for name in self.workers]
        return [queue_of(worker) for worker in (*self.found.values(), *named)]

    def _worker(self, written: str) -> Worker[Any, Any]:
        module_name, _, attribute = written.partition(":")
        if self._root is not None and str(self._root) not in sys.path:
            sys.path.insert(0, str(self._root))
        value: Any = _module(module_name)
        for part in attribute.split("."):
            holder = value
            try:
                value = getattr(holder, part)
            except AttributeError:
                known = _workers_in(holder) or _public(holder)
                raise _wrong(
                    A_WORKER, f" ({module_name} has no {attribute!r}{_known(part, known)})"
                ) from None
        if not isinstance(value, Worker):
            what = _kind(value)
            remedy = "; decorate it with @pgjobs.worker" if callable(value) else ""
            if not remedy:
                remedy = _known(attribute, _workers_in(_module(module_name)))
            raise _wrong(A_WORKER, f" ({attribute} of {module_name} is {what}{remedy})")
        return value


@contextmanager
def allowed() -> Iterator[Imports]:
    """Imports for a command: from the working directory, and no real database opens meanwhile."""
    from pgjobs_testing.closed import databases_closed

    with databases_closed():
        yield Imports(allowed=True, root=Path.cwd())


def queue_of(worker: Worker[Any, Any]) -> str:
    """The queue of a worker's jobs where an insert names none."""
    return str(worker.defaults.get("queue", DEFAULT_QUEUE))


def reference(worker: Worker[Any, Any]) -> str | None:
    """What ``use`` says of this worker; None where no import leads back to it.

    So it is with one that a function made, and with the script's own, which another process has not.
    """
    module = sys.modules.get(worker.module)
    if module is None or worker.module == "__main__":
        return None
    named = getattr(worker.wrapped, "__qualname__", "")
    for attribute in (named, *_workers_in(module)):
        value: Any = module
        for part in attribute.split("."):
            value = getattr(value, part, None)
        written = f"{worker.module}:{attribute}"
        if value is worker and _REFERENCE.fullmatch(written):
            return written
    return None


def _module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a module may raise anything, SystemExit included
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing is not None and (name == missing or name.startswith(f"{missing}.")):
            said = f"no module is named {missing!r}{did_you_mean(missing, _siblings(missing))}"
        else:
            said = f"importing {name} raised {type(error).__name__}: {_line(error)}"
        raise _wrong(A_WORKER, f" ({said})") from None


def _siblings(name: str) -> Iterable[str]:
    """The names of the modules beside the one that is missing."""
    parent, _, _ = name.rpartition(".")
    if not parent:
        return [each.name for each in pkgutil.iter_modules()]
    path = getattr(sys.modules.get(parent), "__path__", None)
    return [] if path is None else [f"{parent}.{each.name}" for each in pkgutil.iter_modules(path)]


def _workers_in(holder: object) -> list[str]:
    return [name for name, value in vars(holder).items() if isinstance(value, Worker)]


def _public(holder: object) -> list[str]:
    return [name for name in vars(holder) if not name.startswith("_")]


def _known(name: str, known: list[str]) -> str:
    near = did_you_mean(name, known)
    if near or not known:
        return near or "; it has no worker"
    return f"; it has {', '.join(sorted(known)[:5])}"


def _kind(value: object) -> str:
    if inspect.isroutine(value):
        return "a function"
    return "a class" if inspect.isclass(value) else f"of type {type(value).__name__}"


def _line(error: BaseException) -> str:
    try:
        return shortened(" ".join(str(error).split()))
    except Exception:  # what a module raises may not even be printable
        return "an error that cannot be printed"


def _looks_dotted(written: object) -> bool:
    return isinstance(written, str) and re.fullmatch(r"[\w.]+\.[\w]+", written) is not None


def _wrong(accepted: str, hint: str = "") -> PydanticCustomError:
    return PydanticCustomError("accepted", "{accepted}", {"accepted": accepted, "hint": hint})
