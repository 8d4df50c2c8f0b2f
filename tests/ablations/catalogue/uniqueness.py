"""Faults in what counts as a duplicate, and in what becomes of it."""

from tests.ablations.ablation import Ablation, Edit


def _within(later: str, finished: int) -> str:
    """How the function looks for what is in the way of a job, among the unfinished or the finished."""
    return (
        f"                THEN 1 ELSE 0 END = {finished}\n"
        f"              AND job.inserted_at {later} coalesce(inserted_after[given.rule], '-infinity')\n"
        f"              AND (job.scheduled_at {later} scheduled_after[given.rule]) IS NOT FALSE\n"
    )


UNIQUENESS = (
    Ablation(
        "memory: a period is closed at its end",
        7,
        "At exactly period after the first insert the place is still taken.",
        (
            Edit(
                "rules/unique.py",
                "return after is None or since > after",
                "return after is None or since >= after",
            ),
        ),
        (
            "test_a_place_is_free_at_exactly_its_period_and_not_one_microsecond_sooner",
            "TestInMemory",
            "test_the_period_is_half_open",
            "test_a_job_counts_until_the_period_has_passed",
        ),
        invariants=("unique",),
    ),
    Ablation(
        "SQL: a period is closed at its end",
        7,
        "At exactly period after the first insert the place is still taken.",
        (
            *(
                Edit(
                    "adapters/postgres/schema/003_pgjobs_unique.sql",
                    _within(">", finished),
                    _within(">=", finished),
                )
                for finished in (0, 1)
            ),
        ),
        (
            "test_a_place_is_free_at_exactly_its_period_and_not_one_microsecond_sooner",
            "test_the_period_is_half_open",
        ),
        invariants=("unique",),
    ),
    Ablation(
        "memory: a period counts from the insert, whatever timestamp says",
        14,
        'timestamp="scheduled_at" is ignored.',
        (
            Edit(
                "rules/unique.py",
                "since: datetime = getattr(job, self.timestamp)",
                "since: datetime = job.inserted_at",
            ),
        ),
        (
            "test_a_place_is_free_at_exactly_its_period_and_not_one_microsecond_sooner",
            "TestInMemory",
            "test_the_period_is_half_open",
            "test_a_job_counts_until_the_period_has_passed",
        ),
        invariants=("unique",),
    ),
    Ablation(
        "SQL: a period counts from the insert, whatever timestamp says",
        14,
        'timestamp="scheduled_at" is ignored.',
        (
            Edit(
                "adapters/postgres/unique.py",
                "if kind.timestamp == timestamp else None",
                'if timestamp == "inserted_at" else None',
            ),
        ),
        (
            "test_a_place_is_free_at_exactly_its_period_and_not_one_microsecond_sooner",
            "test_the_period_is_half_open",
        ),
        invariants=("unique",),
    ),
    Ablation(
        "args that share their first key are duplicates",
        2,
        "A part of the args is compared, and jobs are dropped that differ in the rest.",
        (
            Edit(
                "rules/unique.py",
                "counted = args if keys is None",
                "counted = {key: args[key] for key in sorted(args)[:1]} if keys is None",
            ),
        ),
        (
            "test_two_are_duplicates_just_where_jsonb_takes_their_args_for_equal",
            "TestInMemory",
            "test_args_are_equal_as_jsonb_has_it",
            "test_fingerprints_are_equal_just_when_args_are_equal_as_jsonb",
        ),
        invariants=("fingerprints",),
    ),
    Ablation(
        "a key that is absent is one that is null",
        4,
        "With keys= a job without the key is the duplicate of one that has null there.",
        (
            Edit(
                "rules/unique.py",
                "found = [[args[key]] if key in args else []]",
                "found = [[args.get(key)]]",
            ),
        ),
        (
            "TestInMemory",
            "test_keys_narrow_the_args_and_tell_an_absent_key_from_null",
            "test_missing_null_and_empty_are_three_things",
        ),
        invariants=("fingerprints",),
    ),
    Ablation(
        "true is 1",
        23,
        'Python has it that {"a": 1} == {"a": True}; jsonb has not.',
        (
            Edit(
                "rules/unique.py",
                "return text if _shows_no_float(text) or _has_no_float(value) else _spelled(value)",
                "return _spelled(value)",
            ),
            Edit(
                "rules/unique.py",
                "    return json.dumps(value)\n",
                "    return json.dumps(int(value) if isinstance(value, bool) else value)\n",
            ),
        ),
        (
            "test_two_are_duplicates_just_where_jsonb_takes_their_args_for_equal",
            "test_args_are_equal_as_jsonb_has_it",
            "test_fingerprints_are_equal_just_when_args_are_equal_as_jsonb",
        ),
        invariants=("fingerprints",),
    ),
    Ablation(
        "1 is not 1.0",
        23,
        "jsonb has it that 1 = 1.0; their texts differ.",
        (
            Edit(
                "rules/unique.py",
                'return str(int(whole)) if number == whole else f"{number.normalize():f}"',
                "return repr(value)",
            ),
        ),
        (
            "test_two_are_duplicates_just_where_jsonb_takes_their_args_for_equal",
            "test_args_are_equal_as_jsonb_has_it",
            "test_what_jsonb_does_not_tell_apart_has_one_fingerprint",
            "test_fingerprints_are_equal_just_when_args_are_equal_as_jsonb",
        ),
        invariants=("fingerprints",),
    ),
    Ablation(
        "a queue that is named differs from the same by default",
        5,
        'A job for queue="default" is no duplicate of one whose queue was left out.',
        (
            Edit(
                "worker.py",
                'merged.get("queue", DEFAULT_QUEUE)',
                'merged.get("queue", "")',
            ),
        ),
        (
            "TestInMemory",
            "test_a_queue_that_is_named_is_the_same_as_by_default",
        ),
        invariants=("fingerprints",),
    ),
    Ablation(
        "a suspended job does not count",
        22,
        "A state is missing from the default list: a duplicate is inserted beside it.",
        (
            Edit(
                "rules/unique.py",
                "if state not in (JobState.CANCELLED, JobState.DISCARDED)",
                "if state not in (JobState.CANCELLED, JobState.DISCARDED, JobState.SUSPENDED)",
            ),
        ),
        (
            "TestInMemory",
            "test_every_state_has_its_place_among_those_that_count",
        ),
    ),
    Ablation(
        "an executing job does not count",
        22,
        "A duplicate is inserted beside a job that runs.",
        (
            Edit(
                "rules/unique.py",
                "if state not in (JobState.CANCELLED, JobState.DISCARDED)",
                "if state not in (JobState.CANCELLED, JobState.DISCARDED, JobState.EXECUTING)",
            ),
        ),
        ("TestInMemory", "test_every_state_has_its_place_among_those_that_count", "unique.yaml"),
    ),
    Ablation(
        "memory: a batch skips uniqueness",
        13,
        "insert_all stores what insert answers as a conflict.",
        (
            Edit(
                "adapters/memory/jobs.py",
                "    rule = new.unique\n    if rule is None:",
                "    rule = new.unique if single else None\n    if rule is None:",
            ),
            Edit(
                "adapters/memory/jobs.py",
                "return [_inserted(rows, new, effect.now) for new in effect.jobs]",
                "single = len(effect.jobs) == 1\n"
                "    return [_inserted(rows, new, effect.now, single) for new in effect.jobs]",
            ),
            Edit(
                "adapters/memory/jobs.py",
                "def _inserted(rows: Rows, new: NewJob, now: datetime) -> Job:",
                "def _inserted(rows: Rows, new: NewJob, now: datetime, single: bool) -> Job:",
            ),
        ),
        (
            "test_one_by_one_or_at_once_the_same_are_duplicates",
            "TestInMemory",
            "test_one_by_one_or_at_once_the_same_jobs_are_stored_and_answered",
        ),
        invariants=("unique",),
    ),
    Ablation(
        "SQL: a batch skips uniqueness",
        13,
        "insert_all stores what insert answers as a conflict.",
        (
            Edit(
                "adapters/postgres/writing.py",
                "    if any(new.unique is not None for new in effect.jobs):\n",
                "    if len(effect.jobs) == 1 and effect.jobs[0].unique is not None:\n",
            ),
        ),
        (
            "test_one_by_one_or_at_once_the_same_are_duplicates",
            "test_one_by_one_or_at_once_the_same_jobs_are_stored_and_answered",
        ),
        invariants=("unique",),
    ),
    Ablation(
        "SQL: duplicates within a batch are stored",
        106,
        "A batch is compared with what was there before it, and not with itself.",
        (
            Edit(
                "adapters/postgres/schema/003_pgjobs_unique.sql",
                "new.oldest IS NULL AND new.twin IS NOT TRUE AS fresh",
                "new.oldest IS NULL AS fresh",
            ),
        ),
        (
            "test_one_by_one_or_at_once_the_same_are_duplicates",
            "test_of_duplicates_within_a_batch_the_first_is_stored",
        ),
        invariants=("unique",),
    ),
    Ablation(
        "SQL: duplicates within what is copied are stored",
        106,
        "Many jobs at once are compared with what was there before them, and not with themselves.",
        (
            Edit(
                "adapters/postgres/copying.py",
                "if n not in there and n not in twins]",
                "if n not in there]",
            ),
            Edit(
                "adapters/postgres/copying.py",
                "        elif n in twins:\n",
                "        elif False:\n",
            ),
            Edit("adapters/postgres/copying.py", "not twins and not (rules", "not (rules"),
        ),
        ("test_many_at_once_are_judged_as_one_by_one",),
        invariants=("unique",),
    ),
    Ablation(
        "SQL: an insert takes no lock",
        19,
        "Inserts at the same time each find nothing in their way, and all of them store a job.",
        (
            Edit(
                "adapters/postgres/schema/003_pgjobs_unique.sql",
                "    IF new_slots <> '{}' THEN\n",
                "    IF false THEN\n",
            ),
        ),
        (
            "test_a_duplicate_waits_for_the_first_to_end_and_never_trusts_a_ghost",
            "test_one_job_of_each_fingerprint_is_stored_at_every_isolation_level",
        ),
        races=True,
    ),
    Ablation(
        "SQL: an insert does not wait for the lock",
        1,
        "DO NOTHING does not wait for the holder of a slot that is there: both look, and both insert.",
        (
            Edit(
                "adapters/postgres/schema/003_pgjobs_unique.sql",
                "        ON CONFLICT (slot) DO UPDATE SET slot = held.slot;\n",
                "        ON CONFLICT (slot) DO NOTHING;\n",
            ),
        ),
        (
            "test_a_duplicate_waits_for_the_first_to_end_and_never_trusts_a_ghost",
            "test_one_job_of_each_fingerprint_is_stored_at_every_isolation_level",
        ),
        races=True,
    ),
    Ablation(
        "a period of None is over at once",
        17,
        "An optional input that is missing makes the slot empty, and nothing is a duplicate.",
        (
            Edit(
                "rules/unique.py",
                "return None if self.period is None else now - self.period",
                "return now - (self.period or timedelta(0))",
            ),
        ),
        (
            "TestInMemory",
            "test_a_period_of_none_has_no_end",
            "test_a_period_without_end_never_passes",
        ),
        invariants=("unique",),
    ),
    Ablation(
        "a period may be negative",
        20,
        "A period of less than nothing is taken, and no job ever counts.",
        (
            Edit(
                "rules/unique.py",
                'span = duration(value, "the period of unique")',
                'span = duration(value, "the period of unique", least_s=-1e9)',
            ),
            Edit(
                "rules/unique.py",
                "    if span <= timedelta(0):\n",
                "    if span == timedelta(0):\n",
            ),
        ),
        ("test_a_bad_value_is_refused_when_it_is_given",),
    ),
    Ablation(
        "memory: replace ignores the states that it names",
        None,
        "The args of a job that runs are replaced, so that its next attempt has others.",
        (
            Edit(
                "rules/replacing.py",
                "    found = replacements(new, now).get(job.state)\n",
                "    found = next(iter(replacements(new, now).values()), None)\n"
                "    found = found and Replacement(found.fields, job.state, 0)\n",
            ),
        ),
        (
            "TestInMemory",
            "test_a_state_that_is_not_named_is_left_alone",
        ),
        invariants=("replaces", "same_args"),
    ),
    Ablation(
        "a replaced instant leaves the state as it was",
        64,
        "A job that is put off stays available, and starts now.",
        (
            Edit(
                "rules/replacing.py",
                "        follows = first_state(due_at(new, now), now)\n",
                "        follows = state\n",
            ),
        ),
        (
            "TestInMemory",
            "test_the_state_follows_scheduled_at_and_a_later_claim_obeys",
            "test_the_state_follows_scheduled_at_only_where_the_job_waits",
        ),
        invariants=("not_early", "lawful", "books", "as_told"),
    ),
    Ablation(
        "memory: a replaced max_attempts forgets those used",
        None,
        "A job that has failed three times is given two attempts, and can never start.",
        (
            Edit(
                "rules/replacing.py",
                "min(MAX_ATTEMPTS, max(new.max_attempts, job.attempt + found.spare))",
                "new.max_attempts",
            ),
        ),
        (
            "TestInMemory",
            "test_max_attempts_never_fall_below_what_the_job_has_used",
            "test_any_batch_on_any_rows_is_answered_as_if_inserted_one_by_one_in_memory",
        ),
        invariants=("as_told", "can_run", "counted"),
    ),
    Ablation(
        "memory: the newest duplicate is answered",
        19,
        "Of several jobs in the way the last is answered, not the oldest.",
        (
            Edit(
                "adapters/memory/jobs.py",
                "job = next((job for job in rows.group(rule.fingerprint) if",
                "job = next((job for job in reversed([*rows.group(rule.fingerprint)]) if",
            ),
        ),
        (
            "TestInMemory",
            "test_of_several_duplicates_the_oldest_is_answered",
        ),
        invariants=("unique",),
    ),
)
