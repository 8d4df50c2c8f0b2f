"""What all of our own suites share: pytester for the plugin's tests, and a database of a real server.

A test that needs PostgreSQL takes ``database`` (or ``server``) and is marked ``postgres``, so that the
summary can say where it ran, and ``make test-docker`` can run it in a container too.
"""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Callable, Iterator

import hypothesis
import pytest

from pgjobs_testing.servers import Choice, Server, ServerError, choose

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts what runs in its background so, and all that a test interrupts would inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = ("pytester",)

if "CI" not in os.environ:  # there, hypothesis has a profile of its own: no deadline, no chance
    hypothesis.settings.register_profile("pgjobs", deadline=None, print_blob=True)
    hypothesis.settings.load_profile("pgjobs")

_choice = pytest.StashKey[Choice]()
_reason = pytest.StashKey[str]()
_numbers = itertools.count()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--pooler",
        choices=("plain", "prepared"),
        help="put a PgBouncer in transaction mode before the server (make test-pooler)",
    )


@pytest.fixture
def pytester(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """pytester, whose runs lack hypothesis's own plugin: that imports all of it, a fifth of a short run.

    They lack that of Django as well, which only a project of Django's needs.
    """
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:hypothesispytest -p no:django")
    return pytester


@pytest.fixture
def hypothesis_plugin(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001 - made first
    """For tests whose runs are under ``@given``."""
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:django")


@pytest.fixture(scope="session")
def server(pytestconfig: pytest.Config) -> Iterator[Server]:
    """The PostgreSQL that ``--pgjobs-postgres`` means, started once for the session."""
    option: str = pytestconfig.getoption("--pgjobs-postgres")
    image: str | None = pytestconfig.getoption("--pgjobs-image")
    try:
        chosen = choose(option, image, os.environ)
    except ServerError as error:
        if option != "auto":
            raise
        pytest.skip(f"no PostgreSQL can be had here: {error}")
    pytestconfig.stash[_choice] = chosen
    pooler: str | None = pytestconfig.getoption("--pooler")
    with chosen.server() as started:
        if pooler is None:
            yield started
            return
        from tests.pooler.pgbouncer import Pooled

        with Pooled(started, pooler) as pooled:
            yield pooled


@pytest.fixture
def new_database(server: Server) -> Iterator[Callable[[], str]]:
    """Makes an empty database at each call, and gives its DSN; they are dropped after the test."""
    names: list[str] = []

    def made() -> str:
        names.append(f"t{os.getpid()}_{next(_numbers)}")
        return server.create_database(names[-1])

    yield made
    for name in names:
        server.drop_database(name)


@pytest.fixture
def database(new_database: Callable[[], str]) -> str:
    """The DSN of an empty database."""
    return new_database()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker of xdist tells its controller which server it used."""
    chosen = session.config.stash.get(_choice, None)
    output = getattr(session.config, "workeroutput", None)
    if output is not None and chosen is not None:
        output["pgjobs_server"] = chosen.reason


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object) -> None:
    told = getattr(node, "workeroutput", {}).get("pgjobs_server")
    if told is not None:
        node.config.stash[_reason] = told  # type: ignore[attr-defined]  # an xdist node


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whoever takes a server needs PostgreSQL."""
    for item in items:
        if "server" in getattr(item, "fixturenames", ()):
            item.add_marker("postgres")


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Where the passed tests ran."""
    passed = terminalreporter.stats.get("passed", [])
    on_server = sum("postgres" in report.keywords for report in passed)
    in_docker = sum("docker" in report.keywords for report in passed)
    elsewhere = len(passed) - sum(
        "postgres" in report.keywords or "docker" in report.keywords for report in passed
    )
    chosen = config.stash.get(_choice, None)
    kind = config.stash.get(_reason, "no server") if chosen is None else chosen.reason
    terminalreporter.write_line(
        f"passed in memory or without a store: {elsewhere}; on {kind}: {on_server}; "
        f"with Docker of their own: {in_docker}"
    )


@pytest.fixture
def no_application(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test is in a project that has no ``PgJobs``: other tests' may not be collected yet."""
    for module in ("capture", "conditions"):
        monkeypatch.setattr(f"pgjobs_testing.{module}.applications", lambda *_: [])
