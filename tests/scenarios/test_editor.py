"""An editor with the YAML language server completes, explains and checks a scenario by its schema.

Runs where ``node`` is, and PGJOBS_YAML_LANGUAGE_SERVER names the server's script (npm package
yaml-language-server, ``bin/yaml-language-server``).
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.scenarios.language_server import LanguageServer

SCHEMA = Path(__file__).parents[2] / "pgjobs_testing" / "scenarios" / "scenario.schema.json"
HEAD = f"# yaml-language-server: $schema={SCHEMA.as_uri()}\n"
FILES = sorted((Path(__file__).parents[2] / "scenarios").rglob("*.yaml"))

WRITING = """\
name: n
workers:
  Real:
    use: "shop.jobs:w"
    queue: q
  Scripted:
    queue: q
    c
    runs:
      - error: why
        c
steps:
  - at: 0s
    insert:
      worker: Scripted
      c
  - at: 5
    pause: q
  - at: 9s
    c
expect:
  - at: end
    job: x
    state: done
plugins:
  c
"""


@pytest.fixture(scope="module")
def server():
    script = os.environ.get("PGJOBS_YAML_LANGUAGE_SERVER")
    node = shutil.which("node")
    if script is None or node is None:
        pytest.skip(
            "no PGJOBS_YAML_LANGUAGE_SERVER names a script of yaml-language-server, or no node"
        )
    started = LanguageServer((node, script, "--stdio"))
    yield started
    started.close()


@pytest.fixture
def opened(server, tmp_path):
    path = tmp_path / "writing.yaml"
    path.write_text(HEAD + WRITING)
    return server.open(path)


@pytest.mark.parametrize(
    "line, column, some, none",
    [
        (8, 6, ["max_attempts", "backoff", "use"], ["queue", "runs", "concurrency"]),
        (11, 10, ["for", "insert"], ["error", "concurrency"]),
        (16, 8, ["as", "args", "schedule_in", "unique"], ["worker", "concurrency"]),
        (20, 6, ["insert", "scale", "crash", "resume_all", "database"], ["at"]),
        (24, 12, ["completed", "executing", "discarded"], ["done", "queue"]),
        (26, 4, ["cron", "pruner", "stalled"], ["queue"]),
    ],
)
def test_what_may_stand_at_a_place_is_offered(server, opened, line, column, some, none):
    offered = server.completions(opened, line + 1, column)
    assert set(some) <= set(offered)
    assert set() == set(none) & set(offered)


def test_an_empty_file_is_offered_every_key_of_the_top(server, tmp_path):
    path = tmp_path / "empty.yaml"
    path.write_text(f"{HEAD}\n")
    offered = server.completions(server.open(path), 2, 1)
    assert {"name", "workers", "steps", "expect", "plugins", "until"} <= set(offered)


@pytest.mark.parametrize(
    "line, column, said",
    [
        (1, 2, "What the scenario shows, in a sentence."),
        (4, 6, "needs --allow-imports outside pytest"),
        (10, 11, "It fails with this error, and is retried."),
        (14, 6, "A job is inserted."),
        (24, 6, "The state that it is in."),
    ],
)
def test_a_key_is_explained(server, opened, line, column, said):
    assert said in server.hover(opened, line + 1, column)


def test_what_is_wrong_is_marked_at_its_line(server, opened):
    told = server.complaints(opened)
    assert (5, "Object has more properties than limit of 1.") in told
    assert any(line == 18 and "Expected" in message for line, message in told)
    assert any(line == 25 and '"completed"' in message for line, message in told)


def test_nothing_is_marked_in_the_shipped_scenarios(server, tmp_path):
    for file in FILES:
        path = tmp_path / file.name
        path.write_text(HEAD + file.read_text("utf-8"))
        assert [] == server.complaints(server.open(path)), file.name
