"""What happens in the engine, told to whoever listens.

``attach`` names the events it wants and gets ``handler(event, measurements, metadata)`` for each.
Measurements are in seconds. A handler that raises is detached and logged, and never touches a job.
Handlers run in the thread where the event happens (the engine's, or a client's): they are quick, or
they hand over.

| event | when | measurements | metadata |
|---|---|---|---|
| ``pgjobs.job.insert`` | stored by a client (with new), or a cron entry (with node) | | job worker queue |
| ``pgjobs.job.conflict`` | a duplicate, so that nothing was stored | | job (the one there) worker queue |
| ``pgjobs.job.replace`` | the same, and the job there was changed | | job (as changed) worker queue |
| ``pgjobs.job.stage`` | due, became available | | id queue node |
| ``pgjobs.job.start`` | claimed and handed to its worker | queue_time | job worker queue attempt node |
| ``pgjobs.job.stop`` | completed, snoozed, cancelled, discarded | duration, queue_time | and state, error |
| ``pgjobs.job.exception`` | failed | duration, queue_time | and state, error, stacktrace |
| ``pgjobs.job.late`` | an outcome came after its claim was lost | duration | as stop |
| ``pgjobs.job.release`` | given back: its node stops, or had given it up | duration, queue_time | and state |
| ``pgjobs.job.rescue`` | taken from a node that is gone | | job worker queue attempt state node |
| ``pgjobs.job.cancel`` ``.retry`` ``.delete`` | by hand | | job worker queue |
| ``pgjobs.queue.pause`` ``.resume`` ``.scale`` ``.reset`` | by hand | | queue, concurrency |
| ``pgjobs.node.start`` ``.stop`` | a node came or went | | node, queues |
| ``pgjobs.leader.elected`` ``.lost`` | a node leads, or no more | | node |
| ``pgjobs.plugin.prune`` | finished jobs were deleted | count | node |
| ``pgjobs.plugin.error`` | a recurring duty failed | | node, plugin, error |
| ``pgjobs.task.start`` ``.stop`` ``.exception`` ``.skip`` | a leader task | duration | node task at error |
| ``pgjobs.store.error`` | an effect failed and will be tried again | | node, effect, error |
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from pgjobs import telemetry_log
from pgjobs.rules.errors import ConfigurationError, reject_unknown

Handler = Callable[[str, Mapping[str, float], Mapping[str, Any]], object]

EVENTS = (
    "pgjobs.job.insert",
    "pgjobs.job.conflict",
    "pgjobs.job.replace",
    "pgjobs.job.stage",
    "pgjobs.job.start",
    "pgjobs.job.stop",
    "pgjobs.job.exception",
    "pgjobs.job.late",
    "pgjobs.job.release",
    "pgjobs.job.rescue",
    "pgjobs.job.cancel",
    "pgjobs.job.retry",
    "pgjobs.job.delete",
    "pgjobs.queue.pause",
    "pgjobs.queue.resume",
    "pgjobs.queue.scale",
    "pgjobs.queue.reset",
    "pgjobs.node.start",
    "pgjobs.node.stop",
    "pgjobs.leader.elected",
    "pgjobs.leader.lost",
    "pgjobs.plugin.prune",
    "pgjobs.plugin.error",
    "pgjobs.task.start",
    "pgjobs.task.stop",
    "pgjobs.task.exception",
    "pgjobs.task.skip",
    "pgjobs.store.error",
)

LOGGED = tuple(
    name
    for name in EVENTS
    if name not in ("pgjobs.job.insert", "pgjobs.job.conflict", "pgjobs.job.stage")
)
"""What ``log`` writes unless told otherwise."""

_log = logging.getLogger("pgjobs")


class Attached(NamedTuple):
    """A handler and its events. ``completions``: whether it asks for the stops of completed jobs, too."""

    events: tuple[str, ...]
    handler: Handler
    completions: bool = True


class Telemetry:
    """A set of handlers by event. The module's functions use one for the process."""

    completions = True
    """Whether anybody who listens to ``pgjobs.job.stop`` asks for those of completed jobs: most are."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_id: dict[str, Attached] = {}
        self._by_event: dict[str, tuple[tuple[str, Handler], ...]] = {}

    def attach(self, id: str, events: Iterable[str] | str, handler: Handler) -> None:  # noqa: A002 - the contract's name
        """Call ``handler`` for each of ``events`` from now on; ``ConfigurationError`` if ``id`` is taken."""
        self._put(id, events, handler, replacing=False)

    def replace(
        self,
        id: str,  # noqa: A002 - as above
        events: Iterable[str] | str,
        handler: Handler,
        *,
        completions: bool = True,
    ) -> None:
        """``attach``, in the place of whoever is attached as ``id``.

        Without ``completions`` nobody tells of a completed job for its sake; it hears what others ask for.
        """
        self._put(id, events, handler, replacing=True, completions=completions)

    def _put(
        self,
        id: str,  # noqa: A002 - as above
        events: Iterable[str] | str,
        handler: Handler,
        *,
        replacing: bool,
        completions: bool = True,
    ) -> None:
        _check_id(id)
        names = _names(events)
        if not callable(handler):
            raise ConfigurationError(f"a handler is a callable, not {handler!r}")
        with self._lock:
            if id in self._by_id and not replacing:
                raise ConfigurationError(
                    f"a handler is attached as {id!r} already: detach it first, or use another id"
                )
            self._by_id[id] = Attached(names, handler, completions)
            self._index()

    def detach(self, id: str) -> bool:  # noqa: A002 - the contract's name
        """Stop calling the handler attached as ``id``; return whether there was one."""
        _check_id(id)
        with self._lock:
            found = self._by_id.pop(id, None) is not None
            self._index()
            return found

    def snapshot(self) -> dict[str, Attached]:
        """Who is attached now, for ``restore``."""
        return dict(self._by_id)

    def restore(self, attached: dict[str, Attached]) -> None:
        """Attach just those again who were attached at a ``snapshot``."""
        with self._lock:
            if attached != self._by_id:
                self._by_id = dict(attached)
                self._index()

    def wanted(self, event: str) -> bool:
        """Whether anybody listens to ``event``: spare the work of telling nobody."""
        return event in self._by_event

    def emit(
        self, event: str, measurements: Mapping[str, float], metadata: Mapping[str, Any]
    ) -> None:
        """Call every handler of ``event``."""
        for id_, handler in self._by_event.get(event, ()):
            try:
                handler(event, measurements, metadata)
            except BaseException as error:  # a handler never ends the engine's thread
                if _is_a_persons(error):
                    raise
                self.detach(id_)
                _log.exception("telemetry handler %r raised at %s and is detached", id_, event)

    def _index(self) -> None:
        by_event: dict[str, tuple[tuple[str, Handler], ...]] = {}
        for id_, each in self._by_id.items():
            for name in each.events:
                by_event[name] = (*by_event.get(name, ()), (id_, each.handler))
        stops = [each for each in self._by_id.values() if "pgjobs.job.stop" in each.events]
        self.completions = any(each.completions for each in stops)
        self._by_event = by_event


def _is_a_persons(error: BaseException) -> bool:
    """Whether it is a Ctrl-C, which only the main thread hears."""
    main = threading.current_thread() is threading.main_thread()
    return main and isinstance(error, KeyboardInterrupt)


def _names(events: object) -> tuple[str, ...]:
    if not isinstance(events, Iterable):
        raise ConfigurationError(
            f'events takes the names of events, such as ["pgjobs.job.stop"], not {events!r}'
        )
    names = (events,) if isinstance(events, str) else tuple(events)
    reject_unknown(names, EVENTS, "event")
    return names


def _check_id(given: object) -> None:
    try:
        hash(given)
    except TypeError:
        raise ConfigurationError(f"id takes a text, not {given!r}") from None


PROCESS = Telemetry()
attach = PROCESS.attach
detach = PROCESS.detach


def log(
    *,
    level: int | str = logging.INFO,
    events: Iterable[str] | str = LOGGED,
    logger: logging.Logger | str = "pgjobs",
    id: str = "pgjobs.log",  # noqa: A002 - as above
) -> str:
    """Write each of ``events`` as one record of ``logger``, until ``detach``; return the id for it.

    The message is one readable line; ``record.pgjobs`` is a dict of JSON values (``telemetry_log``
    lists them). Records have ``level``, failed runs WARNING and discarded jobs ERROR, if that is
    higher. A second call with the same ``id`` replaces the first.
    """
    if not isinstance(logger, str | logging.Logger):
        raise ConfigurationError(f"logger takes a logger or its name, not {logger!r}")
    chosen = logging.getLogger(logger) if isinstance(logger, str) else logger
    handler = telemetry_log.writing_to(chosen, telemetry_log.checked_level(level))
    PROCESS.replace(id, events, handler)
    return id
