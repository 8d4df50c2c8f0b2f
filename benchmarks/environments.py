"""Gives every queue an environment of its own: made once, from its pinned requirements.

They lie below BENCH_HOME (default: ``pgjobs-bench`` in the user's cache directory), under a name that
holds what they were made from, so a change of requirements or Python makes a new one. All of them have
one Python, the newest that can be had (or BENCH_PYTHON): one of the peers needs 3.12.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

VERSIONS = ("3.14", "3.13", "3.12")
INSTALL_TIMEOUT_S = 600
ASKING = "import ensurepip, sys, venv; print('%d.%d.%d' % sys.version_info[:3])"


class UnavailableError(Exception):
    """An environment that cannot be made here, and why."""


class Environments:
    """``python(requirements)`` is the interpreter of the environment made from that file."""

    def __init__(self) -> None:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        self.home = Path(os.environ.get("BENCH_HOME") or cache / "pgjobs-bench")
        self._python, self.version = newest_python()

    def python(self, requirements: Path) -> Path:
        """Makes the environment if need be. Raises UnavailableError."""
        made_from = f"{self._python} {self.version}".encode() + requirements.read_bytes()
        key = hashlib.sha256(made_from).hexdigest()[:12]
        place = self.home / f"{requirements.stem.removeprefix('bench_')}-{key}"
        python, ready = place / "bin" / "python", place / ".ready"
        if not ready.exists():
            print(f"making {place}", file=sys.stderr, flush=True)
            shutil.rmtree(place, ignore_errors=True)  # a half of one
            self.home.mkdir(parents=True, exist_ok=True)
            _run([self._python, "-m", "venv", place])
            quiet = ["--quiet", "--disable-pip-version-check", "--no-input", "--retries", "1"]
            _run([python, "-m", "pip", *quiet, "install", "--requirement", requirements])
            ready.touch()
        return python


def newest_python() -> tuple[Path, str]:
    """A Python that can make environments, and its version; our own where there is none newer.

    A shim of pyenv is on PATH for versions that are not switched on, so a name counts only if it runs.
    """
    named = os.environ.get("BENCH_PYTHON")
    if named:
        version = _version(named)
        if version is None:
            raise UnavailableError(f"BENCH_PYTHON={named} cannot make virtual environments")
        return Path(named), version
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    for each in VERSIONS:
        candidates = [f"python{each}", *map(str, sorted(pyenv.glob(f"{each}.*/bin/python")))]
        for candidate in candidates:
            found = shutil.which(candidate)
            version = _version(found) if found else None
            if found and version:
                return Path(found), version
    version = ".".join(map(str, sys.version_info[:3]))
    return Path(sys.base_prefix, "bin", "python3"), version


def _version(python: str) -> str | None:
    asked = subprocess.run([python, "-c", ASKING], capture_output=True, text=True, check=False)
    return asked.stdout.strip() if asked.returncode == 0 else None


def _run(command: list[str | Path]) -> None:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=INSTALL_TIMEOUT_S
        )
    except subprocess.TimeoutExpired as error:
        raise UnavailableError(f"not installed within {INSTALL_TIMEOUT_S} s") from error
    if done.returncode:
        said = re.sub(r"\x1b\[[0-9;]*m", "", done.stderr).strip().splitlines()
        errors = [line for line in said if line.startswith("ERROR:")] or said or ["pip failed"]
        raise UnavailableError(errors[-1].removeprefix("ERROR: "))
