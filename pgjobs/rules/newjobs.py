"""Whether a job may be inserted: what ``worker.new`` made may, anything else is checked again.

A ``NewJob`` can be made by hand, or copied with other args (``dataclasses.replace``); its fingerprint is then
that of what it is now.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pgjobs.rules import options
from pgjobs.rules.job import NewJob
from pgjobs.rules.jsonb import merged, normal_object
from pgjobs.rules.unique import META_KEY

_OPTIONS = ("queue", "max_attempts", "priority", "tags", "meta", "scheduled_at", "schedule_in")


def checked(new: NewJob) -> NewJob:
    """``new``, marked as one that may be inserted."""
    object.__setattr__(new, "made", True)
    return new


def insertable(new: NewJob) -> NewJob:
    """``new`` if it was checked, else a checked copy in normal form.

    ``InvalidJobError`` for args and meta that JSON cannot hold, ``ConfigurationError`` for options.
    """
    if new.made:
        return new
    worker = options.name(new.worker, "the worker of a job")
    args = normal_object(new.args, "args")
    given: dict[str, Any] = {name: getattr(new, name) for name in _OPTIONS}
    chosen: dict[str, Any] = options.job_options({k: v for k, v in given.items() if v is not None})
    rule = new.unique
    if rule is not None and rule.how is not None:
        rule = rule.how.rule(worker, chosen["queue"], args)
        chosen["meta"] = merged(chosen["meta"], {META_KEY: rule.fingerprint})
    return checked(replace(new, worker=worker, args=args, unique=rule, **chosen))
