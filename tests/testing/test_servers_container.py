"""The server in a container: a real one, gone with its holder; and a registry out of reach."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from pgjobs_testing.servers import ServerError, choose, docker_host
from pgjobs_testing.servers.choose import DEFAULT_IMAGE
from pgjobs_testing.servers.container import ContainerServer

ROOT = Path(__file__).parents[2]
IMAGE = os.environ.get("PGJOBS_TEST_IMAGE") or DEFAULT_IMAGE
OUT_OF_REACH = "127.0.0.1:1/nobody/postgres:17"  # no registry listens there

pytestmark = pytest.mark.docker

HOLD = """
import sys
from pgjobs_testing.servers.container import ContainerServer
server = ContainerServer(sys.argv[1]).start()
print(server.container_id, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def docker() -> Iterator[Any]:
    refusal = docker_host.no_docker(os.environ)
    if refusal:
        pytest.skip(f"{refusal}: {refusal.remedy}")
    client = docker_host.connect(os.environ)
    yield client
    client.close()


@pytest.fixture
def image(docker: Any) -> str:
    refusal = docker_host.no_image(IMAGE, os.environ)
    if refusal:
        pytest.skip(f"{refusal}: {refusal.remedy} or PGJOBS_TEST_IMAGE")
    return IMAGE


def test_it_is_a_container_and_leaves_with_its_data(docker, image):
    choice = choose("testcontainers", image, os.environ)
    assert choice.reason == f"{image} in Docker by testcontainers (as asked for)"
    with choice.server() as server:
        assert isinstance(server, ContainerServer)
        container_id = server.container_id
        container = docker.containers.get(container_id)
        assert container.status == "running"
        assert image in container.attrs["Config"]["Image"]
        assert container_id[:12] in server.description
        with psycopg.connect(server.create_database("gw0")) as connection:
            assert connection.execute("SHOW fsync").fetchone() == ("off",)
        server.drop_database("gw0")
    assert container_id not in [left.id for left in docker.containers.list(all=True)]


def test_auto_takes_docker_when_it_has_the_image(image):
    environ = {name: value for name, value in os.environ.items() if name != "PGJOBS_TEST_DSN"}
    choice = choose("auto", image, environ)
    assert choice.kind == "testcontainers"
    assert choice.reason == f"{image} in Docker by testcontainers (no PGJOBS_TEST_DSN)"


def test_auto_leaves_a_docker_whose_image_is_out_of_reach(docker):
    environ = {name: value for name, value in os.environ.items() if name != "PGJOBS_TEST_DSN"}
    choice = choose("auto", OUT_OF_REACH, environ)
    assert choice.kind == "embedded"
    assert f"Docker has no image {OUT_OF_REACH} and reaches no registry" in choice.reason


def test_an_image_out_of_reach_is_refused_by_name_and_leaves_nothing(docker):
    before = len(docker.containers.list(all=True))
    server = choose("testcontainers", OUT_OF_REACH, os.environ).server()
    with pytest.raises(ServerError, match=r"container of 127\.0\.0\.1:1/.*--pgjobs-image"):
        server.start()
    assert len(docker.containers.list(all=True)) == before


def test_killing_the_holder_removes_the_container(docker, image):
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, image],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout
        container = docker.containers.get(holder.stdout.readline().strip())
        holder.kill()
        container.wait(condition="removed", timeout=60)
    assert container.id not in [left.id for left in docker.containers.list(all=True)]
