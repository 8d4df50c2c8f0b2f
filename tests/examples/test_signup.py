"""The example is a downstream project: its own suite runs in each mode, from a copy outside of this one."""

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "signup"
LEFT_OUT = shutil.ignore_patterns("__pycache__", ".pytest_cache", "*.sqlite")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The example, away from this repository."""
    return shutil.copytree(EXAMPLE, tmp_path / "signup", ignore=LEFT_OUT)


@pytest.fixture
def environ() -> dict[str, str]:
    """What a shell would give it: this version of pgjobs, and no sign of the run that we are in."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return {
        **{name: value for name, value in os.environ.items() if name != "PGJOBS_CAPTURED_BY"},
        "PYTHONPATH": path,
    }


@pytest.mark.parametrize(
    "mode", ["manual", "inline", pytest.param("postgres", marks=pytest.mark.postgres)]
)
def test_its_suite_is_green_in_every_mode(mode, copy, environ, request):
    options = ["-p", "pgjobs_testing", f"--pgjobs-mode={mode}"]
    if mode == "postgres":
        options += ["--pgjobs-postgres", request.getfixturevalue("server").dsn]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-ra", *options],
        cwd=copy,
        env=environ,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    report = done.stdout + done.stderr
    assert done.returncode == 0, report
    assert f"pgjobs: mode {mode}" in report
    passed = re.search(r"(\d+) passed", report)
    assert passed is not None, report
    assert int(passed[1]) > 0
    assert "skipped" not in report


@pytest.mark.live
@pytest.mark.postgres
def test_it_is_served_live_by_the_commands_of_its_readme(copy, environ, database):
    environ |= {"SIGNUP_DATABASE": database, "PYTHONUNBUFFERED": "1"}
    pgjobs = [sys.executable, "-m", "pgjobs.cli"]
    run = {"cwd": copy, "env": environ, "text": True}
    subprocess.run([*pgjobs, "migrate", "--dsn", database], check=True, timeout=60, **run)
    with subprocess.Popen(
        [*pgjobs, "run", "signup.queue:jobs"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        **run,
    ) as node:
        assert node.stdout is not None
        over = threading.Event()
        threading.Thread(target=kill_unless, args=(over, node), daemon=True).start()
        try:
            said = list(until(node.stdout, "serving default, mail"))
            subprocess.run(
                [sys.executable, "-m", "signup", "ada@example.org"], check=True, timeout=60, **run
            )
            said += until(node.stdout, "mail to ada@example.org: Welcome!")
            node.send_signal(signal.SIGTERM)
            said += until(node.stdout, "stopped")
            assert node.wait(60) == 0, said
        finally:
            over.set()
            node.kill()


def kill_unless(over: threading.Event, node: subprocess.Popen[str]) -> None:
    """End a node that has not done its part within a minute."""
    if not over.wait(60):
        node.kill()


def until(lines: Iterable[str], text: str) -> Iterator[str]:
    """The lines up to the first one with ``text``, which must come."""
    said = []
    for line in lines:
        said.append(line)
        yield line
        if text in line:
            return
    raise AssertionError(f"{text!r} was never said:\n{''.join(said)}")


def test_the_application_knows_nothing_of_tests():
    for file in (EXAMPLE / "signup").glob("*.py"):
        assert not re.search(r"pytest|pgjobs_testing|TESTING", file.read_text(encoding="utf-8"))
