"""The options of one test: what the marker and ``harness(...)`` take, checked when they are given.

The rules that check them are imported when somebody gives one: a run without any may need nothing of pgjobs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pgjobs.plugins import Plugin
    from pgjobs.rules.options import Queue

MODES = ("manual", "inline", "postgres", "live")

MOST_SEED = 2**64 - 1
"""The largest that a scenario file may have, so that each test's can be written into one."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How one test runs: the options of the marker."""

    mode: str = "manual"
    queues: Mapping[str, Queue] | None = None
    plugins: tuple[Plugin, ...] | None = None
    seed: int = 0
    start: datetime | None = None
    jitter: bool = False
    freeze: bool = False
    strict: bool = False


def check_mode(mode: object) -> str:
    """A mode's name; ``ConfigurationError`` for another."""
    if isinstance(mode, str) and mode in MODES:
        return mode
    from pgjobs.rules.errors import ConfigurationError, nearest

    if not isinstance(mode, str):
        raise ConfigurationError(f"a mode is one of {', '.join(MODES)}, not {mode!r}")
    raise ConfigurationError(f"unknown mode {mode!r}{nearest(mode, MODES)}")


def check_seed(seed: object, option: str) -> None:
    """``ConfigurationError`` for what is no seed."""
    from pgjobs.rules.errors import ConfigurationError, shown

    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed <= MOST_SEED:
        raise ConfigurationError(
            f"{option} takes a whole number from 0 to {MOST_SEED}, not {shown(seed)}"
        )


def start_given(option: str | None, ini: str) -> datetime | None:
    """Where clocks begin: by the option, else by the ini; None where neither is given."""
    if option is not None:
        return start_of(option, "--pgjobs-start")
    return start_of(ini, "pgjobs_start") if ini else None


def start_of(text: str, option: str) -> datetime:
    """The instant that ``--pgjobs-start`` or its ini names; ``ConfigurationError`` for another text."""
    from pgjobs.rules.errors import ConfigurationError
    from pgjobs.rules.schedule import instant

    try:
        return instant(datetime.fromisoformat(text), option)
    except ValueError:  # ConfigurationError is one
        raise ConfigurationError(
            f"{option} takes an instant such as 2025-01-01T12:00:00Z, with its time zone, "
            f"not {text!r}"
        ) from None


def shown_start(at: datetime) -> str:
    """An instant as ``start_of`` reads it."""
    return f"{at.astimezone(UTC).replace(tzinfo=None).isoformat()}Z"


def settings_with(settings: Settings, given: Mapping[str, Any]) -> Settings:
    """``settings`` with what a marker or ``harness(...)`` gives."""
    if not given:
        return settings
    from pgjobs.plugins import checked as checked_plugins
    from pgjobs.rules import options
    from pgjobs.rules.errors import ConfigurationError, reject_unknown
    from pgjobs.rules.schedule import instant

    accepted = ("mode", "queues", "plugins", "seed", "start", "jitter", "freeze", "strict")
    reject_unknown(given, accepted, "option of pgjobs")
    changes = dict(given)
    if "mode" in changes:
        check_mode(changes["mode"])
    check_seed(changes.get("seed", 0), "seed")
    for switch in ("jitter", "freeze", "strict"):
        if not isinstance(changes.get(switch, False), bool):
            raise ConfigurationError(f"{switch} takes True or False, not {changes[switch]!r}")
    if changes.get("queues") is not None:
        changes["queues"] = options.queues(changes["queues"])
    if changes.get("plugins") is not None:
        changes["plugins"] = checked_plugins(changes["plugins"])
    if changes.get("start") is not None:
        changes["start"] = instant(changes["start"], "start")
    chosen = replace(settings, **changes)
    if chosen.freeze:
        _check_freeze(chosen)
    return chosen


def _check_freeze(chosen: Settings) -> None:
    from pgjobs.rules.errors import ConfigurationError

    if chosen.mode == "live":
        raise ConfigurationError(
            "freeze=True holds time at the test's clock, and mode live has none: use another mode"
        )
    from pgjobs_testing.freezing import check_installed

    check_installed()
