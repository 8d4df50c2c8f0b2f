"""The pytest plugin: ``pytest -p pgjobs_testing``, or ``addopts``, or ``pytest_plugins``.

It captures every ``PgJobs`` of the project under test, gives each test its own engine, store and
clock, and offers the fixture ``jobs``. Installing the package changes nothing; naming the plugin
does.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Generator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pgjobs_testing import marking, session
from pgjobs_testing.arrival import PACKAGE as ENGINE
from pgjobs_testing.arrival import Arrival
from pgjobs_testing.session import MARK, Session
from pgjobs_testing.settings import (
    MODES,
    Settings,
    check_mode,
    check_seed,
    shown_start,
    start_given,
)

if TYPE_CHECKING:
    from pgjobs_testing.capture import Capture
    from pgjobs_testing.fixture import Harness
    from pgjobs_testing.simulation.fixture import Campaigns

MARKER = (
    "pgjobs(mode, queues, plugins, seed, start, jitter, freeze, strict): how pgjobs runs in this test. "
    "mode: manual, inline, postgres or live, or a list of these to run the test once in each; "
    "queues and plugins: as for PgJobs, in place of the application's; seed: of every random choice; "
    "start: the aware instant at which the clock stands; jitter: True for backoffs with theirs; "
    "freeze: True for an application whose datetime.now() is that clock; "
    "strict: True fails a test that never looked at a job that failed or was left over. The nearest "
    "marker wins, option by option."
)


PACKAGE = "pgjobs_testing"


class WiderFixtureWarning(pytest.PytestWarning):
    """A fixture of wider scope than a test did something to jobs."""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("pgjobs", "pgjobs: jobs under test")
    group.addoption(
        "--pgjobs-mode",
        choices=MODES,
        help="manual: jobs run when the test says so; inline: when they are inserted; postgres: "
        "manual, on a real server; live: nothing is captured (default: ini pgjobs_mode, or manual)",
    )
    group.addoption(
        "--pgjobs-postgres",
        default="auto",
        metavar="auto|embedded|testcontainers|DSN",
        help="the server of mode postgres (auto: PGJOBS_TEST_DSN, then Docker, then embedded)",
    )
    group.addoption("--pgjobs-image", metavar="IMAGE", help="the image for testcontainers")
    group.addoption(
        "--pgjobs-seed", type=int, metavar="N", help="the seed of every random choice of pgjobs"
    )
    group.addoption(
        "--pgjobs-seeds",
        type=int,
        default=10,
        metavar="COUNT",
        help="how many seeds a simulated campaign plays that does not say so (default: 10)",
    )
    group.addoption(
        "--pgjobs-start",
        metavar="INSTANT",
        help="where the clock stands when a test begins, such as 2025-01-01T12:00:00Z (default: ini "
        "pgjobs_start, or real time, rounded up to a second)",
    )
    parser.addini("pgjobs_mode", "the mode of tests that do not name one", default="manual")
    parser.addini("pgjobs_start", "where the clock stands when a test begins that does not say so")
    parser.addini(
        "pgjobs_plugins",
        "false: the recurring duties of the application's PgJobs rest in tests that do not name any",
        type="bool",
        default=True,
    )
    parser.addini(
        "pgjobs_strict",
        "fail each test that never looked at a job that failed or was left over",
        type="bool",
        default=False,
    )
    parser.addini(
        "pgjobs_scenarios",
        "directories whose *.yaml and *.yml are scenarios",
        type="paths",
        default=[],
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", MARKER)
    config.addinivalue_line("markers", "pgjobs_scenario: a scenario file (the plugin marks them)")
    if config.pluginmanager.is_blocked(PACKAGE):  # -p no:pgjobs_testing, after addopts loaded it
        config.pluginmanager.unregister(sys.modules[__name__])
        return
    try:
        mode = check_mode(config.getoption("--pgjobs-mode") or config.getini("pgjobs_mode"))
    except ValueError as error:  # ConfigurationError is one
        raise pytest.UsageError(f"pgjobs_mode: {error}") from None
    if config.getini("pgjobs_scenarios"):
        from pgjobs_testing.scenarios.collect import check_ini

        check_ini(config)
    seed = config.getoption("--pgjobs-seed")
    try:
        start = start_given(config.getoption("--pgjobs-start"), config.getini("pgjobs_start"))
        if seed is not None:
            check_seed(seed, "--pgjobs-seed")
    except ValueError as error:
        raise pytest.UsageError(str(error)) from None
    given = getattr(config, "workerinput", {})
    if seed is None:
        handed = given.get("pgjobs_seed")
        seed = int.from_bytes(os.urandom(4), "big") if handed is None else handed  # noqa: TID251 - a run's seed is drawn once, and printed
    plugins = None if _switch(config, "pgjobs_plugins") else ()
    strict = _switch(config, "pgjobs_strict")
    begun = Session(
        Settings(mode, plugins=plugins, seed=seed, start=start, strict=strict),
        config.getoption("--pgjobs-postgres"),
        config.getoption("--pgjobs-image"),
        worker=given.get("workerid"),
        desk_address=given.get("pgjobs_desk"),
    )
    session.begin(begun)
    if mode != "live":
        os.environ[MARK] = str(os.getpid())
    begun.arrival = Arrival(begun.awake)


def _switch(config: pytest.Config, name: str) -> bool:
    try:
        return bool(config.getini(name))
    except (ValueError, pytest.UsageError) as error:  # the former of pytest 8
        raise pytest.UsageError(f"{name}: {error}; expected true or false") from None


def pytest_unconfigure() -> None:
    if session.settings() is None:
        return
    ended = session.present()
    os.environ.pop(MARK, None)
    ended.close()
    session.begin(None)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """xdist: each worker draws from the controller's seed, and asks it for databases."""
    here = session.present()
    node.workerinput["pgjobs_seed"] = here.settings.seed
    node.workerinput["pgjobs_desk"] = here.address()


def pytest_report_header() -> list[str]:
    here = session.present()
    mode, seed = here.settings.mode, here.settings.seed
    start = here.settings.start
    held = "" if start is None else f" --pgjobs-start {shown_start(start)}"
    lines = [f"pgjobs: mode {mode}, --pgjobs-seed {seed}{held}"]
    if mode == "postgres" or here.option != "auto":
        from pgjobs_testing.servers import ServerError

        try:
            lines.append(f"pgjobs: {here.choice.reason}")
        except ServerError as error:
            raise pytest.UsageError(str(error)) from None
    return lines


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    if file_path.suffix not in (".yaml", ".yml"):
        return None
    from pgjobs_testing.scenarios.collect import collect_file

    return collect_file(file_path, parent)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What the tests use is imported while time is real: some will hold it by freezegun."""
    if any("jobs" in getattr(item, "fixturenames", ()) for item in items):
        from pgjobs_testing import fixture  # noqa: F401 - see above


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    marking.parametrize(metafunc)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Each test has a capture of its own, and leaves workers and handlers as it found them."""
    here = session.present()
    if item.get_closest_marker(marking.NAME) is not None:
        import pgjobs  # noqa: F401 - its marker is about it
    with here.test(item):
        return (yield)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """A marker that cannot be is an error of its test alone."""
    if (capture := _capture_of(item)) is not None:
        from pgjobs_testing.isolation import MISTAKE

        capture.process = os.getpid()  # where each test is run in a fork, the fork is its process
        if (mistake := item.stash.get(MISTAKE, None)) is not None:
            pytest.fail(mistake, pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """A test that passed fails for a call that it did not await, and a strict one for the jobs that it never
    looked at, unless it may fail."""
    result = yield
    capture = _capture_of(item)
    _fail_for_what_was_forgotten(capture)
    if capture is None or not capture.settings.strict or item.get_closest_marker("xfail"):
        return result
    from pgjobs_testing import strictness

    if (complaint := strictness.complaint(capture)) is not None:
        pytest.fail(complaint, pytrace=False)
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, object, object]:
    """What fixtures forgot to await, or kept until now."""
    result = yield
    _fail_for_what_was_forgotten(_capture_of(item))
    return result


def _fail_for_what_was_forgotten(capture: Capture | None) -> None:
    if capture is not None and capture.forgotten:
        from pgjobs_testing import forgotten

        pytest.fail(forgotten.complaint(forgotten.taken(capture)), pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failing test's report points at its own line, and shows what happened, in virtual time."""
    if call.excinfo is not None and ENGINE in sys.modules:
        from pgjobs_testing import tracebacks

        tracebacks.hide(call.excinfo)
    report = yield
    if report.failed and (capture := _capture_of(item)) is not None:
        from pgjobs_testing.report import sections

        if capture.forgotten:
            from pgjobs_testing import forgotten

            told = forgotten.complaint(forgotten.taken(capture))
            report.sections.append(("pgjobs: not awaited", told))
        report.sections += sections(capture, session.present().block, item)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[Any]) -> Generator[None, object, object]:
    """What a fixture of wider scope inserts belongs to no test, whichever of them comes first."""
    here = session.present()
    if fixturedef.scope == "function":
        return (yield)
    with ExitStack() as ending:
        told = here.beneath_tests(ending)
        before = told()
        result = yield
    if told() > before:
        warnings.warn(
            WiderFixtureWarning(
                f"the {fixturedef.scope}-scoped fixture {fixturedef.argname!r} did something to jobs, "
                "which no test sees, since each has a store of its own: do so in a fixture of "
                "function scope, or in the test"
            ),
            stacklevel=1,
        )
    return result


def _capture_of(node: pytest.Item) -> Capture | None:
    """What stands in for production in this test; None where nobody has imported pgjobs."""
    if (isolation := sys.modules.get("pgjobs_testing.isolation")) is None:
        return None
    found: Capture | None = node.stash.get(isolation.CAPTURE, None)
    return found


@pytest.fixture
def jobs(request: pytest.FixtureRequest) -> Harness:
    """The application's jobs in the hand of the test: its client, its clock, and what to assert.
    Every PgJobs of the project is captured, as it is: what it inserts goes to the test's own store,
    and nothing runs until the test says so. A first test:
        from shop.jobs import send_mail          # a function with @pgjobs.worker
        from shop.views import sign_up           # inserts send_mail.new({"to": email})
        def test_signing_up_sends_a_mail(jobs, mailbox):
            sign_up("ada@example.org")
            jobs.assert_enqueued(worker=send_mail, args={"to": "ada@example.org"})
            assert jobs.drain_queue() == {"completed": 1}
            assert len(mailbox) == 1
            jobs.advance(3600)                   # an hour passes: retries, schedules, cron
            jobs.refute_enqueued(worker=send_mail)
    look at     jobs.assert_enqueued(...), jobs.refute_enqueued(...), jobs.all_enqueued(...) by worker,
                queue, args, meta, tags, state, scheduled_at ...; with jobs.expect_enqueued(...): what a
                block inserts; jobs.assert_performed(...), jobs.assert_order([...]), jobs.assert_event(...)
    understand  print(jobs.timeline): what happened; jobs.timeline.to_html(), .to_svg(), .to_scenario();
                print(jobs.explain(job)): why it has not run
    run         jobs.drain_queue(), all that is due now; jobs.perform_job(worker, args), one run without
                storing anything; jobs.build_job(worker, args), the job that a worker would get;
                jobs.assert_idempotent(worker, args), that a second run changes nothing
    time        jobs.advance(60), jobs.travel_to(instant): everything in between happens, at its own
                instant; jobs.clock.now()
    the client  jobs.insert, jobs.get_job, jobs.all_jobs, jobs.count_jobs, jobs.cancel_job,
                jobs.retry_job, jobs.pause_queue ..., as on PgJobs
    modes       @pytest.mark.pgjobs(mode="inline") runs due jobs inside insert, mode="postgres" is on a
                real server; with jobs.mode("inline"): for a block
    instances   jobs is the application's only PgJobs, or the one named "default"; jobs["other"] another
    In an async test await the twins: jobs.advance_async(60), jobs.drain_queue_async() ...
    More: pytest --markers, pytest --help (group pgjobs), docs/reference/plugin.md
    """
    # No blank line above: pytest --fixtures shows what comes before the first, unless -v is given.
    if request.config.pluginmanager.is_blocked(PACKAGE):
        raise pytest.UsageError(
            "-p no:pgjobs_testing switches the plugin off, so there is no fixture 'jobs': leave the "
            "option out, or this test"
        )
    from pgjobs_testing.fixture import Harness

    capture = _capture_of(request.node)
    if capture is None:
        raise pytest.UsageError("the fixture 'jobs' belongs to one test: use it in function scope")
    if capture.mode == "live":
        raise pytest.UsageError(
            "in mode live nothing is captured, so there is no fixture 'jobs': use the "
            "application's own PgJobs, or another mode"
        )
    return Harness(capture)


@pytest.fixture(scope="session")
def pgjobs_dsn(request: pytest.FixtureRequest) -> str:
    """The DSN of the database that this run's tests have in mode postgres, for the application's own tables.
    It is there in every mode; to ask for it starts the server. With xdist each worker has its own. Before
    each test on it the tables of pgjobs are emptied, and no other:
        @pytest.fixture(scope="session")
        def engine(pgjobs_dsn):
            engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(pgjobs_dsn))
            Base.metadata.create_all(engine)
            yield engine
            engine.dispose()
    More: docs/how-to/run-on-postgres.md
    """
    if request.config.pluginmanager.is_blocked(PACKAGE):
        raise pytest.UsageError(
            "-p no:pgjobs_testing switches the plugin off, so there is no fixture 'pgjobs_dsn': leave "
            "the option out, or this test"
        )
    return session.present().on_server.dsn


@pytest.fixture
def campaign(request: pytest.FixtureRequest) -> Campaigns:
    """Plays simulated worlds by their seeds: nodes, jobs and faults on virtual time, all invariants checked.
    It fails with every alarm, the command that plays its seed again, and its scenario as a file:
        def test_nothing_breaks_where_nodes_crash(campaign):
            summary = campaign(seeds=20, faults=["crash", "restart"], hours=0.5)
            assert summary.marks["rescued"] > 0
    seeds       a number of them, from --pgjobs-seed on (by default --pgjobs-seeds), or a range
    the world   nodes=3, jobs=200, hours=1, faults="all", store="memory", "postgres" or "both"; world=: a
                function of your own, of a seed, the options and an empty store, that returns a Verdict
    how long    processes=0 (this one plays); time=: seeds upward for so many seconds of real time
    the answer  a summary: played, marks, digest, virtual_s, events
    The same from a shell: pgjobs-testing simulate. More: docs/how-to/simulate-a-cluster.md
    """
    from pgjobs_testing.simulation.fixture import Campaigns

    if request.config.pluginmanager.is_blocked(PACKAGE):
        raise pytest.UsageError(
            "-p no:pgjobs_testing switches the plugin off, so there is no fixture 'campaign': leave "
            "the option out, or this test"
        )
    seeds: int = request.config.getoption("--pgjobs-seeds")
    if seeds < 1:
        raise pytest.UsageError(f"--pgjobs-seeds takes a number from 1 on, not {seeds}")
    capture = _capture_of(request.node)
    if capture is None:
        raise pytest.UsageError(
            "the fixture 'campaign' belongs to one test: use it in function scope"
        )
    return Campaigns(
        session.present(),
        first=capture.settings.seed,
        seeds=seeds,
        store="postgres" if capture.mode == "postgres" else "memory",
        directory=lambda: request.getfixturevalue("tmp_path"),
    )
