"""Removes the container named by its argument once its standard input closes.

Run by path next to each container that has no ryuk: whoever holds the other end of the pipe has
died then. When it writes "removed" before it closes, there is nothing left to do.
"""

import contextlib
import sys


def main() -> None:
    if sys.stdin.buffer.read() == b"removed":
        return
    import docker.errors
    from testcontainers.core.docker_client import DockerClient

    client = DockerClient().client
    with contextlib.suppress(docker.errors.NotFound):
        client.containers.get(sys.argv[1]).remove(force=True, v=True)
    client.close()


if __name__ == "__main__":
    main()
