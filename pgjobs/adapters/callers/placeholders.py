"""How ``$1`` is written for drivers that know ``%(name)s`` alone.

Numbered parameters may stand in any order and several times. What is quoted (a schema may be called
``$1``) is no parameter, and every ``%`` is doubled, in quotes too.
"""

from __future__ import annotations

import re
from functools import lru_cache

from pgjobs.adapters.postgres.statement import Statement

_MARK = re.compile(
    r"""
    "(?:[^"]|"")*"                      # an identifier
  | \bE'(?:[^'\\]|\\.|'')*'             # a constant with escapes
  | '(?:[^']|'')*'                      # a constant
  | \$(?P<number>[0-9]+)
    """,
    re.VERBOSE | re.DOTALL,
)


def named(statement: Statement) -> tuple[str, dict[str, str | None]]:
    """The SQL with ``%(p1)s`` for ``$1``, and the parameters by these names."""
    values = {f"p{n}": value for n, value in enumerate(statement.parameters, 1)}
    return _named_sql(statement.sql), values


@lru_cache(maxsize=64)
def _named_sql(sql: str) -> str:
    def written(match: re.Match[str]) -> str:
        number = match["number"]
        return match[0] if number is None else f"%(p{number})s"

    return _MARK.sub(written, sql.replace("%", "%%"))
