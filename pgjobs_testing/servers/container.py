"""Runs PostgreSQL in a container, by testcontainers, and sees that it ends with us.

Who removes the container after a `kill -9` of the tests: ryuk, testcontainers' reaper, and where
that is switched off, or its image cannot be had, a guard process of ours.
"""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pgjobs_testing.servers import docker_host
from pgjobs_testing.servers.server import Server, ServerError

if TYPE_CHECKING:
    from testcontainers.community.postgres import PostgresContainer

GUARD = Path(__file__).with_name("container_guard.py")
COMMAND = "postgres -c fsync=off -c full_page_writes=off -c max_connections=300"
READY_POLL_S = 0.1  # testcontainers' own is 1 s
LAST_WORDS_BYTES = 2000


class ContainerServer(Server):
    """A throwaway server in a container of the given image, which honours POSTGRES_PASSWORD as
    the official one does. The image is pulled when Docker does not hold it."""

    def __init__(self, image: str) -> None:
        super().__init__()
        self._image = image
        self._container: PostgresContainer | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    @property
    def container_id(self) -> str:
        """As `docker ps` has it, in full."""
        if self._container is None:
            raise ServerError("the container is not running: call start() first")
        return str(self._container.get_wrapped_container().id)

    @property
    def description(self) -> str:
        where = super().description
        return f"{where}, container {self.container_id[:12]} of {self._image}"

    def _start(self) -> str:
        name = f"pgjobs-test-{self._token}"
        try:
            with _settings() as ryuk:
                if not ryuk:
                    self._guard = _start_guard(name)
                self._container = _postgres_container()(
                    self._image,
                    username="postgres",
                    password=os.urandom(12).hex(),
                    dbname="postgres",
                    driver=None,
                )
                self._container.with_name(name).with_command(COMMAND).start()
                url: str = self._container.get_connection_url()
                _spare_the_disk(url)
                return url
        except Exception as error:  # docker's, requests', testcontainers' and builtin ones
            raise ServerError(
                f"no PostgreSQL in a container of {self._image}: {type(error).__name__}: {error}"
                f"{self._last_words()}. Try `docker run {self._image}`, name another image "
                f"({self.prefix}image), or use {self.prefix}postgres embedded"
            ) from error

    def _stop(self) -> None:
        container, self._container = self._container, None
        guard, self._guard = self._guard, None
        word = b""  # the pipe just closes, and the guard tries in its turn
        try:
            if container is not None:
                container.stop()
            word = b"removed"
        except Exception as error:  # as in _start
            if type(error).__name__ != "NotFound":  # docker's: somebody else removed it
                raise ServerError(
                    f"the container could not be removed: {error}. See `docker ps --filter "
                    f"name=pgjobs-test-{self._token}`"
                ) from error
        finally:
            if guard is not None:
                guard.communicate(word)

    def _last_words(self) -> str:
        with contextlib.suppress(Exception):  # there may be no container yet, or no more
            assert self._container is not None
            out, err = self._container.get_logs()
            said = (out + err).decode(errors="replace").strip()[-LAST_WORDS_BYTES:]
            return f" (the container said: {said})" if said else ""
        return ""


def _spare_the_disk(url: str) -> None:
    """As ``COMMAND`` does, for images that ignore a command: nothing here is to outlive a crash."""
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET fsync = off")
        connection.execute("ALTER SYSTEM SET full_page_writes = off")
        connection.execute("SELECT pg_reload_conf()")


def _postgres_container() -> "type[PostgresContainer]":
    try:
        from testcontainers.community.postgres import PostgresContainer
    except ImportError:  # before 4.15
        from testcontainers.postgres import PostgresContainer
    return PostgresContainer


@contextlib.contextmanager
def _settings() -> Iterator[bool]:
    """testcontainers' settings for our start, put back afterwards; yields whether ryuk is on."""
    from testcontainers.core.config import testcontainers_config as config

    before = config.sleep_time, config.max_tries, config.ryuk_disabled
    config.max_tries = round(config.sleep_time * config.max_tries / READY_POLL_S)
    config.sleep_time = READY_POLL_S
    if not config.ryuk_disabled:
        config.ryuk_disabled = docker_host.no_image(config.ryuk_image, os.environ) is not None
    try:
        yield not config.ryuk_disabled
    finally:
        config.sleep_time, config.max_tries, config.ryuk_disabled = before


def _start_guard(name: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-P", str(GUARD), name],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # a Ctrl-C must not end it before its work
    )
