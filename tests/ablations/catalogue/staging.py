"""Faults in when a job falls due, and in how a node comes to know of it."""

from tests.ablations.ablation import Ablation, Edit

STAGING = (
    Ablation(
        "SQL: a job falls due by the server's clock",
        97,
        "Staging compares with the server's now(), whatever the injected clock says.",
        (
            Edit(
                "adapters/postgres/polling.py",
                "  WHERE {where(due(LAST_INSTANT), names, given)}\n  ORDER BY scheduled_at, id\n",
                "  WHERE state IN ('scheduled', 'retryable') AND {given.instant(LAST_INSTANT)} IS NOT NULL\n"
                "    AND scheduled_at <= (now() AT TIME ZONE 'utc')\n"
                "  ORDER BY scheduled_at, id\n",
            ),
        ),
        ("test_due_jobs_become_available_in_order_of_their_due_instant",),
        invariants=("poll_is_true", "staged_when_due", "not_early"),
    ),
    Ablation(
        "memory: a job falls due a second early",
        97,
        "It starts before its instant.",
        (
            Edit(
                "adapters/memory/jobs.py",
                "    now = effect.stage.at\n",
                "    now = later(effect.stage.at, 1)\n",
            ),
            Edit(
                "adapters/memory/jobs.py",
                "from pgjobs.rules.lifecycle import Change, Event, Settlement, sources\n",
                "from pgjobs.rules.lifecycle import Change, Event, Settlement, sources\n"
                "from pgjobs.rules.schedule import later\n",
            ),
        ),
        (
            "TestInMemory",
            "test_due_jobs_become_available_in_order_of_their_due_instant",
            "scheduled.yaml",
        ),
        invariants=("poll_is_true", "staged_when_due", "not_early"),
    ),
    Ablation(
        "memory: a job does not fall due at its very instant",
        97,
        "Due is < and not <=: it waits for the next look.",
        (
            Edit(
                "adapters/memory/jobs.py",
                "rows.due[0][0] <= now and",
                "rows.due[0][0] < now and",
            ),
        ),
        (
            "TestInMemory",
            "test_due_jobs_become_available_in_order_of_their_due_instant",
        ),
        invariants=("poll_is_true", "staged_when_due"),
    ),
    Ablation(
        "memory: a waiting duplicate blocks all staging",
        8,
        "One retryable job whose group has an available job stands in the way of all that is due.",
        (
            Edit(
                "adapters/memory/jobs.py",
                "        job = rows.by_id[rows.due[0][1]]\n",
                "        job = rows.by_id[rows.due[0][1]]\n"
                '        twins = rows.group(str(job.meta.get("pgjobs_unique")))\n'
                '        if any(twin.state == "available" for twin in twins):\n'
                "            break\n",
            ),
        ),
        (
            "TestInMemory",
            "test_staging_retry_and_rescue_are_never_blocked",
        ),
        invariants=("poll_is_true", "ends"),
    ),
    Ablation(
        "memory: a unique job locks itself out when it falls due",
        10,
        "A scheduled job that is unique is its own duplicate, and is never staged.",
        (
            Edit(
                "adapters/memory/jobs.py",
                "        job = rows.by_id[rows.due[0][1]]\n",
                "        job = rows.by_id[rows.due[0][1]]\n"
                '        if job.state == "scheduled" and rows.group(str(job.meta.get("pgjobs_unique"))):\n'
                "            break\n",
            ),
        ),
        (
            "TestInMemory",
            "test_staging_retry_and_rescue_are_never_blocked",
        ),
        invariants=("poll_is_true", "ends"),
    ),
    Ablation(
        "SQL: a retry that has a duplicate is never staged",
        11,
        "A retryable job whose group has an available job sticks for ever.",
        (
            Edit(
                "adapters/postgres/polling.py",
                "  WHERE {where(due(LAST_INSTANT), names, given)}\n  ORDER BY scheduled_at, id\n",
                "  WHERE {where(due(LAST_INSTANT), names, given)}\n"
                "    AND NOT EXISTS (SELECT FROM {names.jobs} AS twin WHERE twin.state = 'available'\n"
                "      AND twin.meta ->> 'pgjobs_unique' = {names.jobs}.meta ->> 'pgjobs_unique')\n"
                "  ORDER BY scheduled_at, id\n",
            ),
        ),
        (
            "test_the_engine_is_as_the_model_has_it_on_postgresql",
            "test_staging_retry_and_rescue_are_never_blocked",
        ),
        invariants=("poll_is_true", "ends"),
    ),
    Ablation(
        "staging makes a job due now",
        29,
        "scheduled_at becomes the instant of staging, so that jobs start in another order.",
        (
            Edit(
                "rules/lifecycle.py",
                "    return Change(Event.STAGE, A, now)\n",
                "    return Change(Event.STAGE, A, now, scheduled_at=now)\n",
            ),
        ),
        (
            "TestInMemory",
            "test_staging_leaves_the_instant_at_which_the_job_was_due",
            "test_any_change_of_any_rows_equals_the_rule",
        ),
        invariants=("books", "as_told", "in_order"),
    ),
    Ablation(
        "a poll does not say which queues are ready",
        100,
        "A job whose notification is lost waits until another arrives.",
        (
            Edit(
                "engine/node.py",
                "for name in polled.ready:",
                "for name in ():",
            ),
        ),
        (
            "test_with_every_signal_lost_a_job_starts_within_the_poll_interval",
            "due-without-notifications.yaml",
        ),
        invariants=("ends",),
    ),
    Ablation(
        "nothing is polled where no signal comes",
        100,
        "The interval is no floor: with every notification lost a node sleeps for ever.",
        (
            Edit(
                "engine/stager.py",
                "self._floor = later(self._last, self._interval) if self._floors else None",
                "self._floor = None",
            ),
        ),
        ("test_with_every_signal_lost_a_job_starts_within_the_poll_interval",),
        invariants=("ends", "unpaused"),
    ),
    Ablation(
        "a node stages what it serves alone",
        None,
        "A due job of a queue that no version lists any more is never made available.",
        (
            Edit(
                "adapters/memory/jobs.py",
                "        job = rows.by_id[rows.due[0][1]]\n"
                "        rows.put(lifecycle.apply(effect.stage, job))\n",
                "        job = rows.by_id[rows.due[0][1]]\n"
                "        if job.queue not in effect.queues:\n"
                "            break\n"
                "        rows.put(lifecycle.apply(effect.stage, job))\n",
            ),
        ),
        ("restart-with-other-queues.yaml",),
        invariants=("poll_is_true", "ends"),
    ),
    Ablation(
        "polls come once in ten seconds",
        100,
        "With every notification lost a job starts up to 10 s late.",
        (
            Edit(
                "rules/options.py",
                "POLL_INTERVAL = timedelta(seconds=1)",
                "POLL_INTERVAL = timedelta(seconds=10)",
            ),
        ),
        (
            "test_with_every_signal_lost_a_job_starts_within_the_poll_interval",
            "due-without-notifications.yaml",
        ),
        invariants=("unpaused",),
    ),
    Ablation(
        "controls are read once",
        100,
        "What is set by hand after a node's start is never seen by it.",
        (
            Edit(
                "engine/serving.py",
                "        if controls == self.controls:\n            return\n",
                "        if self.controls is not None:\n            return\n",
            ),
        ),
        (
            "TestInMemory",
            "test_with_every_signal_lost_a_pause_is_seen_within_the_poll_interval",
            "pause-and-resume.yaml",
        ),
        invariants=("unpaused",),
    ),
    Ablation(
        "a poll that failed is the last one",
        101,
        "After one failure of the store a node looks no more.",
        (
            Edit(
                "engine/stager.py",
                "        self._polling = False\n        self._patience.lose(now)\n",
                "        self._patience.lose(now)\n",
            ),
        ),
        (
            "test_after_an_outage_of_an_hour_a_due_job_starts_within_the_longest_pause",
            "database-down.yaml",
        ),
        invariants=("ends", "unpaused"),
    ),
    Ablation(
        "a job due now is scheduled",
        64,
        "A job inserted for this very instant waits as one that is due later.",
        (
            Edit(
                "rules/schedule.py",
                "return JobState.AVAILABLE if scheduled_at <= now else JobState.SCHEDULED",
                "return JobState.AVAILABLE if scheduled_at < now else JobState.SCHEDULED",
            ),
        ),
        (
            "TestInMemory",
            "test_a_job_due_now_or_earlier_is_available_and_one_due_later_is_scheduled",
        ),
        invariants=("as_told", "lawful"),
    ),
    Ablation(
        "a wait is counted from the template",
        88,
        "schedule_in beyond the last instant falls before now instead of at the calendar's end.",
        (
            Edit(
                "rules/schedule.py",
                "    except OverflowError:\n        return LAST_INSTANT\n\n\ndef earlier",
                "    except OverflowError:\n        return now\n\n\ndef earlier",
            ),
        ),
        (
            "TestInMemory",
            "test_schedule_in_counts_from_the_insert_and_never_passes_the_last_instant",
        ),
    ),
    Ablation(
        "the next wall time may be one that has passed",
        88,
        "Just before midnight the delay until 00:00 is negative.",
        (
            Edit(
                "rules/schedule.py",
                "        if at > now:\n            return at\n",
                "        if at.date() >= now.date():\n            return at\n",
            ),
        ),
        ("test_the_next_wall_time_is_the_first_that_a_clock_on_the_wall_shows",),
    ),
)
