"""How nodes end whose program ends without a stop: they claim nothing more, and give back what can be.

Python waits for the threads of a pool before it leaves, and a node would go on to feed them. So before it
waits, each node is told to stop, without a grace: async jobs are cancelled, processes killed, and what
waits for a thread is given back. What runs in a thread is waited for, as Python does; and then for the node
once more, which saves how that ended. An exit waits for a node no longer than twice ``PATIENCE_S``: what is
left then, such as an async job that does not listen, or a store that does not answer, is left to rescue.
"""

from __future__ import annotations

import atexit
import concurrent.futures.thread  # noqa: F401 - its own hook, which waits for its threads, is to run after ours
import logging
import threading
from datetime import timedelta
from typing import Protocol

PATIENCE_S = 5.0
"""How long an exit waits for a node before it waits for threads, and how long after it."""

log = logging.getLogger("pgjobs")


class Leaving(Protocol):
    """A node that runs in a thread."""

    @property
    def name(self) -> str: ...

    @property
    def alive(self) -> bool: ...

    def begin_to_stop(self, grace: timedelta) -> None: ...

    def join(self, patience_s: float | None) -> None: ...


class Exit:
    """The end of this process, and the nodes that it finds running."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._nodes: list[Leaving] = []
        self._watched = False

    def watch(self, node: Leaving) -> None:
        """A node starts."""
        with self._lock:
            if not self._watched:
                # The only hook that comes before Python waits for threads; concurrent.futures uses it, too.
                threading._register_atexit(self._begin)  # type: ignore[attr-defined]  # typeshed has no private names
                atexit.register(self._wait)
                self._watched = True
            self._nodes = [each for each in self._nodes if each.alive]
            self._nodes.append(node)

    def _begin(self) -> None:
        for node in self._nodes:
            if node.alive:
                log.warning(
                    "node %s: the program ends without a stop, so nothing more is claimed, and what can be "
                    "is given back",
                    node.name,
                )
                node.begin_to_stop(timedelta(0))
        self._wait()

    def _wait(self) -> None:
        for node in self._nodes:
            if node.alive:
                node.join(PATIENCE_S)


EXIT = Exit()
