"""What becomes of the words of a command where they cannot be printed.

Whoever reads a stream may be gone (a pipe without a reader, a full disk), and a job may have closed or
replaced it. What a node says while it serves is lost then, and ends nothing: ``click.echo`` and ``logging``
raise there, and Python itself, which exits with 120 where it cannot flush at the end. What another command
prints is what it is for: it fails, in one line.
"""

from __future__ import annotations

import errno
import logging
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import click
from click.exceptions import Exit


def say(text: str, *, err: bool = False) -> None:
    """Print a line, if it can be printed."""
    with suppress(Exception):  # whatever a job has put there may raise anything
        click.echo(text, err=err)


class Log(logging.StreamHandler):  # type: ignore[type-arg]  # generic in stubs alone
    """To standard error, as ``logging.basicConfig`` has it, whatever that has become."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        with suppress(Exception):  # it tells of the error on the same stream
            super().handleError(record)


@contextmanager
def unheard() -> Iterator[None]:
    """For the length of a command: at its end, what cannot be flushed is let go of."""
    try:
        yield
    finally:
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            try:
                stream.flush()
            except Exception:
                with suppress(Exception):
                    _silence(stream.fileno())
                setattr(sys, name, None)


class Commands(click.Group):
    """A group whose exit codes are those of its commands, whether or not their errors can be printed."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.ClickException as error:
            failed = error
        except OSError as error:
            if error.errno == errno.EPIPE or not _of_printing(error):  # click ends at a closed pipe
                raise
            failed = click.ClickException(f"the output cannot be written: {error.strerror}")
        with unheard(), suppress(Exception):
            failed.show()
        raise Exit(failed.exit_code)


def _of_printing(error: OSError) -> bool:
    """Whether it was raised inside of click, which prints."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return str(frame.f_globals.get("__name__")).startswith("click.")


def _silence(descriptor: int) -> None:
    """Let a descriptor take everything, and keep nothing."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)
