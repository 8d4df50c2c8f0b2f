"""The process in which a node works: started from the same bench file, read line by line, ended."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
from types import TracebackType
from typing import Self

from benchmarks.harness.base import Asked
from benchmarks.harness.hits import mono

END_TIMEOUT_S = 20


class Child:
    """Ended at the end of the block, killed where it does not end by itself.

    Raises RuntimeError there if it ended by itself in an error, which its standard error tells.
    """

    def __init__(self, asked: Asked, database: str, mode: str, n: int) -> None:
        command = [sys.executable, os.path.abspath(sys.argv[0]), "_worker", "--db", database]
        command += ["--mode", mode, "--n", str(n), "--loop", asked.loop]
        command += ["--concurrency", str(asked.concurrency), "--batch", str(asked.batch)]
        command += [word for each in asked.opt for word in ("--opt", each)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._unread = b""

    def read(self, tag: str, timeout_s: float | None = None) -> str | None:
        """What follows the tag on its line; None after the timeout. Raises RuntimeError if it ended."""
        output = self._process.stdout
        assert output is not None
        until = None if timeout_s is None else mono() + timeout_s
        while True:
            while b"\n" in self._unread:
                line, _, self._unread = self._unread.partition(b"\n")
                if line.startswith(tag.encode()):
                    return line.decode().removeprefix(tag).strip()
            left = None if until is None else max(0.0, until - mono())
            if not select.select([output], [], [], left)[0]:
                return None
            more = os.read(output.fileno(), 65_536)
            if not more:
                raise RuntimeError(f"the worker's process ended before it said {tag}")
            self._unread += more

    def end(self) -> None:
        """Ask it to stop its node."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()

    def peak_rss_mb(self) -> float:
        """Megabytes (2**20 bytes); 0 where there is no /proc."""
        with contextlib.suppress(OSError), open(f"/proc/{self._process.pid}/status") as status:
            for line in status:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) / 1024
        return 0.0

    def cpu_s(self) -> float:
        """Of user and system, so far; 0 where there is no /proc."""
        with contextlib.suppress(OSError), open(f"/proc/{self._process.pid}/stat") as stat:
            fields = stat.read().rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.end()
        try:
            self._process.wait(END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        if self._process.returncode > 0 and error is None:
            raise RuntimeError(f"the worker's process ended with {self._process.returncode}")
