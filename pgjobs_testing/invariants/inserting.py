"""What an insert stores, and what it finds in its way: uniqueness is judged here, and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pgjobs.rules.job import Job, NewJob
from pgjobs.rules.unique import FIELDS, UNSET, UniqueRule
from pgjobs_testing.invariants.ledger import Ledger
from pgjobs_testing.invariants.passages import Passage
from pgjobs_testing.invariants.sight import Sight, named


def answered(sight: Sight) -> None:
    """An insert answers with one job for each that was given (section 2; bugs 13, 19, 106)."""
    effect, answer = sight.effect, sight.answer
    if answer is not None and len(answer) != len(effect.jobs):
        sight.alarm(
            "answered", f"{len(effect.jobs)} jobs were inserted, and {len(answer)} are answered"
        )


def unique(sight: Sight, passage: Passage) -> None:
    """A duplicate is the oldest job with an equal fingerprint, in a state that counts, whose timestamp is
    less than the period ago: it is answered as a conflict, and nothing else is (edge 4; bugs 1, 2, 7, 10, 13,
    14, 17, 19, 22)."""
    new = passage.new
    if new is None:
        return
    found = None if new.unique is None else in_the_way(sight.ledger, new.unique, passage.at)
    if passage.event == "insert":
        if found is not None:
            sight.alarm(
                "unique", f"a duplicate of {named(found)} was inserted", passage.id, found.id
            )
        return
    if found is None:
        sight.alarm(
            "unique", f"job {passage.id} was answered, and nothing was in the way", passage.id
        )
    if found.id != passage.id:
        sight.alarm(
            "unique", f"{named(found)} is in the way, not job {passage.id}", passage.id, found.id
        )


def replaces(sight: Sight, passage: Passage) -> None:
    """On a conflict fields are replaced just where ``replace`` names the state (edge 5; bug 64)."""
    if passage.new is None or passage.event == "insert" or passage.before is None:
        return
    named_for = dict(passage.new.replace).get(passage.before.state)
    if (named_for is not None) != (passage.event == "replace"):
        sight.alarm("replaces", f"{passage.event} with {named(passage.before)}", passage.id)


def in_the_way(ledger: Ledger, rule: UniqueRule, now: datetime) -> Job | None:
    """The oldest job that an insert at ``now`` has to answer with."""
    for row in ledger.group(rule.fingerprint):
        since: datetime = getattr(row, rule.timestamp)
        if row.state in rule.states and (rule.period is None or now - since < rule.period):
            return row
    return None


class Fingerprints:
    """Fingerprints are equal just where the chosen fields are equal as jsonb: 1 is 1.0 and not true, an
    absent key is not null, and part of some args is not those args (edge 4; bugs 2, 4, 5, 23)."""

    def __init__(self) -> None:
        self._meanings: dict[str, object] = {}
        self._fingerprints: dict[object, str] = {}

    def __call__(self, sight: Sight, passage: Passage) -> None:
        new = passage.new
        if new is None or new.unique is None or new.unique.how is None:
            return
        fingerprint, meaning = new.unique.fingerprint, meant(new, new.unique.how)
        if (
            self._meanings.setdefault(fingerprint, meaning) != meaning
            or self._fingerprints.setdefault(meaning, fingerprint) != fingerprint
        ):
            sight.alarm(
                "fingerprints", f"{fingerprint} stands for other fields than {meaning}", passage.id
            )


def meant(new: NewJob, how: Any) -> object:
    """What makes a job the same as another one, as a value that compares."""
    fields = FIELDS if how.fields is UNSET else how.fields
    keys = None if how.keys is UNSET else how.keys
    parts: dict[str, object] = {
        "worker": new.worker,
        "queue": new.queue,
        "args": compared(new.args),
    }
    if keys is not None:
        parts["args"] = tuple((key, reached(new.args, key)) for key in keys)
    return tuple((name, parts[name]) for name in FIELDS if name in fields)


def reached(args: Mapping[str, Any], key: str) -> object:
    """What ``args`` has under a key, and at the path that it spells."""
    at: Any = args
    for step in key.split("."):
        at = at.get(step, UNSET) if isinstance(at, Mapping) else UNSET
    plain = args.get(key, UNSET)
    return tuple("absent" if each is UNSET else compared(each) for each in (plain, at))


def compared(value: Any) -> object:
    """A JSON value as one that is equal to another just where jsonb says so."""
    if isinstance(value, Mapping):
        return "object", tuple((key, compared(value[key])) for key in sorted(value))
    if isinstance(value, list):
        return "array", tuple(map(compared, value))
    if isinstance(value, bool) or value is None:
        return "literal", repr(value)
    return "text" if isinstance(value, str) else "number", value
