"""Which ``PgJobs`` a command's ``MODULE:JOBS`` names, and what is said of a module that fails to import.

Whatever the module raises is one line, exit code 2: its type, its text, and the line of the module that
was being imported, which is all of the trace that people look for.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from pathlib import Path
from types import ModuleType

import click

from pgjobs.app import PgJobs
from pgjobs.rules.errors import PgJobsError
from pgjobs.telemetry_log import printable


def instance(target: str) -> PgJobs:
    """The instance that ``module:attribute`` names, imported from the working directory or the path."""
    module_name, _, attribute = target.partition(":")
    if not module_name or not attribute or module_name.startswith("."):
        raise click.UsageError(
            f"name a module and its PgJobs, as in shop.queue:jobs, not {target!r}"
        )
    sys.path.insert(0, os.getcwd())
    module = _imported(module_name, f"the module {module_name!r} cannot be imported")
    found = getattr(module, attribute, None)
    if not isinstance(found, PgJobs):
        known = [name for name, value in vars(module).items() if isinstance(value, PgJobs)]
        hint = f"; it has {', '.join(sorted(known))}" if known else "; it has none"
        raise click.UsageError(f"{attribute!r} of {module_name} is no PgJobs{hint}")
    return found


def import_workers(jobs: PgJobs) -> None:
    """Import the modules of ``workers``, as ``start`` does."""
    for name in jobs.workers:
        _imported(name, f"workers names the module {name!r}, which cannot be imported")


def _imported(name: str, refusal: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:  # it is the user's module: it may raise anything
        raise click.UsageError(f"{refusal}: {_said(error)}") from error


def _said(error: BaseException) -> str:
    """An error of an import in one line, with the line of the module that it left."""
    text = " ".join(printable(part) for part in str(error).split())
    if not isinstance(error, ImportError | PgJobsError):
        text = f"{type(error).__name__}: {text}" if text else type(error).__name__
    if isinstance(error, SyntaxError):  # its text says where
        return text
    frames = traceback.extract_tb(error.__traceback__)
    left = [frame for frame in frames if frame.name == "<module>"]
    return f"{text} ({Path(left[-1].filename).name}, line {left[-1].lineno})" if left else text
