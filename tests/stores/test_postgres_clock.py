"""No SQL of pgjobs reads the server's clock or decides by a default, but for the one probe."""

import re
from pathlib import Path

import pgjobs
from pgjobs.adapters.postgres.migrations import PROBE

ROOT = Path(pgjobs.__file__).parent
CLOCKS = re.compile(
    r"\bnow\s*\(\s*\)\s*(?:at|-|\+|,|\)|'|$)|\b(?:clock_timestamp|statement_timestamp|"
    r"transaction_timestamp|timeofday)\s*\(|\b(?:current_timestamp|localtimestamp|current_date|"
    r"current_time|localtime)\b",
    re.IGNORECASE,
)
OBANS_DEFAULT = "DEFAULT timezone('UTC', now())"
"""In the table that Oban's migrations make; every column is given explicitly."""


def sql_in(path):
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".sql":
        return text.replace(OBANS_DEFAULT, "")
    return "\n".join(re.findall(r'"""(.*?)"""|"([^"\n]*)"', text, re.DOTALL) and _strings(text))


def _strings(text):
    import ast

    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def test_only_the_probe_reads_the_servers_clock():
    found = []
    for path in sorted(ROOT.rglob("*")):
        if path.suffix in (".py", ".sql") and path.is_file():
            found += [(path.name, match[0]) for match in CLOCKS.finditer(sql_in(path))]
    assert [("migrations.py", "clock_timestamp(")] == found
    assert "SELECT clock_timestamp()" == PROBE


def test_the_search_would_find_a_clock():
    for sql in ("SELECT now()", "x < now() - y", "CURRENT_TIMESTAMP", "timezone('UTC', now())"):
        assert CLOCKS.search(sql)


def test_an_insert_gives_every_column():
    from pgjobs.adapters.postgres.names import Names
    from pgjobs.adapters.postgres.statements import plan
    from pgjobs.effects import Insert
    from pgjobs.rules.job import COLUMNS
    from pgjobs_testing.conformance.given import NOW, new

    (statement,) = plan(Insert((new(),), NOW), Names("public")).statements
    (given,) = re.findall(r"oban_jobs \((.*?)\)", statement.sql, re.DOTALL)[:1]
    assert set(COLUMNS) - {"id"} == {name.strip() for name in given.split(",")}
