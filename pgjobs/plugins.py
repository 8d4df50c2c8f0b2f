"""Which recurring duties a leader has: pruning, rescue, cron entries and plain functions.

``PgJobs(plugins=[...])`` takes these values; each checks what it is given. Of all nodes that share a
database and an instance's name, one leads and does them: give those nodes the same plugins.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import timedelta, tzinfo
from typing import Any, Final

from pgjobs.rules import crontab, options
from pgjobs.rules.crontab import Crontab
from pgjobs.rules.errors import ConfigurationError
from pgjobs.rules.job import NewJob
from pgjobs.rules.schedule import duration, time_zone
from pgjobs.rules.signatures import checks_options
from pgjobs.worker import Worker

DAY_S: Final = 86_400
MAX_PAGE: Final = 100_000
LEAST_INTERVAL_S: Final = 0.1
MAX_ENTRIES: Final = 10_000


@checks_options
@dataclass(frozen=True)
class Pruner:
    """Delete jobs that reached a final state ``max_age`` ago (seconds or timedelta; default 7 days).

    Age counts from ``completed_at``, ``cancelled_at`` or ``discarded_at``. It looks every
    ``interval`` (30 s) and deletes up to ``limit`` jobs a statement, until none is left that old.
    ``max_age=0`` prunes what is over within a second.
    """

    max_age: float | timedelta = 7 * DAY_S
    limit: int = 1_000
    interval: float | timedelta = 30

    def __post_init__(self) -> None:
        duration(self.max_age, "the max_age of Pruner")
        options.whole(self.limit, "the limit of Pruner", 1, MAX_PAGE)
        duration(self.interval, "the interval of Pruner", least_s=LEAST_INTERVAL_S)


@checks_options
@dataclass(frozen=True)
class Stalled:
    """Rescue the jobs of nodes that have not beaten for ``rescue_after`` (60 s), every ``interval``.

    A job of a node that still beats is never rescued, however long it runs: a node beats every 10 s,
    or six times in ``rescue_after``, and says so; three beats must be missing at least.
    """

    interval: float | timedelta = 60
    rescue_after: float | timedelta = 60

    def __post_init__(self) -> None:
        duration(self.interval, "the interval of Stalled", least_s=LEAST_INTERVAL_S)
        duration(self.rescue_after, "the rescue_after of Stalled", least_s=LEAST_INTERVAL_S)


@dataclass(frozen=True)
class CronEntry:
    """One line of a crontab; ``key`` names it in the store, equal on every node that has it."""

    key: str
    crontab: Crontab
    zone: tzinfo
    what: Any
    catch_up: timedelta | None = None


@checks_options
class Cron:
    """Insert a job at each tick of each entry: ``(expression, worker or worker.new(...))``.

    ``timezone`` is an IANA name. ``catch_up`` (seconds or timedelta) is how far back a leader
    makes up for ticks that nobody fired; by default one lease, 30 s. What it passes over is logged.
    """

    def __init__(
        self,
        entries: Iterable[tuple[str, Any]],
        timezone: str | tzinfo = "Etc/UTC",
        catch_up: float | timedelta | None = None,
    ) -> None:
        back = None if catch_up is None else duration(catch_up, "the catch_up of Cron")
        self.entries = _entries("cron", entries, timezone, back, _template)

    def __repr__(self) -> str:
        return f"<Cron {[str(entry.crontab) for entry in self.entries]}>"


@checks_options
class LeaderTasks:
    """Call a plain function on the leader at each tick of each entry: ``(expression, function)``.

    There is no job row and no retry. A tick is claimed before the function runs; a tick that comes
    while the function still runs is skipped; a run of more than 60 s is logged. A function that is
    running already when its node loses the lease cannot be recalled.
    """

    def __init__(
        self, entries: Iterable[tuple[str, Callable[[], Any]]], timezone: str | tzinfo = "Etc/UTC"
    ) -> None:
        self.entries = _entries("task", entries, timezone, None, _function)

    def __repr__(self) -> str:
        return f"<LeaderTasks {[str(entry.crontab) for entry in self.entries]}>"


Plugin = Pruner | Stalled | Cron | LeaderTasks
DEFAULT: Final[tuple[Plugin, ...]] = (Stalled(), Pruner())
"""What a node does where nothing is said: jobs are rescued, and finished ones kept for a week."""


def beat_interval(plugins: Iterable[Plugin], longest: timedelta) -> timedelta:
    """How often a node beats: six times in the ``rescue_after`` of its ``Stalled``, or ``longest``."""
    for plugin in plugins:
        if isinstance(plugin, Stalled):
            return min(longest, duration(plugin.rescue_after, "rescue_after") / 6)
    return longest


ONCE: Final = (Pruner, Stalled)
"""What a node has one of at most."""


def checked(given: object) -> tuple[Plugin, ...]:
    """The plugins of an instance: a list of them, False for none, None or True for the default."""
    if given is None or given is True:
        return DEFAULT
    if given is False:
        return ()
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        raise ConfigurationError(
            f"plugins takes a list such as [Pruner(), Stalled()], or False, not {given!r}"
        )
    found = tuple(given)
    for plugin in found:
        if not isinstance(plugin, Plugin):
            hint = f": make an instance of it, {plugin.__name__}(...)" if _is_class(plugin) else ""
            raise ConfigurationError(
                f"plugins takes a Pruner, Stalled, Cron or LeaderTasks, not {plugin!r}{hint}"
            )
    for kind in ONCE:
        if sum(isinstance(plugin, kind) for plugin in found) > 1:
            raise ConfigurationError(f"plugins has more than one {kind.__name__}: give one")
    return found


@dataclass
class _Keys:
    """Keys that tell entries apart; entries that are alike are numbered."""

    seen: dict[str, int] = field(default_factory=dict)

    def distinct(self, key: str) -> str:
        count = self.seen[key] = self.seen.get(key, 0) + 1
        return key if count == 1 else f"{key}#{count}"


def _entries(
    kind: str,
    given: object,
    timezone: str | tzinfo,
    catch_up: timedelta | None,
    read: Callable[[object, str], tuple[Any, str]],
) -> tuple[CronEntry, ...]:
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise ConfigurationError(
            f'entries are a list of pairs such as ("0 * * * *", worker), not {given!r}'
        )
    zone = time_zone(timezone)
    keys = _Keys()
    found = []
    for place, pair in enumerate(given, 1):
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise ConfigurationError(
                f'entry {place} is a pair such as ("0 * * * *", worker), not {pair!r}'
            )
        try:
            when = crontab.parse(pair[0])
            what, name = read(pair[1], str(when))
        except ConfigurationError as error:
            raise ConfigurationError(f"entry {place}: {error}") from None
        key = keys.distinct(f"{kind}:{' '.join(str(when).split())}:{zone}:{name}")
        found.append(CronEntry(key, when, zone, what, catch_up))
    if len(found) > MAX_ENTRIES:
        raise ConfigurationError(f"there are {len(found):,} entries; {MAX_ENTRIES:,} are the most")
    return tuple(found)


def _template(what: object, expression: str) -> tuple[NewJob, str]:
    if isinstance(what, Worker):
        what = what.new()
    if not isinstance(what, NewJob):
        raise ConfigurationError(
            f"what {expression!r} inserts is a worker or worker.new(...), not {what!r}"
        )
    if what.scheduled_at is not None:
        raise ConfigurationError(
            f"what {expression!r} inserts has a scheduled_at, and would be due at that one instant "
            "each time: leave it out, or use schedule_in"
        )
    parts = [what.worker, what.queue, dict(what.args), what.tags, what.priority, what.max_attempts]
    from hashlib import blake2b  # brings OpenSSL along

    digest = blake2b(json.dumps(parts, sort_keys=True).encode(), digest_size=6).hexdigest()
    return what, f"{what.worker}:{digest}"


def _function(what: object, expression: str) -> tuple[Callable[[], Any], str]:
    if isinstance(what, Worker | NewJob):
        raise ConfigurationError(
            f"what {expression!r} calls is a plain function; {what!r} is for Cron([...])"
        )
    if not callable(what) or _is_class(what):
        raise ConfigurationError(
            f"what {expression!r} calls is a function without arguments, not {what!r}"
        )
    try:
        inspect.signature(what).bind()
    except TypeError as error:
        raise ConfigurationError(
            f"what {expression!r} calls is a function without arguments, and {what!r} needs some: {error}"
        ) from None
    except ValueError:
        pass  # a builtin that does not say what it takes
    name = getattr(what, "__qualname__", type(what).__qualname__)
    return what, f"{getattr(what, '__module__', '')}.{name}"


def _is_class(what: object) -> bool:
    return isinstance(what, type)
