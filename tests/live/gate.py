"""Processes that begin at the same time: each says that it is ready, and waits for its line of input."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


def told_by(script: str, *arguments: tuple[str, ...]) -> list[Any]:
    """What all processes print, each a JSON list, in one list; there is one for each of ``arguments``."""
    processes = [
        subprocess.Popen(
            (sys.executable, str(HERE / script), *given),
            env=os.environ | {"PYTHONPATH": str(HERE.parents[1])},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for given in arguments
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        ended = [process.communicate(timeout=120)[0] for process in released(processes)]
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
                process.wait()
    return [each for printed in ended for each in json.loads(printed)]


def released(processes: list[subprocess.Popen[str]]) -> list[subprocess.Popen[str]]:
    """Let all begin before the first is waited for."""
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    return processes
