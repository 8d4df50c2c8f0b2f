"""The scenarios at the top of the repository hold on both stores, and the shipped schema is the models'."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pgjobs.adapters.memory import MemoryStore
from pgjobs.adapters.postgres.store import PostgresStore
from pgjobs_testing.scenarios.read import read
from pgjobs_testing.scenarios.replay import replay, store_difference
from pgjobs_testing.scenarios.schema import json_schema
from pgjobs_testing.stores import LocalPostgres

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "scenarios").rglob("*.yaml"))
NAMES = [path.stem for path in FILES]


@pytest.fixture(scope="module")
def postgres(server):
    store = PostgresStore(server.create_database("scenarios"))
    store.migrate()
    yield LocalPostgres(store)
    store.close()
    server.drop_database("scenarios")


def test_there_are_at_least_fourteen():
    assert len(FILES) >= 14


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_a_shipped_scenario_holds_in_memory(path):
    scenario, source = read(path)
    result = replay(scenario, source, MemoryStore())
    assert [] == [failure.text(source) for failure in result.failures]


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_a_shipped_scenario_has_the_digest_that_it_has_on_every_python_and_hash_seed(path):
    scenario, source = read(path)
    digests = json.loads((ROOT / "tests" / "scenarios" / "digests.json").read_text("utf-8"))
    assert digests[path.stem] == replay(scenario, source, MemoryStore()).trace.digest()


@pytest.mark.parametrize("seed", ["0", "1", "4242"])
def test_the_digests_do_not_depend_on_the_hash_seed(seed):
    summary = subprocess.run(
        (sys.executable, "-m", "pgjobs_testing.cli", "replay", "scenarios", "--store", "memory"),
        cwd=ROOT,
        env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    digests = json.loads((ROOT / "tests" / "scenarios" / "digests.json").read_text("utf-8"))
    for name, digest in digests.items():
        assert f"{name}.yaml" in summary
        assert f" {digest}, memory" in summary


@pytest.mark.pgjobs(mode="live")  # the test opens the database of its own
@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_a_shipped_scenario_has_the_same_trace_on_postgres(path, postgres):
    scenario, source = read(path)
    postgres.clear()
    result = replay(scenario, source, postgres, store_name="postgres")
    assert [] == [failure.text(source) for failure in result.failures]
    assert store_difference(replay(scenario, source, MemoryStore()), result, source) is None


def test_every_shipped_scenario_says_what_it_shows():
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        assert text.startswith("#"), f"{path.name} begins with no comment"
    names = [read(path)[0].name for path in FILES]
    assert len(set(names)) == len(names)


def test_the_shipped_schema_is_that_of_the_models():
    shipped = ROOT / "pgjobs_testing" / "scenarios" / "scenario.schema.json"
    written = json.loads(shipped.read_text(encoding="utf-8"))
    assert json_schema() == written, f"renew it: pgjobs-testing schema {shipped.relative_to(ROOT)}"
    assert "http://json-schema.org/draft-07/schema#" == json_schema()["$schema"]
