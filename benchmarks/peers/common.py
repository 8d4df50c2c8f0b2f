"""What a bench file sees of the harness, under the name that the peers' own files know it by.

The directory of this file is on PYTHONPATH when a bench file runs; whoever puts another ``common``
there measures with that.
"""

from benchmarks.harness.base import Base
from benchmarks.harness.command import main
from benchmarks.harness.hits import hit, mark_start, mono, stdin_event
from benchmarks.harness.psql import HOST, PORT

__all__ = ["HOST", "PORT", "Base", "hit", "main", "mark_start", "mono", "stdin_event"]
