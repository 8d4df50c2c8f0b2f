"""Every example of the README and of docs/ is run, and every link and diagram is checked.

What the info string of a fenced block makes of it:

    python                            run on the harness, in order, in one namespace a page
    python title="test_x.py"          written to that file, and run by pytest
    python title="x.py"               written to that file, for what follows
    python live                       run as a script, in a process of its own, on a real server
    yaml title="x.scenario.yaml"      written, and run by pytest
    toml title="..."                  written
    text output                       each line stands, in this order, in what ran last; "..." is a gap
    sh                                each command exists, with its options
    sh live                           and each ``pgjobs`` command is run, in order, on a real server

A title may be followed by ``fails`` (pytest must fail), ``mode=postgres``, ``then`` (written when its turn
comes, and not before all others) and ``needs=module`` (without which its page is not run).
"""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import click
import pytest

import pgjobs.cli
from pgjobs.adapters.postgres.migrations import migrate
from pgjobs.rules import lifecycle
from pgjobs_testing.servers import Server

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    *sorted(ROOT.glob("examples/*/README.md")),
    *sorted(page for page in ROOT.glob("docs/**/*.md") if "decisions" not in page.parts),
]
_FENCE = re.compile(r"^```(\w*)[ ]*(.*?)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_TITLE = re.compile(r'title="([^"]+)"')
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")

RUN_ON_THE_HARNESS = '''
"""The blocks of one page, run in order in one namespace; what they print is kept."""
import contextlib, io, json, sys
from pathlib import Path

BLOCKS = json.loads(Path("blocks.json").read_text(encoding="utf-8"))

def test_page(jobs):
    namespace = {"__name__": "page", "jobs": jobs}
    printed = {}
    for block in BLOCKS:
        code = compile("\\n" * block["line"] + block["text"], block["page"], "exec")
        with contextlib.redirect_stdout(io.StringIO()) as out:
            exec(code, namespace)
        printed[block["line"]] = out.getvalue()
    Path("printed.json").write_text(json.dumps(printed), encoding="utf-8")
'''


@dataclass(frozen=True)
class Block:
    """One fenced block; ``line`` is the line of its fence, from 1."""

    page: Path
    line: int
    language: str
    title: str | None
    flags: tuple[str, ...]
    text: str

    @property
    def is_test(self) -> bool:
        """Whether pytest collects the file that this block is written to."""
        name = "" if self.title is None else Path(self.title).name
        return name.startswith("test_") or name.endswith(".scenario.yaml")

    @property
    def is_snippet(self) -> bool:
        return self.language == "python" and self.title is None and "live" not in self.flags


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    found = []
    for match in _FENCE.finditer(text):
        language, info, body = match.groups()
        title = _TITLE.search(info)
        line = text.count("\n", 0, match.start()) + 1
        flags = tuple(_TITLE.sub("", info).split())
        found.append(Block(page, line, language, title[1] if title else None, flags, body))
    return found


def with_examples() -> Iterator[object]:
    for page in PAGES:
        found = blocks(page)
        if any(block.language in ("python", "yaml") or "live" in block.flags for block in found):
            served = any({"live", "mode=postgres"} & {*block.flags} for block in found)
            marks = [pytest.mark.postgres, pytest.mark.pgjobs(mode="live")] if served else []
            needed = {flag[6:] for block in found for flag in block.flags if flag[:6] == "needs="}
            absent = [name for name in sorted(needed) if find_spec(name) is None]
            if absent:
                marks.append(pytest.mark.skip(reason=f"not installed: {', '.join(absent)}"))
            yield pytest.param(page, marks=marks, id=str(page.relative_to(ROOT)))


class Reader:
    """Does what a page says, in a folder of its own."""

    def __init__(self, folder: Path, dsns: tuple[str, str] | None) -> None:
        self._folder, self._servers = folder, [] if dsns is None else ["--pgjobs-postgres", dsns[0]]
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        self._environ = {**os.environ, "PYTHONPATH": path, "COLUMNS": "100"}
        self._environ.pop("PGJOBS_CAPTURED_BY", None)
        if dsns is not None:
            self._environ["PGJOBS_DSN"] = dsns[1]

    def read(self, page: Path) -> None:
        found = blocks(page)
        if all(block.title != "pyproject.toml" for block in found):
            (self._folder / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
        for block in found:
            if block.title is not None and "then" not in block.flags:
                self._write(block)
        printed = self._run_snippets([block for block in found if block.is_snippet])
        output = ""
        for step in steps(found):
            first = step[0]
            for block in step:
                if block.title is not None:  # again: a page may write one file twice
                    self._write(block)
            if first.is_test:
                output = self._run_tests(step)
            elif first.is_snippet:
                output = printed[str(first.line)]
            elif "live" in first.flags:
                output = self._run_live(first)
            elif "output" in first.flags:
                holds_lines(output, first)

    def _write(self, block: Block) -> None:
        assert block.title is not None
        file = self._folder / block.title
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(block.text, encoding="utf-8")

    def _run_snippets(self, snippets: list[Block]) -> dict[str, str]:
        if not snippets:
            return {}
        listed = [
            {"line": block.line, "page": str(block.page), "text": block.text} for block in snippets
        ]
        (self._folder / "blocks.json").write_text(json.dumps(listed), encoding="utf-8")
        (self._folder / "test_page.py").write_text(RUN_ON_THE_HARNESS, encoding="utf-8")
        done = self._pytest("test_page.py")
        assert done.returncode == 0, done.stdout + done.stderr
        (self._folder / "test_page.py").unlink()
        printed: dict[str, str] = json.loads(
            (self._folder / "printed.json").read_text(encoding="utf-8")
        )
        return printed

    def _run_tests(self, tests: list[Block]) -> str:
        """One run of pytest for several files that agree on how."""
        first = tests[0]
        modes = [flag for flag in first.flags if flag.startswith("mode=")]
        more = [f"--pgjobs-{mode}" for mode in modes] + (self._servers if modes else [])
        done = self._pytest(*(str(block.title) for block in tests), *more)
        expected = 1 if "fails" in first.flags else 0
        assert done.returncode == expected, f"{place(first)}\n{done.stdout}{done.stderr}"
        return done.stdout

    def _run_live(self, block: Block) -> str:
        if block.language == "sh":
            return "".join(self._run_command(block, line) for line in block.text.splitlines())
        script = self._folder / "live.py"  # a file, which a process that is spawned imports as well
        script.write_text("\n" * block.line + block.text, encoding="utf-8")
        done = self._process(sys.executable, str(script))
        assert done.returncode == 0, f"{place(block)}\n{done.stdout}{done.stderr}"
        return done.stdout

    def _run_command(self, block: Block, line: str) -> str:
        """What one command prints; ``# exit N`` behind it says that it exits with N."""
        program, *rest = shlex.split(line, comments=True)
        assert program == "pgjobs", f"{place(block)}: {line} is not ours to run"
        done = self._process(sys.executable, "-m", "pgjobs.cli", *rest)
        code = re.search(r"# exit (\d+)$", line)
        expected = int(code[1]) if code else 0
        assert done.returncode == expected, f"{place(block)}: {line}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def _pytest(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        options = ("-rP", "-p", "pgjobs_testing", "-p", "no:cacheprovider", "-p", "no:asyncio")
        return self._process(sys.executable, "-m", "pytest", *options, *arguments)

    def _process(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self._folder,
            env=self._environ,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )


def steps(found: list[Block]) -> list[list[Block]]:
    """The blocks in order; tests of different files that follow one another are one step."""
    grouped: list[list[Block]] = []
    for block in found:
        before = grouped[-1] if grouped else []
        together = (
            block.is_test
            and bool(before)
            and before[0].is_test
            and before[0].flags == block.flags
            and block.title not in [each.title for each in before]
        )
        if together:
            before.append(block)
        elif block.title is not None or block.is_snippet or {"live", "output"} & {*block.flags}:
            grouped.append([block])
    return grouped


def holds_lines(output: str, block: Block) -> None:
    """Each line of the block stands in the output, in this order."""
    rest = [line.strip() for line in output.splitlines()]
    for wanted in map(str.strip, block.text.splitlines()):
        if wanted in ("", "..."):
            continue
        assert wanted in rest, f"{place(block)}: no line {wanted!r} is left in\n{output}"
        rest = rest[rest.index(wanted) + 1 :]


def place(block: Block) -> str:
    return f"{block.page.relative_to(ROOT)}:{block.line}"


@pytest.fixture
def dsns(request: pytest.FixtureRequest) -> tuple[str, str] | None:
    """For pages that need a server: that server, and a migrated database on it."""
    if request.node.get_closest_marker("postgres") is None:
        return None
    server: Server = request.getfixturevalue("server")
    database: str = request.getfixturevalue("database")
    migrate(database)
    return server.dsn, database


@pytest.mark.parametrize("page", list(with_examples()))
def test_the_examples_of_a_page_do_what_it_says(page, tmp_path, dsns):
    Reader(tmp_path, dsns).read(page)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_says_where_the_fixture_comes_from_before_it_is_used(page):
    """In snippets ``jobs`` is the fixture, which a ``PgJobs`` of that name is not."""
    using = [each for each in blocks(page) if each.is_snippet and re.search(r"\bjobs\.", each.text)]
    if using:
        ahead = page.read_text(encoding="utf-8").splitlines()[: using[0].line]
        assert re.search(r"\bfixture\b", _FENCE.sub("", "\n".join(ahead))), place(using[0])
        assert not any(re.match("jobs = ", each.text) for each in blocks(page) if each.is_snippet)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_shell_commands_of_a_page_exist(page, pytestconfig):
    for block in blocks(page):
        if block.language != "sh":
            continue
        for line in block.text.splitlines():
            words = shlex.split(line, comments=True)
            while words and re.match(r"\w+=", words[0]):
                words = words[1:]
            if words:
                problem = missing(words, pytestconfig)
                assert problem is None, f"{place(block)}: {line}: {problem}"


CLI = ROOT / "docs" / "reference" / "cli.md"


def commands(command: click.Command, *path: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Each command that is no group, by its path."""
    if isinstance(command, click.Group):
        for name, below in command.commands.items():
            yield from commands(below, *path, name)
    else:
        yield path, command


def test_the_reference_lists_each_command():
    rows = re.findall(r"^\| (`pgjobs .*?) \|", CLI.read_text(encoding="utf-8"), re.MULTILINE)
    listed = set()
    for row in rows:
        first, *more = [name.split() for name in re.findall(r"`(?:pgjobs )?([^`]+)`", row)]
        listed.add(" ".join(word for word in first if word.islower()))
        listed |= {f"{first[0]} {name}" for (name,) in more}
    assert {" ".join(path) for path, _ in commands(pgjobs.cli.main)} == listed


@pytest.mark.parametrize("option", ["--dsn", "--app", "--json"])
def test_the_reference_says_which_commands_take_an_option_that_is_shared(option):
    (said,) = re.findall(
        rf"^- `{option}\b[^`]*` \(for (.*?)\)", CLI.read_text(encoding="utf-8"), re.MULTILINE
    )
    named = re.findall(r"`([^`]+)`", said)
    taking = [
        " ".join(path)
        for path, command in commands(pgjobs.cli.main)
        if option in [name for each in command.params for name in each.opts]
    ]
    covered = [
        " ".join(path)
        for path, _ in commands(pgjobs.cli.main)
        if " ".join(path) in named or path[0] in named
    ]
    assert taking == covered


def missing(words: list[str], config: pytest.Config) -> str | None:
    """What of a command does not exist; None when all does."""
    program, *rest = words
    if program in ("cd", "mkdir", "export", "pip", "psql", "python"):
        return None
    if program == "make":
        makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
        targets = [word for word in rest if "=" not in word]
        gone = [each for each in targets if not re.search(rf"^{each}:", makefile, re.MULTILINE)]
        return f"no such target: {gone}" if gone else None
    if program == "pytest":
        known = {"-n", "-r"}
        known |= {name for option in config._parser._anonymous.options for name in option.names()}
        for group in config._parser._groups:
            known |= {name for option in group.options for name in option.names()}
        given = [word.partition("=")[0] for word in rest if word.startswith("-")]
        gone = [each for each in given if each not in known and each[:2] not in known]
        return f"no such option: {gone}" if gone else None
    if program in ("pgjobs", "pgjobs-testing"):
        import importlib

        package = program.replace("-", "_")
        command: click.Command = importlib.import_module(f"{package}.cli").main
        while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
            if rest[0] not in command.commands:
                return f"no such command; there are {sorted(command.commands)}"
            command, rest = command.commands[rest[0]], rest[1:]
        known = {"--help", "--version"}
        known |= {name for each in command.params for name in (*each.opts, *each.secondary_opts)}
        given = [word.partition("=")[0] for word in rest if word.startswith("-")]
        gone = [each for each in given if each not in known]
        return f"no such option: {gone}" if gone else None
    return "an unknown program"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_links_of_a_page_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    assert text.count("\n```") % 2 == 0, "a fence is not closed"
    for target in _LINK.findall(_FENCE.sub("", text)):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        linked = page if not file else (page.parent / file).resolve()
        assert linked.exists(), f"{page.relative_to(ROOT)} links to {target}, which is not there"
        if anchor:
            assert anchor in anchors(linked), f"{page.relative_to(ROOT)}: no heading for {target}"


def anchors(page: Path) -> set[str]:
    """The headings of a page, as GitHub makes anchors of them."""
    found = set()
    for heading in re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE):
        found.add(re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-"))
    return found


def test_the_diagram_of_the_states_is_the_one_that_the_table_generates():
    page = ROOT / "docs" / "reference" / "states.md"
    (diagram,) = [block.text for block in blocks(page) if block.language == "mermaid"]
    assert lifecycle.diagram() == diagram.rstrip("\n")


def test_every_page_is_listed_in_the_index():
    index = ROOT / "docs" / "index.md"
    linked = {(index.parent / target).resolve() for target in _LINK.findall(index.read_text())}
    pages = {page for page in PAGES if page.is_relative_to(index.parent) and page != index}
    assert pages - linked == set()


def test_no_page_names_a_place_on_somebodys_machine():
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert not re.search(r"/(home|Users|work|root)/\w", text), page.relative_to(ROOT)
