"""``make test-pooler``: find a PgBouncer, or install Debian's, and run the live tests through it.

Where none can be had it says why and succeeds: there is nothing to be learnt here.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.pooler.pgbouncer import FIRST_WITH_PREPARED, binary, version

SUITES = (
    "tests/pooler",
    "tests/live",
    "tests/stores/test_postgres.py",
    "tests/stores/test_postgres_concurrency.py",
)
LISTENING = ("hears_of", "heard_of", "wakes_it", "before_the_wait", "closed_with_effects_under_way")
"""Tests of what notifications do, or that wait for one first."""
OUTAGES = ("told_at_a_hard_end",)
"""A PgBouncer whose database refuses connections lets a query wait for two minutes."""
APT_PATIENCE_S = 120


def main(arguments: list[str]) -> int:
    """Run pytest once for each kind of pooler that there is."""
    found = binary()
    if found is None:
        why = _install()
        found = binary()
        if found is None:
            _say(f"skipped: no PgBouncer is found, and {why}")
            return 0
    modes = ["plain"]
    number = version(found)
    shown = ".".join(map(str, number))
    if number >= FIRST_WITH_PREPARED:
        modes.append("prepared")
    else:
        _say(f"PgBouncer {shown} tracks no prepared statements: one run, not two")
    codes = [_pytest(mode, shown, arguments) for mode in modes]
    return max(codes)


def _pytest(mode: str, shown: str, arguments: list[str]) -> int:
    _say(f"through PgBouncer {shown}, transaction mode, prepared statements: {mode}")
    chosen = "not (" + " or ".join(LISTENING + OUTAGES) + ")"
    command = [sys.executable, "-m", "pytest", *SUITES, "-n", "2", "-k", chosen]
    # What a statement means for any rows is shown without a pooler.
    options = ["-m", "not hypothesis", "--pgjobs-postgres", "embedded", "--pooler", mode]
    return subprocess.run([*command, *options, *arguments], check=False).returncode


def _say(line: str) -> None:
    sys.stdout.write(f"make: {line}\n")
    sys.stdout.flush()


def _install() -> str:
    """Try to; why it cannot be had otherwise."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return (
            "it cannot be installed here (that needs root and apt-get): apt-get install pgbouncer"
        )
    quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}  # starts no service
    install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", "pgbouncer"]
    said = ""
    for command in (install, ["apt-get", "update", "-qq"], install):
        try:
            done = subprocess.run(
                command,
                env=quiet,
                capture_output=True,
                text=True,
                stdin=subprocess.DEVNULL,
                timeout=APT_PATIENCE_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return f"apt-get did not answer within {APT_PATIENCE_S} s"
        if done.returncode == 0 and command is install:
            return "the package that apt-get installed has none"
        said = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
    return f"apt-get could not install it: {said}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
