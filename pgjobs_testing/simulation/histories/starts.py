"""Whether starts were fenced: a run for each claim, an outcome for the current one, none beside another.

What a job ran through is known twice: from its worker and node, who tell of claims by their tokens, and
from the journal, which says what became of each claim. The two must agree.
"""

from __future__ import annotations

from collections.abc import Iterator

from pgjobs_testing.simulation.histories.lives import Claim, Life
from pgjobs_testing.simulation.histories.model import NEVER, Anomaly, Execution, History, Told

Key = tuple[int, str]


def starts(history: History, known: dict[int, Life]) -> Iterator[Anomaly]:
    """Every anomaly of what ran, and of what was said of it."""
    claims = {(life.job, claim.token): claim for life in known.values() for claim in life.claims()}
    runs: dict[Key, list[Execution]] = {}
    for run in history.executions:
        runs.setdefault((run.job, run.token), []).append(run)
    yield from _started(claims, runs)
    yield from _counted(history, claims)
    yield from _earned(claims, runs)
    yield from _apart(claims, runs)


def _started(claims: dict[Key, Claim], runs: dict[Key, list[Execution]]) -> Iterator[Anomaly]:
    """One run at most for a claim, and none without."""
    for (job, token), found in runs.items():
        claim = claims.get((job, token))
        if claim is None:
            yield Anomaly("unclaimed-start", f"job {job} ran as {token}, never claimed so", (job,))
        elif any(run.attempt != claim.begin.attempt for run in found):
            seen = f"job {job} ran as attempt {found[0].attempt}, claimed as {claim.begin.attempt}"
            yield Anomaly("unclaimed-start", seen, (job,))
        if len(found) > 1:
            yield Anomaly("started-twice", f"job {job} ran {len(found)} times as {token}", (job,))


def _counted(history: History, claims: dict[Key, Claim]) -> Iterator[Anomaly]:
    """What a node told as counted is what ended the claim, once."""
    counted: dict[Key, Told] = {}
    for told in history.told:
        if told.what not in ("settled", "released"):
            continue
        job, key = told.job, (told.job, told.token)
        claim = claims.get(key)
        end = None if claim is None or claim.end is None else claim.end.after
        if key in counted:
            yield Anomaly("unfenced", f"two outcomes counted for job {job} as {told.token}", (job,))
        elif told.what == "released":
            if claim is None or not claim.released:
                seen = f"job {job} was given back as {told.token}; its claim ended as {end}"
                yield Anomaly("unfenced", seen, (job,))
        elif end != told.state:
            seen = f"an outcome of job {job} counted as {told.state}; its claim ended as {end}"
            yield Anomaly("unfenced", seen, (job,))
        counted[key] = told


def _earned(claims: dict[Key, Claim], runs: dict[Key, list[Execution]]) -> Iterator[Anomaly]:
    """No job is completed or snoozed but by a run that came to its end, nor failed without a run."""
    for (job, token), claim in claims.items():
        if not claim.settled:
            continue
        assert claim.end is not None
        found = runs.get((job, token), [])
        if not found or (
            claim.end.after != "retryable" and all(run.ended is None for run in found)
        ):
            seen = f"job {job} became {claim.end.after} as {token}, which ran {len(found)} times to no end"
            yield Anomaly("unearned", seen, (job,))


def _apart(claims: dict[Key, Claim], runs: dict[Key, list[Execution]]) -> Iterator[Anomaly]:
    """A run has ended before the next of its job begins, unless its claim was taken from it."""
    by_job: dict[int, list[Execution]] = {}
    for found in runs.values():
        for run in found:
            by_job.setdefault(run.job, []).append(run)
    for job, executions in by_job.items():
        ends = 0.0
        for run in sorted(executions, key=lambda each: each.began):
            if run.began < ends:
                seen = f"job {job} ran as {run.token} before an earlier run had ended"
                yield Anomaly("overlap", seen, (job,))
            claim = claims.get((job, run.token))
            if claim is not None and claim.settled:
                ends = max(ends, NEVER if run.ended is None else run.ended)
