"""Strategies for hypothesis: what users give to a queue, with the traps. ``pgjobs_testing.strategies``.

=================  ==========================================================================
args               JSON objects that ``new`` accepts, with every trap; ``refused_args`` the others
options            options of ``worker.new``, or ``job_options``; ``worker_options`` those of ``worker``
new_jobs           jobs not stored yet; ``jobs`` as a worker gets them
programs           sequences of what somebody does to a queue; ``run`` does them
faults             faults of a simulated world
spans, instants    times at boundaries, and one microsecond beside them
=================  ==========================================================================
"""

from __future__ import annotations

from pgjobs_testing.properties.instants import instants, spans
from pgjobs_testing.properties.options import (
    backoffs,
    job_options,
    jobs,
    new_jobs,
    queue_names,
    queues,
    rate_limits,
    replaces,
    tags,
    uniques,
    worker_options,
)
from pgjobs_testing.properties.programs import Program, Step, faults, programs, run
from pgjobs_testing.properties.values import (
    args,
    json_objects,
    json_values,
    numbers,
    refused_args,
    small_objects,
    texts,
)

options = job_options

__all__ = [
    "Program",
    "Step",
    "args",
    "backoffs",
    "faults",
    "instants",
    "job_options",
    "jobs",
    "json_objects",
    "json_values",
    "new_jobs",
    "numbers",
    "options",
    "programs",
    "queue_names",
    "queues",
    "rate_limits",
    "refused_args",
    "replaces",
    "run",
    "small_objects",
    "spans",
    "tags",
    "texts",
    "uniques",
    "worker_options",
]
