"""How many machine instructions a job takes, under valgrind's callgrind.

Two runs of different length are counted side by side, and the shorter is taken from the longer: what
is left is that of the jobs alone. The count is that of one build of Python, for compilers differ by a
third, so its bound is one for each version, and whether it was optimized with a profile.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig

from benchmarks.smoke import python
from benchmarks.smoke.bounds import Found

FEW, MANY = 100, 400
COMMAND = ("valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null")


class Instructions:
    """The runs, which go on while other things are counted. ``missing`` says why there are none."""

    def __init__(self) -> None:
        self.missing = "" if shutil.which("valgrind") else "no valgrind is installed"
        self._runs = [] if self.missing else [_begun(jobs) for jobs in (FEW, MANY)]

    def found(self) -> list[Found]:
        """Wait for the runs to end; nothing where there are none, or valgrind cannot run this Python."""
        counted = [_counted(run) for run in self._runs]
        if None in counted:
            self.missing = "valgrind cannot run this Python"
        if self.missing:
            return []
        few, many = (each or 0 for each in counted)
        name = "insert and run a job in memory: instructions"
        value = (many - few) / (MANY - FEW)
        return [Found("instructions", name, value, 0.05, build())]

    def close(self) -> None:
        """End what still runs."""
        for run in self._runs:
            if run.poll() is None:
                run.kill()
                run.communicate()


def build() -> str:
    """The build of Python, as far as it decides how many instructions there are."""
    profiled = "--enable-optimizations" in str(sysconfig.get_config_var("CONFIG_ARGS"))
    return f"{python.VERSION}{'-optimized' if profiled else ''}"


def _begun(jobs: int) -> subprocess.Popen[str]:
    """Equal hashes, no byte code written, no debugging hooks: what else would differ between two runs."""
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONHASHSEED": "0",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    return subprocess.Popen(
        [*COMMAND, sys.executable, "-B", "-m", "benchmarks.smoke.workload", str(jobs)],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def _counted(run: subprocess.Popen[str]) -> int | None:
    _, told = run.communicate()
    found = re.search(r"Collected : (\d+)", told)
    return int(found[1]) if found and run.returncode == 0 else None
