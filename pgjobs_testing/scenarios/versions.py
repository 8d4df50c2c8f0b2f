"""How a timeline says what a process is that begins anew: its plugins and queues, where these are other ones.

``with stalled, cron``, ``without plugins``, ``serving [mail, default]``, or both with a comma between; names
of queues are spelt as in a scenario file, so that what is told can be read again.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Any

from pgjobs.plugins import Plugin
from pgjobs_testing.scenarios.flowing import flow
from pgjobs_testing.scenarios.source import parse
from pgjobs_testing.scenarios.values import PLUGINS

_TOLD = re.compile(
    r"(?P<plugins>with(?:out)? .*?)??(?:(?:^|, )serving (?P<queues>\[.*\]))?", re.DOTALL
)


def told_with(plugins: Sequence[Plugin] | None, queues: Collection[str] | None) -> str:
    """What a process has and serves; empty where both are None, as they were."""
    parts: list[str] = []
    if plugins is not None:
        names = ", ".join(
            re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(p).__name__).lower() for p in plugins
        )
        parts.append(f"with {names}" if names else "without plugins")
    if queues is not None:
        parts.append(f"serving {flow(list(queues))}")
    return ", ".join(parts)


def restarted_with(told: str) -> dict[str, Any]:
    """The keys of a ``restart`` that is told so."""
    found = _TOLD.fullmatch(told)
    assert found is not None, f"a timeline wrote {told!r} for a restart"
    made: dict[str, Any] = {}
    if found["plugins"] is not None:
        named = found["plugins"].removeprefix("with ").split(", ")
        made["plugins"] = [name for name in named if name in PLUGINS]
    if found["queues"] is not None:
        made["queues"] = parse("a timeline", found["queues"]).data
    return made
