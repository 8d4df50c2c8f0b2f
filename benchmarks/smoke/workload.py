"""What is run under callgrind: so many jobs are inserted and run by a stepped node, in memory."""

from __future__ import annotations

import gc
import sys

from benchmarks.smoke.stepped import Stepped
from pgjobs import MemoryStore, Queue


def main(jobs: int) -> None:
    gc.disable()  # when it runs depends on what was allocated since the interpreter began
    node = Stepped(MemoryStore(), Queue(concurrency=100))
    node.insert(jobs)
    assert node.run() == jobs


if __name__ == "__main__":
    main(int(sys.argv[1]))
