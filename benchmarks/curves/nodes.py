"""Nodes in processes of their own, and how the cost of the jobs between two moments is read from them.

Nodes start on a queue that is full, and what they do first is not counted: connections are opened,
statements are prepared. Nor is the end, where a queue runs dry. Between ``warm`` and ``warm + count`` jobs,
on all nodes together, the work is in full swing.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.curves.costs import server_cpu_s
from benchmarks.curves.node import Spec

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 180.0


@dataclass(frozen=True, slots=True)
class Cost:
    """What ``jobs`` jobs cost: wall time, CPU of the nodes, CPU of the server."""

    jobs: int
    seconds: float
    node_cpu_s: float
    server_cpu_s: float

    @property
    def rate(self) -> float:
        """Jobs a second."""
        return self.jobs / self.seconds

    @property
    def node_us(self) -> float:
        """Microseconds of the nodes' CPU a job."""
        return self.node_cpu_s / self.jobs * 1e6

    @property
    def server_us(self) -> float:
        """Microseconds of the server's CPU a job."""
        return self.server_cpu_s / self.jobs * 1e6


class Process:
    """One process of nodes, and what it has said so far."""

    def __init__(self, spec: Spec) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.curves.node", spec.as_json()],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._orders, self._output = self._process.stdin, self._process.stdout
        self._rest = b""
        self._lines: deque[dict[str, Any]] = deque()
        self.ended = 0
        self.cpu_s = 0.0

    def fileno(self) -> int:
        """What is readable when it has said something."""
        return self._output.fileno()

    def hear(self) -> None:
        """Take in what it has said; it blocks until there is something.

        RuntimeError where the process has ended.
        """
        heard = os.read(self.fileno(), 1 << 16)
        if not heard:
            raise RuntimeError(f"a node ended by itself, with code {self._process.wait()}")
        *lines, self._rest = (self._rest + heard).split(b"\n")
        for text in lines:
            line: dict[str, Any] = json.loads(text)
            self.cpu_s = line["cpu_s"]
            self.ended = line.get("ended", self.ended)
            self._lines.append(line)

    def wait_for(self, key: str) -> dict[str, Any]:
        """The next line that says ``key``."""
        while True:
            while self._lines:
                line = self._lines.popleft()
                if key in line:
                    return line
            self.hear()

    def ask_cpu_s(self) -> float:
        """The CPU seconds that it has used by now."""
        self._orders.write(b"cpu\n")
        self._orders.flush()
        self.wait_for("asked")
        return self.cpu_s

    def stop(self) -> dict[str, list[float]]:
        """Stop its nodes; the seconds that timed jobs waited, by kind."""
        self._orders.close()
        waits: dict[str, list[float]] = self.wait_for("waits")["waits"]
        self._process.wait(60)
        return waits

    def kill(self) -> None:
        """End it, whatever it is doing."""
        self._process.kill()
        self._process.wait()
        self._output.close()
        with contextlib.suppress(BrokenPipeError):
            self._orders.close()


@contextlib.contextmanager
def running(specs: Sequence[Spec]) -> Iterator[list[Process]]:
    """Processes that all serve; killed at the end, if they were not stopped before."""
    processes: list[Process] = []
    try:
        processes += [Process(spec) for spec in specs]
        for process in processes:
            process.wait_for("started")
        yield processes
    finally:
        for process in processes:
            process.kill()


def measure(processes: Sequence[Process], warm: int, count: int, backend: int) -> Cost:
    """What ``count`` jobs after the first ``warm`` cost; ``backend`` is a process of the server.

    TimeoutError after three minutes. The queue has to hold so many more jobs that no process runs dry.
    """
    begin = _after(processes, warm, backend)
    end = _after(processes, warm + count, backend)
    (jobs, *before), (after_jobs, *after) = begin, end
    seconds, node_cpu_s, of_server = (b - a for a, b in zip(before, after, strict=True))
    return Cost(after_jobs - jobs, seconds, node_cpu_s, of_server)


def _after(
    processes: Sequence[Process], ended: int, backend: int
) -> tuple[int, float, float, float]:
    """Jobs, moment, CPU of the nodes and of the server, when ``ended`` jobs or more have ended."""
    until = time.monotonic() + TIMEOUT_S
    with selectors.DefaultSelector() as selector:
        for process in processes:
            selector.register(process, selectors.EVENT_READ, process.hear)
        while sum(process.ended for process in processes) < ended:
            ready = selector.select(until - time.monotonic())
            if not ready:
                raise TimeoutError(f"fewer than {ended} jobs ended in {TIMEOUT_S} s")
            for key, _ in ready:
                key.data()
    return (
        sum(process.ended for process in processes),
        time.monotonic(),
        sum(process.cpu_s for process in processes),
        server_cpu_s(backend),
    )
