"""Nothing in pgjobs but one adapter reads real time, chance or identity."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import pgjobs

ROOT = Path(pgjobs.__file__).parent
ALLOWED = {Path("adapters/system.py")}
MODULES = {"time", "random", "secrets", "uuid", "sched"}
CALLS = {
    "asyncio.sleep",
    "datetime.now",
    "datetime.today",
    "datetime.utcnow",
    "date.today",
    "os.urandom",
    "os.getrandom",
    "threading.Timer",
}
FILES = sorted(path.relative_to(ROOT) for path in ROOT.rglob("*.py"))


def impure(source: str) -> list[str]:
    """What reads the real world in a module's source, with its line."""
    tree = ast.parse(source)
    names: dict[str, str] = {}
    found: list[tuple[int, str]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                names[alias.asname or alias.name.partition(".")[0]] = alias.name
                if alias.name.partition(".")[0] in MODULES:
                    found.append((node.lineno, f"import {alias.name}"))
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
            if node.module.partition(".")[0] in MODULES:
                found.append((node.lineno, f"from {node.module}"))
            imported = (f"{node.module}.{alias.name}" for alias in node.names)
            found += [(node.lineno, name) for name in imported if name in CALLS]
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name | ast.Attribute):
            owner = ast.unparse(node.value).rpartition(".")[2]
            real = names.get(owner, owner).rpartition(".")[2]
            if f"{real}.{node.attr}" in CALLS:
                found.append((node.lineno, f"{real}.{node.attr}"))
    return [f"line {line}: {what}" for line, what in sorted(found)]


@pytest.mark.parametrize("path", FILES, ids=str)
def test_a_file_reads_neither_real_time_nor_chance(path: Path):
    found = impure((ROOT / path).read_text())
    if path in ALLOWED:
        assert found, "the adapter of the real world has moved: name its new place here"
    else:
        assert [] == found


@pytest.mark.parametrize(
    "source",
    [
        "import time",
        "import time as t",
        "from time import monotonic",
        "import random",
        "from random import Random",
        "import uuid",
        "import secrets",
        "from datetime import datetime\ndatetime.now()",
        "from datetime import datetime as d\nd.now()",
        "import datetime\ndatetime.datetime.now()",
        "import datetime as dt\nnow = dt.datetime.utcnow",
        "from datetime import date\ndate.today()",
        "import os\nos.urandom(3)",
        "from os import urandom",
        "import asyncio\nawait_ = asyncio.sleep",
        "from asyncio import sleep",
        "import threading\nthreading.Timer(1, print)",
        "def f():\n    import time",
    ],
)
def test_the_search_finds_what_it_looks_for(source: str):
    assert impure(source)


@pytest.mark.parametrize(
    "source",
    ["from datetime import time", "clock.now()", "self._clock.now()", "rng.random('x')"],
)
def test_the_search_lets_the_injected_ports_pass(source: str):
    assert [] == impure(source)
