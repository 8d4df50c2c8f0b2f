"""What ``pgjobs`` offers by name, and what each way to import it loads."""

from __future__ import annotations

import subprocess
import sys

import pgjobs

POSTGRES = "pgjobs.adapters.postgres.store"


def test_all_that_is_imported_when_it_is_named_is_offered():
    assert {*pgjobs._LATER} <= {*pgjobs.__all__}
    assert sorted(pgjobs.__all__) == pgjobs.__all__


def after(statement: str) -> set[str]:
    """The modules that a fresh process has loaded after a statement."""
    code = f"import sys\n{statement}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {*done.stdout.split()}


def test_a_store_is_loaded_when_it_is_named_and_its_driver_only_with_a_connection():
    bare = after("import pgjobs")
    assert {POSTGRES, "pgjobs.adapters.memory", "psycopg"}.isdisjoint(bare)
    every = after("from pgjobs import *\nPostgresStore('postgresql://x'), MemoryStore()")
    assert POSTGRES in every
    assert "psycopg" not in every
