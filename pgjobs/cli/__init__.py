"""``pgjobs``: the shell commands that migrate a database, run a node, and look after what it holds.

One file for each command or group of commands; each makes one ``PgJobs`` and calls its client.
"""

from __future__ import annotations

import io
import sys

import click

from pgjobs.cli import cron, doctor, jobs, migrate, queues, run
from pgjobs.cli.saying import Commands


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="pgjobs")
def main() -> None:
    """A PostgreSQL-backed job queue."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a row's text may be beyond the terminal's
            stream.reconfigure(errors="backslashreplace")


main.add_command(migrate.migrate)
main.add_command(run.run)
main.add_command(jobs.jobs)
main.add_command(queues.queues)
main.add_command(cron.cron)
main.add_command(doctor.doctor)
