"""What holds for a whole test session: its settings, and where its stores come from."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pgjobs_testing.capture import Capture
from pgjobs_testing.settings import Settings
from pgjobs_testing.stores import MemorySource, PostgresSource, StoreSource

if TYPE_CHECKING:
    from pgjobs_testing.servers import Choice


@dataclass
class Session:
    """One run of pytest with the plugin on. ``outside`` serves what runs outside of every test."""

    settings: Settings
    option: str
    image: str | None
    memory: MemorySource = field(default_factory=MemorySource)
    postgres: PostgresSource | None = None
    outside: Capture | None = None

    def source(self, mode: str) -> StoreSource:
        """Where a test in ``mode`` gets its store."""
        if mode != "postgres":
            return self.memory
        if self.postgres is None:
            self.postgres = PostgresSource(self.choice())
        return self.postgres

    def choice(self) -> Choice:
        """The server that ``--pgjobs-postgres`` means."""
        from pgjobs_testing.servers import choose

        return choose(self.option, self.image, os.environ)

    def close(self) -> None:
        """Stop the server, if one was started."""
        if self.postgres is not None:
            self.postgres.close()


_session: Session | None = None


def begin(session: Session | None) -> None:
    """From now on this is the session; None ends it."""
    global _session  # noqa: PLW0603 - one session a process
    _session = session


def present() -> Session:
    """The session; only where the plugin is on."""
    assert _session is not None, "the plugin is not on"
    return _session


def settings() -> Settings | None:
    """The session's settings; None where the plugin is not on."""
    return None if _session is None else _session.settings


def source(mode: str) -> StoreSource | None:
    """Where a store for ``mode`` comes from; None where the plugin is not on."""
    return None if _session is None else _session.source(mode)
