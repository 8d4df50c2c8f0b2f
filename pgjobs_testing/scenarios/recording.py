"""Writes a trace into a scenario's file, leaving every other byte of it as it is."""

from __future__ import annotations

from pathlib import Path

from pgjobs_testing.scenarios.mistakes import InvalidScenarioError, Mistake
from pgjobs_testing.scenarios.read import read_text
from pgjobs_testing.scenarios.source import Source
from pgjobs_testing.trace import Trace

INDENT = 2


def record(source: Source, trace: Trace) -> bool:
    """Write ``trace`` into the source's file; return whether it changed.

    ``InvalidScenarioError`` where the file would not say the same as before, but for its trace.
    """
    text = with_trace(source, trace.text())
    if text == source.text:
        return False
    Path(source.file).write_bytes(source.mark + text.encode())
    return True


def with_trace(source: Source, trace: str) -> str:
    """The source's text with this trace, in the place of the one it had, or at its end."""
    lines = source.text.splitlines(keepends=True)
    newline = "\r\n" if "\r\n" in source.text else "\n"
    column = source.place(()).column - 1
    block = "".join(line + newline for line in _block(trace, column))
    if "trace" in source.data:
        first = source.keys["trace",].line - 1
        behind = _end(lines, first, column)
        text = "".join([*lines[:first], block, *lines[behind:]])
    else:
        ended = source.text.endswith(("\n", "\r"))
        text = source.text + ("" if ended else newline) + block
    _check(source, text, trace)
    return text


def _block(trace: str, column: int) -> list[str]:
    """``trace:`` as a literal block, which says its indentation as lines begin with spaces."""
    margin = " " * column
    body = [f"{margin}{' ' * INDENT}{line}" for line in trace.split("\n")]
    return [f"{margin}trace: |{INDENT}", *body]


def _end(lines: list[str], first: int, column: int) -> int:
    """The index behind the value that begins in line ``first``; blank lines after it stay."""
    behind = first + 1
    for number in range(first + 1, len(lines)):
        line = lines[number]
        if line.strip():
            if len(line) - len(line.lstrip(" ")) <= column:
                break
            behind = number + 1
    return behind


def _check(source: Source, text: str, trace: str) -> None:
    refusal = Mistake(
        source.place(("trace",), key=True),
        "the trace cannot be written here; write the file as one mapping with a key a line, and "
        "nothing behind the last",
    )
    try:
        _, again = read_text(text, source.file, source.imports)
    except InvalidScenarioError:
        raise InvalidScenarioError(source.file, [refusal]) from None
    before, after = dict(source.data), dict(again.data)
    before.pop("trace", None)
    if after.pop("trace", None) != trace + "\n" or before != after:
        raise InvalidScenarioError(source.file, [refusal])
