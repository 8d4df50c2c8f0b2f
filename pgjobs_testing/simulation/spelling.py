"""A world's data as a scenario file: a line for each step, to be read, compared and made smaller."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pgjobs_testing.scenarios.flowing import comment, flow, text


def spelt(data: Mapping[str, Any], notes: Iterable[str] = ()) -> str:
    """The file that is read as ``data``; ``notes`` are its first lines, as comments."""
    return "\n".join([*map(comment, notes), *_lines(data)]) + "\n"


def _lines(data: Mapping[str, Any]) -> Iterator[str]:
    for key, value in data.items():
        if value in ({}, []) and key != "steps":
            continue
        if key in ("queues", "plugins") and value:
            yield f"{key}:"
            yield from (f"  {text(name)}: {flow(each)}" for name, each in value.items())
        elif key == "workers":
            yield "workers:"
            for name, options in value.items():
                yield from _worker(name, options)
        elif key in ("steps", "expect") and value:
            yield f"{key}:"
            yield from (f"  - {flow(each)}" for each in value)
        else:
            yield f"{key}: {flow(value)}"


def _worker(name: str, options: Mapping[str, Any]) -> Iterator[str]:
    if len(options.get("runs", ())) < 2:
        yield f"  {text(name)}: {flow(options)}"
        return
    yield f"  {text(name)}:"
    yield from (f"    {key}: {flow(value)}" for key, value in options.items() if key != "runs")
    yield "    runs:"
    yield from (f"      - {flow(run)}" for run in options["runs"])
