"""Writes the gallery: what pgjobs says when a test fails, and what a timeline looks like.

The tests beside this file fail on purpose. Each failure is written down as pytest reports it, in
README.md, with a picture; then the timelines. ``make gallery`` runs this; ``--check`` writes nothing,
and fails where what is committed is not what comes out.
"""

from __future__ import annotations

import argparse
import inspect
import io
import os
import re
import sys
from collections.abc import Generator, Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest
import shop
from rich.console import Console
from rich.text import Text

from pgjobs import MemoryStore
from pgjobs_testing.scenarios.read import read
from pgjobs_testing.scenarios.replay import replay
from pgjobs_testing.timeline import Timeline

HERE = Path(__file__).parent
COLUMNS = 108

INTRODUCTION = """\
# Gallery

What pgjobs says when a test fails, and what a timeline looks like. Made by `make gallery` from the
failing tests in [test_failures.py](test_failures.py) and [test_timelines.py](test_timelines.py),
which use the shop of [shop.py](shop.py), and from a scenario. Our suite checks that this page is
what they give.
"""
SCENARIO = HERE.parent.parent / "scenarios" / "crash-rescued.yaml"
NETWORK_FONT = re.compile(r"\s*@font-face \{.*?\}", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Failed:
    """One failing test: what it is called, its source, and what pytest reported."""

    name: str
    caption: str
    source: str
    message: str
    timeline: str


class Collector:
    """A pytest plugin that keeps each failure."""

    def __init__(self) -> None:
        self.failed: list[Failed] = []
        self.passed: list[str] = []

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Keep what failed, and the name of what did not."""
        report = yield
        if report.failed:
            assert isinstance(item, pytest.Function)
            self.failed.append(_failed(item, report))
        elif report.when == "call":
            self.passed.append(item.name)
        return report


def _failed(item: pytest.Function, report: pytest.TestReport) -> Failed:
    crash = getattr(report.longrepr, "reprcrash", None)
    message = report.longreprtext if crash is None else str(crash.message)
    source = re.sub(r'\n    """.*?"""', "", inspect.getsource(item.function), flags=re.DOTALL)
    timeline = dict(report.sections).get("pgjobs timeline", "")
    return Failed(item.name, inspect.getdoc(item.function) or "", source, message, timeline)


def run(file: str) -> Collector:
    """Run the failing tests of ``file``, quietly."""
    kept = Collector()
    options = ["-p", "pgjobs_testing", "-p", "no:cacheprovider", "-c", os.devnull]
    options += ["--rootdir", str(HERE), "--import-mode=importlib", "--color=no", "--assert=plain"]
    options += ["--pgjobs-seed", "7", "-W", "ignore"]
    with redirect_stdout(io.StringIO()) as said:
        status = pytest.main([*options, str(HERE / file)], plugins=[kept])
    if status != pytest.ExitCode.TESTS_FAILED or kept.passed:
        sys.exit(f"{file}: every test is to fail, but passed: {kept.passed}\n{said.getvalue()}")
    return kept


def picture(failed: Failed) -> str:
    """The message as a terminal shows it: an SVG that loads nothing from elsewhere."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), legacy_windows=False)
    for line in failed.message.splitlines():
        console.print(Text(line, style=_style(line)))
    svg = console.export_svg(title=f"pytest -k {failed.name}", unique_id=failed.name)
    return NETWORK_FONT.sub("", svg)


def _style(line: str) -> str:
    words = line.split()
    mark = words[0] if words else ""
    return {"✓": "green", "✗": "bold red"}.get(mark, "")


def gallery() -> dict[str, str]:
    """Every file of the gallery, by name."""
    files: dict[str, str] = {}
    page = [INTRODUCTION, "## Failures\n"]
    for number, failed in enumerate(run("test_failures.py").failed, start=1):
        name = f"failure-{number:02d}.svg"
        files[name] = picture(failed)
        page.append(f"### {number}. {failed.caption}\n")
        page.append(f"```py\n{failed.source.rstrip()}\n```\n")
        page.append(f"```text\n{_stripped(failed.message)}\n```\n\n![{failed.caption}]({name})\n")
    page.append("## Timelines\n")
    for number, (caption, text, svg) in enumerate(timelines(), start=1):
        name = f"timeline-{number}.svg"
        files[name] = svg
        page.append(f"### {caption}\n\n![{caption}]({name})\n\n```text\n{_stripped(text)}\n```\n")
    files["README.md"] = "\n".join(page)
    return files


def timelines() -> Iterator[tuple[str, str, str]]:
    """Caption, text and picture: two of failing tests, as their reports have them, and a scenario's."""
    for failed in run("test_timelines.py").failed:
        yield failed.caption, failed.timeline, shop.pictures[failed.name]
    scenario, source = read(SCENARIO)
    played = replay(scenario, source, MemoryStore())
    yield scenario.name, played.trace.text(), Timeline.showing(played.trace).to_svg(scenario.name)


def _stripped(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip("\n").splitlines())


def main() -> None:
    """Write what changed, or check."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="write nothing; fail where files differ"
    )
    check: bool = parser.parse_args().check
    made = gallery()
    differing = [name for name, text in made.items() if _read(HERE / name) != text]
    surplus = [path for path in sorted(HERE.glob("*.svg")) if path.name not in made]
    if check:
        differing += [path.name for path in surplus]
        sys.exit(f"not up to date (run `make gallery`): {', '.join(differing)}" if differing else 0)
    for name in differing:
        (HERE / name).write_text(made[name], encoding="utf-8")
    for path in surplus:
        path.unlink()
    print(f"{len(made)} files, {len(differing)} of them changed")  # noqa: T201 - a command's answer


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


if __name__ == "__main__":
    main()
