"""Pictures of traces: what stands where, for any trace; and that a picture is a picture whatever jobs say."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from pgjobs.rules.job import Job, JobState
from pgjobs_testing.cli import main
from pgjobs_testing.clock import VirtualClock
from pgjobs_testing.pictures.axis import axis
from pgjobs_testing.pictures.kinds import BY_NAME
from pgjobs_testing.pictures.layout import Lane, Picture, layout
from pgjobs_testing.pictures.packing import packed
from pgjobs_testing.pictures.rows import LABEL_SIZE, Item
from pgjobs_testing.pictures.story import Story, stories
from pgjobs_testing.pictures.text import escaped, fitted, legible, width
from pgjobs_testing.recorder import Recorder
from pgjobs_testing.scenarios.read import read
from pgjobs_testing.scenarios.replay import replay
from pgjobs_testing.stores import MemorySource
from pgjobs_testing.timeline import Timeline
from pgjobs_testing.trace import Trace

pytestmark = pytest.mark.usefixtures("no_application")

START = datetime(2025, 1, 1, tzinfo=UTC)
ROOT = Path(__file__).parents[2]
SCENARIOS = sorted((ROOT / "scenarios").glob("*.yaml"))
NASTY = "</script><script>alert(1)</script>\x00\x1b[31m\ud800\ufffe\u202e&amp;\"'<b>"
ENDS = (
    JobState.COMPLETED,
    JobState.RETRYABLE,
    JobState.SCHEDULED,
    JobState.DISCARDED,
    JobState.CANCELLED,
    JobState.AVAILABLE,
)


class Teller:
    """Tells a recorder what engines and clients would."""

    def __init__(self) -> None:
        self.clock = VirtualClock(START)
        self.recorder = Recorder(self.clock, passing_on=None)
        self.rows: dict[int, Job] = {}

    def job(self, number: int, **fields: Any) -> Job:
        row = self.rows.get(number) or Job(
            number,
            JobState.AVAILABLE,
            "default",
            "shop.mail",
            {},
            {},
            (),
            (),
            0,
            20,
            0,
            (),
            START,
            START,
        )
        self.rows[number] = replace(row, **fields)
        return self.rows[number]

    def tell(self, event: str, number: int = 0, node: str = "", **fields: Any) -> None:
        metadata: dict[str, Any] = {"node": node} if node else {}
        metadata |= fields.pop("metadata", {})
        if number:
            metadata["job"] = self.job(number, **fields)
        self.recorder.emit(f"pgjobs.{event}", {}, metadata)

    def insert(self, number: int, **fields: Any) -> None:
        self.tell("job.insert", number, **fields)

    def run(self, number: int, node: str, ended: JobState, lasting: timedelta) -> None:
        attempt = self.job(number).attempt + 1
        self.tell("job.start", number, node, state=JobState.EXECUTING, attempt=attempt)
        self.clock.set(self.clock.now() + lasting)
        error = {"error": "no"} if ended is JobState.RETRYABLE else {}
        self.tell("job.stop", number, node, state=ended, metadata=error)

    def trace(self) -> Trace:
        return self.recorder.trace()


spans = st.sampled_from(
    [0, 1, 1_000, 1_000_000, 2_000_000, 61_000_000, 3_600_000_000, 86_400_000_000]
)
happenings = st.tuples(
    st.sampled_from(
        ["insert", "start", "end", "stage", "cancel", "rescue", "release", "late", "conflict", "retry",
         "delete", "crash", "pause", "resume", "elected", "error", "suspend", "wake"]
    ),
    st.integers(1, 6),
    st.sampled_from(["a", "b", "a node with quite a long name"]),
    st.sampled_from(["default", "mail", "wärme\u4e2d\u6587"]),
    st.sampled_from(ENDS),
    spans,
)  # fmt: skip


@st.composite
def traces(draw: st.DrawFn) -> Trace:
    """Traces of any events in any order: a picture may be asked of a cut-out as well."""
    teller = Teller()
    for what, number, node, queue, ended, micros in draw(st.lists(happenings, max_size=40)):
        teller.clock.set(teller.clock.now() + timedelta(microseconds=micros))
        match what:
            case "insert":
                teller.insert(number, queue=queue, state=ended, scheduled_at=teller.clock.now())
            case "start":
                teller.tell("job.start", number, node, state=JobState.EXECUTING, attempt=1)
            case "end" | "late":
                event = "job.stop" if what == "end" else "job.late"
                teller.tell(event, number, node, state=ended, metadata={"error": "no"})
            case "stage":
                where = {"id": number, "queue": queue}
                teller.tell("job.stage", node=node, metadata=where)
            case "rescue" | "release":
                teller.tell(f"job.{what}", number, node, state=JobState.AVAILABLE)
            case "cancel" | "conflict" | "retry" | "delete":
                state = {"cancel": JobState.CANCELLED, "retry": JobState.AVAILABLE}.get(what, ended)
                teller.tell(f"job.{what}", number, state=state)
            case "pause" | "resume":
                teller.tell(f"queue.{what}", metadata={"queue": "*" if number == 1 else queue})
            case "elected":
                teller.tell("leader.elected", node=node)
            case "error":
                said = {"effect": "Poll", "error": "down"}
                teller.tell("store.error", node=node, metadata=said)
            case "crash" | "suspend" | "wake":
                teller.recorder.note("resume" if what == "wake" else what, node)
    return teller.trace()


def crowd(jobs: int) -> Trace:
    """As many jobs at once, of a queue whose two nodes run five each; every tenth fails first."""
    teller = Teller()
    for number in range(1, jobs + 1):
        teller.insert(number)
    events: list[tuple[int, int, str, JobState]] = []
    for number in range(1, jobs + 1):
        begin = (number - 1) // 10 * 2
        node = "ab"[number % 2]
        failing = number % 10 == 0
        events.append((begin, number, node, JobState.EXECUTING))
        events.append((begin + 2, number, node, ENDS[1] if failing else ENDS[0]))
    for second, number, node, state in sorted(
        events, key=lambda each: (each[0], each[3] == "executing")
    ):
        teller.clock.set(START + timedelta(seconds=second))
        name = "job.start" if state is JobState.EXECUTING else "job.stop"
        teller.tell(name, number, node, state=state, attempt=1)
    return teller.trace()


def replayed(file: Path) -> Trace:
    scenario, source = read(file)
    return replay(scenario, source, MemorySource().store(0)).trace


def lanes(picture: Picture) -> list[Lane]:
    return [lane for group in picture.groups for lane in group.lanes]


def row_extents(lane: Lane) -> dict[int, list[tuple[float, float]]]:
    found: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for row, bar in (*lane.bars, *((row, bar) for row, item in lane.items for bar in item.bars)):
        found[row].append((bar.x, bar.end))
    return found


def shown_jobs(picture: Picture) -> set[int]:
    found = set()
    for lane in lanes(picture):
        found |= {item.story.ordinal for _, item in lane.items}
        found |= {ordinal for _, bar in lane.bars for ordinal, _ in bar.spans}
        found |= {ordinal for ordinal, _ in (lane.chart.spans if lane.chart else ())}
    return found


def shown_runs(picture: Picture) -> list[tuple[int, int, int, str]]:
    bars = [bar for lane in lanes(picture) for _, bar in lane.bars]
    bars += [bar for lane in lanes(picture) for _, item in lane.items for bar in item.bars]
    spans = [each for bar in bars for each in bar.spans]
    spans += [each for lane in lanes(picture) if lane.chart for each in lane.chart.spans]
    return sorted(
        (job, span.begin, span.end, span.kind) for job, span in spans if BY_NAME[span.kind].thick
    )


def told_runs(told: tuple[Story, ...]) -> list[tuple[int, int, int, str]]:
    return sorted(
        (story.ordinal, span.begin, span.end, span.kind)
        for story in told
        for span in story.spans
        if BY_NAME[span.kind].thick
    )


def texts_of(item: Item) -> list[tuple[float, float]]:
    if item.label is None:
        return []
    return [(item.label.x, item.label.x + width(item.label.text, LABEL_SIZE))]


def check(trace: Trace) -> None:
    """What holds for every picture."""
    picture, told = layout(trace), stories(trace)
    assert {story.ordinal for story in told} == shown_jobs(picture)
    assert told_runs(told) == shown_runs(picture)
    for lane in lanes(picture):
        for extents in row_extents(lane).values():
            assert all(x >= -0.01 and end <= picture.axis.width + 0.01 for x, end in extents)
            for (_, before), (after, _) in pairwise(sorted(extents)):
                assert before <= after + 0.01
        if lane.roomy:
            check_labels(lane, picture)
    root = ElementTree.fromstring(Timeline.showing(trace).to_svg())
    check_inside(root)


def check_labels(lane: Lane, picture: Picture) -> None:
    """No text lies on another's, on a badge, or on a bar that it does not stand in."""
    for row, item in lane.items:
        for x, end in texts_of(item):
            assert x >= -0.01 and end <= picture.axis.width + 0.01
            for other_row, other in lane.items:
                if other_row != row:
                    continue
                taken = [] if other is item else texts_of(other)
                taken += [(badge.x - 6, badge.x + 6) for badge in other.badges]
                taken += [
                    (bar.x, bar.end)
                    for bar in other.bars
                    if bar.thick and not (bar.x <= x and end <= bar.end)
                ]
                assert all(end <= low + 0.01 or high <= x + 0.01 for low, high in taken)


def check_inside(root: ElementTree.Element) -> None:
    """Rectangles and texts begin and end on the canvas."""
    _, _, wide, high = map(float, root.attrib["viewBox"].split())
    for element in root.iter():
        if element.tag.endswith("}rect") and "x" in element.attrib:
            x, y = float(element.attrib["x"]), float(element.attrib["y"])
            assert x >= 0 and x + float(element.attrib["width"]) <= wide + 0.2
            assert y >= 0 and y + float(element.attrib["height"]) <= high + 0.2
            assert float(element.attrib["width"]) >= 0
        if element.tag.endswith("}text") and "x" in element.attrib:
            assert 0 <= float(element.attrib["x"]) <= wide
            assert 0 <= float(element.attrib["y"]) <= high


@settings(max_examples=150, deadline=None)
@given(traces())
def test_every_job_and_run_is_shown_once_and_nothing_lies_over_another(trace: Trace) -> None:
    check(trace)


@pytest.mark.parametrize("file", SCENARIOS, ids=lambda file: file.stem)
def test_every_scenario_that_ships_has_its_picture(file: Path) -> None:
    check(replayed(file))


@pytest.mark.parametrize("jobs", [1, 29, 57, 3_000])
def test_a_crowd_is_charted_and_loses_no_run(jobs: int) -> None:
    trace = crowd(jobs)
    check(trace)
    assert ("chart" if any(lane.chart for lane in lanes(layout(trace))) else "rows") == (
        "chart" if jobs > 500 else "rows"
    )


@given(
    st.lists(st.integers(0, 10**13), min_size=1, max_size=40),
    st.lists(st.integers(0, 10**10), max_size=10),
)
def test_the_axis_goes_right_with_time_and_stays_on_the_plot(
    instants: list[int], runs: list[int]
) -> None:
    along = axis(instants, runs, 920)
    xs = [along.x(at) for at in sorted(set(instants))]
    assert xs == sorted(xs)
    assert 0 <= xs[0]
    assert xs[-1] <= along.width
    ticks = along.ticks(64)
    assert ticks
    assert all(min(instants) <= tick <= max(instants) for tick in ticks)


def test_runs_a_few_pixels_apart_stay_apart() -> None:
    teller = Teller()
    teller.insert(1)
    for _ in range(300):
        teller.run(1, "a", JobState.RETRYABLE, timedelta(0))
        teller.clock.set(teller.clock.now() + timedelta(seconds=1))
    trace = teller.trace()
    check(trace)
    ((_, item),) = lanes(layout(trace))[0].items
    assert 300 == sum(bar.thick for bar in item.bars)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 20)), max_size=30).map(sorted))
def test_rows_are_as_few_as_can_be_and_nothing_overlaps_in_one(
    given: list[tuple[int, int]],
) -> None:
    extents = [(begin, begin + lasting) for begin, lasting in given]
    rows = packed(extents, 30)
    assert rows is not None
    for row in set(rows):
        own = [extent for extent, of in zip(extents, rows, strict=True) if of == row]
        assert all(before[1] <= after[0] for before, after in pairwise(own))
    most = max(
        (sum(b <= at < e or b == e == at for b, e in extents) for at in range(51)), default=0
    )
    assert len(set(rows)) <= most
    if most > 1:
        assert packed(extents, len(set(rows)) - 1) is None


def test_two_runs_of_seconds_a_day_apart_are_both_wide_and_the_day_between_is_folded() -> None:
    teller = Teller()
    teller.insert(1)
    teller.run(1, "a", JobState.RETRYABLE, timedelta(seconds=2))
    teller.clock.set(START + timedelta(days=1))
    teller.run(1, "a", JobState.COMPLETED, timedelta(seconds=2))
    picture = layout(teller.trace())
    (lane,) = lanes(picture)
    ((_, item),) = lane.items
    assert ["failed", "retryable", "completed"] == [bar.kind for bar in item.bars]
    assert all(bar.end - bar.x > 200 for bar in item.bars if bar.thick)
    assert len(picture.axis.folds()) == 1
    assert "23h59m" in Timeline.showing(teller.trace()).to_svg()


def test_what_has_no_long_gaps_is_not_folded() -> None:
    assert not layout(replayed(ROOT / "scenarios" / "default-backoff.yaml")).axis.folds()


def test_the_legend_names_exactly_what_occurs() -> None:
    svg = Timeline.showing(replayed(ROOT / "scenarios" / "snoozes-and-failures.yaml")).to_svg()
    occurring = {"scheduled", "retryable", "snoozed", "failed", "discarded"}
    labels = {kind.label for kind in BY_NAME.values()}
    texts = {text.text for text in ElementTree.fromstring(svg).iter() if text.tag.endswith("}text")}
    assert {BY_NAME[name].label for name in occurring} == texts & labels


def test_a_rescued_job_goes_on_in_the_lane_of_the_node_that_took_it() -> None:
    picture = layout(replayed(ROOT / "scenarios" / "crash-rescued.yaml"))
    kinds = {
        lane.node: [
            bar.kind for _, item in lane.items if item.story.ordinal == 1 for bar in item.bars
        ]
        for lane in lanes(picture)
    }
    assert {"a": ["executing", "lost"], "b": ["completed"]} == kinds
    crashed = next(strip for strip in picture.nodes if strip.name == "a")
    assert "down" in [stretch.band.kind for stretch in crashed.stretches]


def test_a_cancelled_group_ends_together_though_nothing_is_told_of_its_other_jobs() -> None:
    told = stories(replayed(ROOT / "scenarios" / "cancel-a-group.yaml"))
    ends = {story.ordinal: (story.spans[-1].kind, story.spans[-1].end) for story in told}
    assert ("cancelled", 5_000_000) == ends[1]
    assert {("cancelled", 5_000_000), ("scheduled", 5_000_000)} == {ends[2], ends[3]}


def test_a_run_whose_outcome_came_late_has_ended_though_nobody_said_who_took_its_job() -> None:
    teller = Teller()
    teller.insert(1)
    teller.tell("job.start", 1, "a", state=JobState.EXECUTING, attempt=1)
    teller.clock.set(START + timedelta(seconds=5))
    teller.tell("job.late", 1, "a", metadata={"error": "CancelledError"})
    teller.clock.set(START + timedelta(seconds=9))
    teller.insert(2)
    story = stories(teller.trace())[0]
    assert [("lost", 0, 5_000_000, False)] == [
        (span.kind, span.begin, span.end, span.open) for span in story.spans
    ]


def test_a_run_that_its_stopping_node_gives_back_ends_there_and_goes_on_elsewhere() -> None:
    trace = replayed(ROOT / "scenarios" / "stop-gives-back.yaml")
    story = next(each for each in stories(trace) if each.worker == "Long")
    spans = [
        ("returned", "a", 1, 0, 20_000_000),
        ("available", "", 0, 20_000_000, 21_000_000),
        ("completed", "b", 1, 21_000_000, 26_000_000),
    ]
    assert spans == [
        (span.kind, span.node, span.attempt, span.begin, span.end) for span in story.spans
    ]
    assert "attempt 1 of Long, not counted" == story.spans[0].note
    assert ["insert"] == [mark.kind for mark in story.marks]
    since = trace.moments.index(trace.of("release")[0])
    cut = next(
        each for each in stories(Trace(trace.start, trace.moments[since:])) if each.worker == "Long"
    )
    assert [("returned", "a", 1), ("available", "", 0), ("completed", "b", 1)] == [
        (span.kind, span.node, span.attempt) for span in cut.spans
    ]


def test_a_claim_that_came_true_late_and_is_given_back_is_a_mark_in_the_wait_of_its_job() -> None:
    trace = replayed(ROOT / "scenarios" / "claim-commits-late.yaml")
    story = stories(trace)[1]
    assert [("insert", "-"), ("release", "a")] == [(mark.kind, mark.node) for mark in story.marks]
    waited, ran = story.spans
    assert ("available", "completed") == (waited.kind, ran.kind)
    assert waited.begin < story.marks[1].at < waited.end == ran.begin
    assert "given back, not run" in Timeline.showing(trace).to_svg()


def test_the_trace_of_an_advance_shows_jobs_that_were_inserted_before_it(jobs) -> None:
    from pgjobs import worker

    @worker
    def late(job): ...

    jobs.insert(late.new(schedule_in=60))
    (story,) = stories(jobs.advance(120))
    assert [span.kind for span in story.spans] == ["completed"]
    (story,) = stories(jobs.timeline)
    assert [span.kind for span in story.spans] == ["scheduled", "completed"]


def nasty() -> Trace:
    teller = Teller()
    teller.insert(1, worker=NASTY, queue=NASTY)
    teller.run(1, NASTY, JobState.COMPLETED, timedelta(seconds=2))
    teller.recorder.note("crash", NASTY, NASTY)
    errors = ({"error": f"'{NASTY}\nsecond line"},)
    teller.tell(
        "job.exception",
        1,
        NASTY,
        state=JobState.RETRYABLE,
        errors=errors,
        metadata={"error": NASTY},
    )
    return teller.trace()


def test_an_svg_is_xml_without_scripts_whatever_a_worker_is_called() -> None:
    root = ElementTree.fromstring(Timeline.showing(nasty()).to_svg(NASTY).encode())
    tags = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert tags.isdisjoint({"script", "foreignObject", "a", "image", "b"})
    assert not [key for element in root.iter() for key in element.attrib if key.startswith("on")]
    assert legible(NASTY) in (root.findtext("{*}title") or "")


class Reader(HTMLParser):
    """The elements of a page, and what its scripts and styles hold."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[str | None, str]] = []
        self.styles: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append((dict(attrs).get("type"), ""))

    def handle_data(self, data):
        if self.lasttag == "script" and self.scripts:
            kind, text = self.scripts[-1]
            self.scripts[-1] = (kind, text + data)
        if self.lasttag == "style":
            self.styles.append(data)


def test_a_page_runs_its_own_script_alone_and_loads_nothing() -> None:
    page = Timeline.showing(nasty()).to_html(NASTY)
    reader = Reader()
    reader.feed(page)
    assert [kind for kind, _ in reader.scripts] == ["application/json", "application/json", None]
    assert "alert(1)" not in reader.scripts[-1][1]
    assert not [tag for tag, _ in reader.tags if tag in ("b", "link", "iframe", "object", "base")]
    loaded = [attrs.get("src") or attrs.get("href") or "" for _, attrs in reader.tags]
    assert all(each.startswith(("data:image/svg+xml,", "#")) for each in loaded if each)
    (policy,) = [attrs["content"] or "" for _, attrs in reader.tags if "http-equiv" in attrs]
    program = next(text for kind, text in reader.scripts if kind is None).strip("\n") + "\n"
    for source in (program, reader.styles[0]):
        found = base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
        assert f"'sha256-{found}'" in policy
    assert "default-src 'none'" in policy
    assert "\x00" not in page
    page.encode()  # no surrogate is left


@given(st.text(st.characters()), st.floats(0, 500))
def test_text_is_cut_to_its_room_and_is_xml(text: str, room: float) -> None:
    assert width(fitted(text, room, 11), 11) <= room + 0.01
    root = ElementTree.fromstring(f'<a b="{escaped(text)}">{escaped(text)}</a>')
    assert legible(text) == (root.text or "")


def test_the_bytes_do_not_depend_on_the_hash_seed() -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from pgjobs_testing.timeline import Timeline\n"
        "from tests.testing.test_pictures import replayed\n"
        "seen = Timeline.showing(replayed(Path(sys.argv[1])))\n"
        "sys.stdout.buffer.write((seen.to_svg() + seen.to_html()).encode())"
    )
    file = str(ROOT / "scenarios" / "partition-and-heal.yaml")
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code, file],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "2")
    }
    assert len(outputs) == 1
    assert len(outputs.pop()) > 50_000


def test_ten_thousand_jobs_make_files_of_a_bounded_size() -> None:
    trace = crowd(10_000)
    assert len(Timeline.showing(trace).to_svg()) < 2_000_000
    assert len(Timeline.showing(trace).to_html()) < 8_000_000


def test_the_picture_in_the_documentation_is_the_one_that_its_page_draws(
    jobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = ROOT / "docs" / "how-to"
    page = (folder / "see-a-timeline.md").read_text(encoding="utf-8")
    code = page.partition('title="test_mails.py"\n')[2].partition("```")[0]
    names: dict[str, Any] = {"__name__": "test_mails"}
    exec(code, names)
    monkeypatch.chdir(tmp_path)
    names["test_mails"](jobs)
    drawn = (tmp_path / "see-a-timeline.svg").read_text(encoding="utf-8")
    assert drawn == (folder / "see-a-timeline.svg").read_text(encoding="utf-8")


def test_nothing_has_happened_is_a_picture_too() -> None:
    trace = Teller().trace()
    check(trace)
    assert "0 jobs" in Timeline.showing(trace).to_html()


BROKEN = """
name: A <b>scenario</b> that does not hold
workers: {Work: {}}
steps: [{at: 0s, insert: {as: x, worker: Work}}]
expect: [{at: end, job: x, state: discarded}]
"""


def test_replay_writes_a_page_with_every_file_what_failed_first(tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text(BROKEN)
    (tmp_path / "no-scenario.yaml").write_text("nme: x")
    page = tmp_path / "page.html"
    files = [str(ROOT / "scenarios" / "unique.yaml"), str(tmp_path)]
    done = CliRunner().invoke(main, ["replay", *files, "--store", "memory", "--html", str(page)])
    assert done.exit_code == 2, done.output
    text = page.read_text(encoding="utf-8")
    index = text[text.index("<nav") : text.index("</nav>")]
    assert ["failed", "failed", "held"] == re.findall(r"verdict (\w+)", index)
    assert "A &lt;b&gt;scenario&lt;/b&gt; that does not hold" in index
    assert "job x is not as expected at the end" in text
    assert "the unknown key &#39;nme&#39;" in text
    assert text.count('class="app"') == 2


def test_a_page_of_one_file_has_no_index(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    file = str(ROOT / "scenarios" / "unique.yaml")
    done = CliRunner().invoke(main, ["replay", file, "--store", "memory", "--html", str(page)])
    assert done.exit_code == 0, done.output
    assert "<nav" not in page.read_text(encoding="utf-8")


def test_a_page_that_cannot_be_written_is_said_before_anything_is_played(tmp_path: Path) -> None:
    file, page = str(ROOT / "scenarios" / "unique.yaml"), tmp_path / "nowhere" / "page.html"
    done = CliRunner().invoke(main, ["replay", file, "--store", "memory", "--html", str(page)])
    assert done.exit_code == 2
    assert "cannot be written: No such file or directory" in done.output
    assert "held" not in done.output


DRIVER = """
const problems = [];
addEventListener("error", event => problems.push(event.message));
addEventListener("load", () => setTimeout(() => {
  const { timeline } = document.querySelector(".app"), view = document.querySelector(".view");
  for (let n = 0; n < 20; n++) { timeline.zoom(1.7, 300); timeline.painter.paint(timeline.state); }
  for (const key of ["n", "n", "p", "Enter", "+", "-", "ArrowRight", "End", "Home", "0"])
    view.dispatchEvent(new KeyboardEvent("keydown", { key }));
  timeline.part("query").value = "#9999";
  timeline.search();
  timeline.step(1);
  timeline.painter.paint(timeline.state);
  document.title = `${timeline.part("found").textContent}; ${problems.length} problems ${problems}`;
}, 300));
"""


def chromium() -> str | None:
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
    return next((found for found in map(shutil.which, names) if found), None)


@pytest.mark.slow
@pytest.mark.skipif(chromium() is None, reason="no Chromium on the PATH to open a page in")
def test_a_browser_opens_zooms_and_searches_ten_thousand_jobs_without_an_error(
    tmp_path: Path,
) -> None:
    page = Timeline.showing(crowd(10_000)).to_html("Crowd")
    free = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
    driven = free.replace("</body>", f"<script>{DRIVER}</script></body>")
    for name, text, wanted in (
        ("plain.html", page, "1 to 200 of 30,000"),
        ("driven.html", driven, "<title>1 of 10,000 jobs; 0 problems </title>"),
    ):
        (tmp_path / name).write_text(text, encoding="utf-8")
        dom, said = dumped(tmp_path / name, tmp_path / "profile")
        assert wanted in dom, f"{name}: {dom[:600]}\n{said}"
        assert "CONSOLE" not in said


def dumped(file: Path, profile: Path) -> tuple[str, str]:
    """What a browser makes of a page, and what it says on its console."""
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]
    options += [
        "--enable-logging=stderr",
        "--virtual-time-budget=5000",
        f"--user-data-dir={profile}",
    ]
    done = subprocess.run(
        [chromium() or "", *options, "--dump-dom", file.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.stdout, done.stderr
