"""How everything is called in one schema: tables, the enum, channels; quoted, whatever its name.

Oban's channels are ``<schema>.oban_insert`` and ``<schema>.oban_signal``, with the schema's bare
name, both in Oban for Python (``_notifier.py``, ``insert_job.sql``) and in Oban for Elixir. They
differ in the payload: what SQL sends is plain JSON, what their processes send is gzipped and in
base64; both read both. Ours is ``<schema>.pgjobs``, plain JSON.

PostgreSQL cuts identifiers at 63 bytes, but ``pg_notify`` refuses longer channels. Under a schema
whose name leaves no room Oban cannot notify; then ours, with a digest for the name, carries all.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from pgjobs.rules.errors import ConfigurationError

LONGEST_NAME = 63
"""Bytes of an identifier."""


@dataclass(frozen=True)
class Names:
    """The names that SQL uses for ``schema``."""

    schema: str
    jobs: str = field(init=False)
    state: str = field(init=False)
    queues: str = field(init=False)
    nodes: str = field(init=False)
    leases: str = field(init=False)
    ticks: str = field(init=False)
    producers: str = field(init=False)
    unique: str = field(init=False)
    insert_function: str = field(init=False)
    oldest_function: str = field(init=False)
    insert_channel: str | None = field(init=False)
    signal_channel: str | None = field(init=False)
    own_channel: str = field(init=False)

    def __post_init__(self) -> None:
        checked(self.schema)
        for attribute, name in (
            ("jobs", "oban_jobs"),
            ("state", "oban_job_state"),
            ("queues", "pgjobs_queues"),
            ("nodes", "pgjobs_nodes"),
            ("leases", "pgjobs_leases"),
            ("ticks", "pgjobs_ticks"),
            ("producers", "oban_producers"),
            ("unique", "pgjobs_unique"),
            ("insert_function", "pgjobs_insert"),
            ("oldest_function", "pgjobs_oldest"),
        ):
            object.__setattr__(self, attribute, f"{quoted(self.schema)}.{name}")
        insert, signal = (_channel(self.schema, kind) for kind in ("oban_insert", "oban_signal"))
        both = insert is not None and signal is not None
        object.__setattr__(self, "insert_channel", insert if both else None)
        object.__setattr__(self, "signal_channel", signal if both else None)
        digest = hashlib.blake2b(self.schema.encode(), digest_size=16).hexdigest()
        own = _channel(self.schema, "pgjobs") or f"pgjobs_{digest}"
        object.__setattr__(self, "own_channel", own)

    @property
    def channels(self) -> tuple[str, ...]:
        """What a node listens to."""
        found = (self.insert_channel, self.signal_channel, self.own_channel)
        return tuple(channel for channel in found if channel is not None)


def migrate_command(schema: str) -> str:
    """What a shell takes to make or bring up to date the tables of ``schema``."""
    import shlex  # for messages alone

    return "pgjobs migrate" + (f" --schema {shlex.quote(schema)}" if schema != "public" else "")


def quoted(name: str) -> str:
    """An identifier as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A string constant as SQL writes it, whatever ``standard_conforming_strings`` says."""
    plain = text.replace("'", "''")
    return "'" + plain + "'" if "\\" not in plain else " E'" + plain.replace("\\", "\\\\") + "'"


def checked(schema: object) -> str:
    """The name of a schema; ``ConfigurationError`` for what PostgreSQL would not take as given."""
    if not isinstance(schema, str) or not schema or "\x00" in schema:
        raise ConfigurationError(f"schema takes the name of a schema, not {schema!r}")
    try:
        length = len(schema.encode())
    except UnicodeEncodeError:
        raise ConfigurationError(f"schema {schema!r} holds a lone surrogate") from None
    if length > LONGEST_NAME:
        raise ConfigurationError(
            f"schema {schema!r} is {length} bytes long; PostgreSQL's names have {LONGEST_NAME} at most"
        )
    return schema


def _channel(schema: str, kind: str) -> str | None:
    channel = f"{schema}.{kind}"
    return channel if len(channel.encode()) <= LONGEST_NAME else None
