"""What may explain that a job is not found: a name that nothing has, a duplicate, a lost row.

Nothing here is looked at before an assertion has failed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from pgjobs.rules.job import FINAL, Job
from pgjobs_testing.asserting.describing import listed
from pgjobs_testing.asserting.expectation import Expectation
from pgjobs_testing.asserting.kinds import Near
from pgjobs_testing.asserting.scene import Scene
from pgjobs_testing.telling import amount, counted
from pgjobs_testing.trace import Event

MOST = 3
"""So many jobs are named one by one."""


def clues(expected: Expectation[Job], jobs: Sequence[Job], scene: Scene) -> list[str]:
    """Why a job that should be among ``jobs`` is not."""
    said = scene.unknown(expected.wanted, jobs)
    inserted = [each.job for each in scene.events("pgjobs.job.insert") if each.job is not None]
    return [
        *([said] if said else ()),
        *lost(expected, inserted, jobs, scene),
        *_counted_from_now(expected, jobs, scene),
        *duplicates(scene.events("pgjobs.job.conflict", "pgjobs.job.replace"), scene),
        *_elsewhere(expected, jobs, scene),
    ]


def lost(
    expected: Expectation[Job], inserted: Iterable[Job], jobs: Iterable[Job], scene: Scene
) -> Iterator[str]:
    """Jobs that matched as they were inserted, and are stored no more."""
    stored = {job.id for job in jobs}
    matching = [job for job in inserted if job.id not in stored and expected.judge(job)]
    for job in matching[:MOST]:
        yield f"{scene.called(job)} matched when it was inserted, and {fate(job, scene)}"
    if len(matching) > MOST:
        names = listed([scene.called(job) for job in matching[MOST:]])
        yield f"{names} matched when inserted too, and are stored no more"


def fate(job: Job, scene: Scene) -> str:
    """What became of an inserted job that is stored no more."""
    last: Event | None = None
    for each in scene.recorder.events():
        if each.job is not None and each.job.id == job.id and each.name != "pgjobs.job.insert":
            last = each
    if last is not None and last.name == "pgjobs.job.delete":
        return f"was deleted at {scene.times.short(last.at)}"
    if last is not None and last.job is not None and last.job.state in FINAL:
        ended = f"was {last.job.state} at {scene.times.short(last.at)}"
        return f"{ended}, and is stored no more: it was pruned, or deleted past pgjobs"
    return "is not stored: its transaction was rolled back, or is open still"


def duplicates(events: Iterable[Event], scene: Scene) -> Iterator[str]:
    """Inserts that stored nothing, since a job was there already."""
    met: Counter[tuple[str, str, bool]] = Counter()
    for each in events:
        if each.job is not None:
            changed = each.name == "pgjobs.job.replace"
            met[scene.called(each.job), scene.times.short(each.at), changed] += 1
    for (name, at, changed), count in list(met.items())[:MOST]:
        inserts = f"{counted(count, 'insert')} at {at}"
        what = f"found {name}, its duplicate (unique)"
        yield f"{inserts} {what}, and {'changed it' if changed else 'stored nothing'}"
    if len(met) > MOST:
        rest = sum(list(met.values())[MOST:])
        yield f"{counted(rest, 'more insert')} found a duplicate"


def _counted_from_now(
    expected: Expectation[Job], jobs: Iterable[Job], scene: Scene
) -> Iterator[str]:
    """A job that is due ``scheduled_in`` after its insert, and the clock has moved since."""
    spans = [each.pattern for each in expected.wanted if isinstance(each.pattern, Near)]
    if not spans or spans[0].after is None:
        return
    after, within = spans[0].after, spans[0].within
    for job in jobs:
        off = job.scheduled_at - job.inserted_at - after
        if abs(off) <= within and _misses(expected, job) == ["scheduled_in"]:
            yield (
                f"{scene.called(job)} is due {amount(after)} after its insert at "
                f"{scene.times.short(job.inserted_at)}; scheduled_in counts from now"
            )
            return


def _misses(expected: Expectation[Job], job: Job) -> list[str]:
    return [field.wanted.name for field in expected.compare(job).missed]


def _elsewhere(expected: Expectation[Job], jobs: Sequence[Job], scene: Scene) -> Iterator[str]:
    for other in scene.others:
        there = other.jobs()
        matching = sum(expected.judge(job) is True for job in there)
        if matching:
            does = "matches" if matching == 1 else "match"
            yield (
                f"{counted(matching, 'job')} in the database of the instance {other.name!r} {does}: "
                f"jobs[{other.name!r}] looks there"
            )
        elif there and not jobs:
            yield (
                f"{counted(len(there), 'job')} {'is' if len(there) == 1 else 'are'} in the database of "
                f"the instance {other.name!r}, where this does not look: jobs[{other.name!r}] does"
            )
    if not jobs and (outside := scene.outside()):
        yield (
            f"{counted(outside, 'job')} {'was' if outside == 1 else 'were'} inserted outside "
            "of this test (at import, or in a fixture of wider scope), where it does not look"
        )
