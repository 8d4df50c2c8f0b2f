"""Makes one measurement: a bench file as a process, in its own environment, on the server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.environments import Environments, UnavailableError
from benchmarks.rows import LIMITS, OURS, Run
from benchmarks.server import PORT, Server

HERE = Path(__file__).parent
OUR_REQUIREMENTS = (HERE / OURS).with_suffix(".txt")
TIMEOUT_S = 600
"""Of one run, with the rows that it may have to make first."""


class NotMeasuredError(Exception):
    """A run without a result, and why."""


@dataclass(slots=True)
class Measuring:
    """``measured(run)`` is what a run told. An environment that cannot be made is not tried again.

    Where that is our own, pgjobs and the limits run in the environment that this process runs in.
    """

    server: Server
    environments: Environments
    unavailable: dict[Path, str] = field(default_factory=dict)
    """By the file of requirements: why there is no environment."""

    def measured(self, run: Run) -> dict[str, Any]:
        """The line of JSON that the bench file printed. Raises NotMeasuredError."""
        file = _file(run)
        command = [str(self._python(file)), str(file), *run.arguments]
        environ = {
            **os.environ,
            "BENCH_HOST": self.server.host,
            "BENCH_PORT": str(PORT),
            "BENCH_BIN": str(self.server.binaries),
            "PYTHONPATH": os.pathsep.join((str(HERE.parent), str(HERE / "peers"))),
        }
        with subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environ,
            start_new_session=True,  # so that a run is ended with the processes that it started
        ) as process:
            try:
                output, errors = process.communicate(timeout=TIMEOUT_S)
            except subprocess.TimeoutExpired as error:
                raise NotMeasuredError(f"no result within {TIMEOUT_S} s") from error
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
        if process.returncode:
            said = errors.strip().splitlines() or [f"exit {process.returncode}"]
            raise NotMeasuredError(said[-1])
        told: dict[str, Any] = json.loads(output.splitlines()[-1])
        return told

    def _python(self, file: Path) -> Path:
        requirements = OUR_REQUIREMENTS if file.parent == HERE else file.with_suffix(".txt")
        if requirements not in self.unavailable:
            try:
                return self.environments.python(requirements)
            except UnavailableError as error:
                self.unavailable[requirements] = f"cannot be installed: {error}"
        if requirements == OUR_REQUIREMENTS:
            return Path(sys.executable)
        raise NotMeasuredError(self.unavailable[requirements])


def _file(run: Run) -> Path:
    return HERE / run.file if run.file in (OURS, LIMITS) else HERE / "peers" / run.file
