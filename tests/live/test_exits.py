"""A program that ends without a stop: its process ends, and what it had claimed is settled or given back."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.live.exiting import CONCURRENCY, JOBS

PATIENCE_S = 60


@pytest.mark.parametrize("how, code", [("returns", 0), ("raises", 1)])
def test_a_program_that_ends_without_a_stop_ends_and_leaves_nothing_executing(how: str, code: int):
    ended = subprocess.run(
        [sys.executable, "-m", "tests.live.exiting", how],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert code == ended.returncode, ended.stderr
    told = json.loads(ended.stdout)
    assert CONCURRENCY == told["ran"]
    assert {
        "default": {"completed": CONCURRENCY, "available": JOBS - CONCURRENCY},
        "loop": {"available": JOBS},
    } == told["states"]
    assert 0 == told["attempts"]
    assert "the program ends without a stop" in ended.stderr
    assert "an error in the engine" not in ended.stderr
