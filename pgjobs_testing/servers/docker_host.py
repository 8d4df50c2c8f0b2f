"""Decides whether a container can be had: does Docker answer, and is its image within reach.

A Docker without the image and without a registry that has it counts as none: pulling would hang
or fail long after the choice.
"""

import importlib.util
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import docker

PING_TIMEOUT_S = 2
REGISTRY_TIMEOUT_S = 5
SOCKET = Path("/var/run/docker.sock")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why no container can be had (its text), and what to do about it, as a sentence's start."""

    reason: str
    remedy: str
    detail: str = ""

    def __str__(self) -> str:
        return self.reason


def no_docker(environ: Mapping[str, str]) -> Refusal | None:
    """Why Docker cannot be used, or None. Takes at most PING_TIMEOUT_S to find out."""
    if importlib.util.find_spec("testcontainers") is None:
        return Refusal("testcontainers is not installed", "Install pgjobs[testing]")
    start_it = "Start Docker, or set DOCKER_HOST"
    if _surely_absent(environ):
        return Refusal("Docker does not answer", start_it)
    try:
        client = connect(environ)
    except Exception as error:  # docker's own, requests', urllib3's, paramiko's: all mean "no"
        _let_nobody_ask_again(environ)
        if "Permission denied" in str(error):
            return Refusal(
                "this user may not use Docker", "Join the group docker, or set DOCKER_HOST"
            )
        return Refusal("Docker does not answer", start_it)
    client.close()
    return None


def no_image(image: str, environ: Mapping[str, str]) -> Refusal | None:
    """Why a Docker that answers cannot have the image, or None.

    An image that is not stored there is looked up in its registry, by the daemon and without
    pulling; a registry silent for REGISTRY_TIMEOUT_S has none.
    """
    import docker.errors
    from testcontainers.core.config import testcontainers_config

    image = testcontainers_config.hub_image_name_prefix + image
    client = connect(environ)
    try:
        try:
            client.images.get(image)
        except docker.errors.ImageNotFound:
            client.api.timeout = REGISTRY_TIMEOUT_S
            client.api.inspect_distribution(image)
    except Exception:  # as above: whatever it is, the image is out of reach
        return Refusal(
            f"Docker has no image {image} and reaches no registry that has",
            f"Pull it (docker pull {image}), name another image",
        )
    finally:
        client.close()
    return None


def connect(environ: Mapping[str, str]) -> "docker.DockerClient":
    """A client of the Docker that testcontainers would use, after one exchange with it."""
    import docker
    from testcontainers.core.docker_client import get_docker_host

    host = environ.get("DOCKER_HOST") or get_docker_host()
    _knock(host or f"unix://{SOCKET}")
    environment = {**environ, "DOCKER_HOST": host} if host else dict(environ)
    client = docker.from_env(
        environment=environment,
        timeout=PING_TIMEOUT_S,
        use_ssh_client=bool(host) and str(host).startswith("ssh://"),
    )
    try:
        client.ping()
    except BaseException:
        client.close()
        raise
    return client


def _knock(host: str) -> None:
    """Raises OSError where nothing listens on a Unix socket: docker's client would, too, but
    leaves its own socket unclosed, which fails tests that take warnings for errors."""
    if host.startswith("unix://"):
        with socket.socket(socket.AF_UNIX) as knocking:
            knocking.settimeout(PING_TIMEOUT_S)
            knocking.connect("/" + host.removeprefix("unix://").lstrip("/"))


def _let_nobody_ask_again(environ: Mapping[str, str]) -> None:
    """Tell testcontainers what it would find out itself, where no Docker answers.

    It asks when one of its settings is read, as freezegun does with every name of every module, and
    leaves the socket of a vain question unclosed.
    """
    from testcontainers.core.config import testcontainers_config

    override = environ.get("TESTCONTAINERS_DOCKER_SOCKET_OVERRIDE")
    testcontainers_config.ryuk_docker_socket = override or str(SOCKET)


def _surely_absent(environ: Mapping[str, str]) -> bool:
    """No socket, and nothing that points elsewhere: saves importing the client (0.2 s)."""
    home = Path(environ.get("HOME") or Path.home())
    config = Path(environ.get("DOCKER_CONFIG") or home / ".docker") / "config.json"
    pointers = (SOCKET, config, home / ".testcontainers.properties")
    elsewhere = ("DOCKER_HOST", "DOCKER_CONTEXT", "TC_HOST", "TESTCONTAINERS_HOST_OVERRIDE")
    return not any(environ.get(name) for name in elsewhere) and not any(
        path.exists() for path in pointers
    )
