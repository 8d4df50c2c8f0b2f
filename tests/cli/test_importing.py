"""What the commands say of an application, or a module of ``workers``, that fails to import."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.pgjobs(mode="live")

FAILING = [
    ("x = 1\n1/0", "ZeroDivisionError: division by zero ({module}.py, line 2)"),
    ("x = (", "SyntaxError: '(' was never closed ({module}.py, line 1)"),
    ("def f():\n    raise KeyError('K\\n')\nf()", "KeyError: 'K\\n' ({module}.py, line 3)"),
    ("raise ValueError", "ValueError ({module}.py, line 1)"),
    ("import sys\nsys.exit(3)", "SystemExit: 3 ({module}.py, line 2)"),
    ("import nowhere_at_all", "No module named 'nowhere_at_all' ({module}.py, line 1)"),
    (
        "from pgjobs import Queue\nQueue(concurrency=0)",
        "the concurrency of a queue is a whole number from 1 to 100000: 0 ({module}.py, line 2)",
    ),
]
COMMANDS = [
    ("doctor", "{app}"),
    ("run", "{app}"),
    ("jobs", "explain", "1", "--app", "{app}"),
    ("queues", "list", "--app", "{app}"),
]
TAKING_WORKERS = COMMANDS[:3]


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Writes a module, and gives its name."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def made(what, source):
        name = f"{what}_{tmp_path.name}"
        (tmp_path / f"{name}.py").write_text(source)
        return name

    return made


def named(command, app):
    return [part.format(app=app) for part in command]


@pytest.mark.parametrize("source, said", FAILING)
def test_an_application_that_fails_to_import_is_refused_in_one_line(stored, written, source, said):
    module = written("failing", source)
    expected = f"the module {module!r} cannot be imported: {said.format(module=module)}"
    assert expected == stored.refusal("doctor", f"{module}:jobs", code=2)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_that_takes_an_application_refuses_so(stored, written, command):
    module = written("failing", "1/0")
    expected = f"cannot be imported: ZeroDivisionError: division by zero ({module}.py, line 1)"
    assert expected in stored.refusal(*named(command, f"{module}:jobs"), code=2)


@pytest.mark.parametrize("command", TAKING_WORKERS, ids=" ".join)
def test_a_module_of_workers_that_fails_to_import_is_refused_so(stored, written, command):
    module = written("failing", "1/0")
    app = written("shop", f"from pgjobs import PgJobs\njobs = PgJobs(workers=[{module!r}])")
    expected = (
        f"workers names the module {module!r}, which cannot be imported: "
        f"ZeroDivisionError: division by zero ({module}.py, line 1)"
    )
    assert expected == stored.refusal(*named(command, f"{app}:jobs"), code=2)
