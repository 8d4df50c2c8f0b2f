"""What a node's role must be allowed in the schema, and what of it the role of a store is not.

The catalogs say it, which every role may read. Only what is there is asked about: what is missing is
the business of ``inspecting``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pgjobs.adapters.postgres.values import Parameters

if TYPE_CHECKING:
    from pgjobs.adapters.postgres.store import PostgresStore

NEEDED: Mapping[str, tuple[str, ...]] = {
    "oban_jobs": ("SELECT", "INSERT", "UPDATE", "DELETE"),
    "oban_producers": ("SELECT",),
    "pgjobs_leases": ("SELECT", "INSERT", "UPDATE"),
    "pgjobs_migrations": ("SELECT",),
    "pgjobs_nodes": ("SELECT", "INSERT", "UPDATE", "DELETE"),
    "pgjobs_queues": ("SELECT", "INSERT", "UPDATE"),
    "pgjobs_ticks": ("SELECT", "INSERT", "UPDATE"),
    "pgjobs_unique": ("SELECT", "INSERT", "UPDATE"),
}
"""What nodes do with each table; ``pgjobs_migrations`` is for ``doctor`` itself."""

SCHEMA = "the schema"
"""What ``Privileges.lacking`` calls the schema itself."""

FUNCTIONS = ("pgjobs_insert", "pgjobs_oldest")


@dataclass(frozen=True, slots=True)
class Privileges:
    """The role that statements run as, and what it lacks: privileges by what they are on, in order."""

    role: str
    lacking: Mapping[str, tuple[str, ...]]


def privileges(store: PostgresStore) -> Privileges:
    """What the role of the store lacks in its schema."""
    given = Parameters()
    schema = given.text(store.schema)
    wanted = [(table, each) for table, which in NEEDED.items() for each in which]
    tables, needed = (given.texts(names) for names in zip(*wanted, strict=True))
    rows = store.query(
        f"""
WITH home AS (SELECT n.oid FROM pg_namespace n WHERE n.nspname = {schema})
SELECT current_user::text, lacking.name, lacking.privilege FROM (VALUES (true)) AS always LEFT JOIN (
  SELECT 0 AS part, {given.text(SCHEMA)} AS name, 'USAGE' AS privilege FROM home
    WHERE NOT has_schema_privilege(home.oid, 'USAGE')
  UNION ALL
  SELECT 1, c.relname::text, needed.privilege
    FROM unnest({tables}, {needed}) AS needed(name, privilege)
    JOIN pg_class c ON c.relname = needed.name JOIN home ON home.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND NOT has_table_privilege(c.oid, needed.privilege)
  UNION ALL
  SELECT 2, s.relname::text, 'USAGE'
    FROM pg_class c JOIN home ON home.oid = c.relnamespace
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'id' AND a.attidentity = ''
    JOIN pg_depend d ON d.refobjid = c.oid AND d.refobjsubid = a.attnum AND d.deptype = 'a'
    JOIN pg_sequence q ON q.seqrelid = d.objid JOIN pg_class s ON s.oid = q.seqrelid
    WHERE c.relname = 'oban_jobs' AND NOT has_sequence_privilege(q.seqrelid, 'USAGE, UPDATE')
  UNION ALL
  SELECT 3, p.proname::text, 'EXECUTE'
    FROM pg_proc p JOIN home ON home.oid = p.pronamespace
    WHERE p.proname = ANY ({given.texts(FUNCTIONS)})
      AND NOT has_function_privilege(p.oid, 'EXECUTE')
) AS lacking(part, name, privilege) ON true
ORDER BY lacking.part, lacking.name""",
        *given.values,
    )
    found: dict[str, list[str]] = {}
    for _, name, privilege in rows:
        if name is not None:
            found.setdefault(name, []).append(privilege)
    return Privileges(
        rows[0][0],
        {name: _in_order(name, which) for name, which in found.items()},
    )


def _in_order(name: str, which: list[str]) -> tuple[str, ...]:
    needed = NEEDED.get(name, tuple(which))
    return tuple(each for each in needed if each in which)
