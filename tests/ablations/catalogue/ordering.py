"""Faults in orders for many jobs: which they reach, and in which order."""

from tests.ablations.ablation import Ablation, Edit

ORDERING = (
    Ablation(
        "a filter with a list means its first value",
        None,
        "cancel_all_jobs(state=[...]) changes jobs of one of the states, and tells of no other.",
        (
            Edit(
                "rules/selection.py",
                "return OneOf(name, tuple(_scalar(name, item) for item in values))",
                "return OneOf(name, tuple(_scalar(name, item) for item in values[:1]))",
            ),
        ),
        ("test_filters_match_by_field_list_containment_and_tags",),
        invariants=("obeyed",),
    ),
    Ablation(
        "a delete of many passes by what is over",
        None,
        "delete_all_jobs takes jobs that wait or run, as cancel_all_jobs does, and leaves the rest.",
        (
            Edit(
                "client.py",
                "        chosen = filtered(filters)\n"
                "        return (yield from self._all(chosen, lambda page: effects.Delete(",
                "        chosen = filtered(filters).leaving(lifecycle.Event.CANCEL)\n"
                "        return (yield from self._all(chosen, lambda page: effects.Delete(",
            ),
        ),
        ("test_more_jobs_than_one_effect_takes_are_changed_all_the_same",),
        invariants=("obeyed",),
    ),
    Ablation(
        "memory: jobs are deleted in the order of their ids",
        None,
        "A delete of many and a cancel of many go through their jobs in two orders: on a server, a deadlock.",
        (
            Edit(
                "adapters/memory/jobs.py",
                "tables.jobs.matching(effect.selection, _by_due), effect.limit)\n"
                "    for job in found:\n        tables.jobs.remove(job)\n",
                "tables.jobs.matching(effect.selection, lambda job: job.id), effect.limit)\n"
                "    for job in found:\n        tables.jobs.remove(job)\n",
            ),
        ),
        invariants=("obeyed",),
    ),
)
