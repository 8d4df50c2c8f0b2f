"""Faults in what an outcome makes of its job, for whom it counts, and how it reaches the store."""

from tests.ablations.ablation import Ablation, Edit

SETTLING = (
    Ablation(
        "memory: an outcome is fenced by id and state alone",
        53,
        "The late outcome of an attempt that was rescued settles the attempt after it.",
        (
            Edit(
                "adapters/memory/jobs.py",
                "    fenced = rows.holds(settlement.id, settlement.token)\n",
                "    fenced = settlement.id in rows.executing\n",
            ),
        ),
        ("test_a_late_outcome_changes_nothing_after_the_job_was_claimed_anew", "late-outcome.yaml"),
        invariants=("fenced",),
    ),
    Ablation(
        "SQL: an outcome is fenced by id and state alone",
        53,
        "The late outcome of an attempt that was rescued settles the attempt after it.",
        (
            Edit(
                "adapters/postgres/writing.py",
                "WHERE {by_id(\"given.id\")} AND job.state::text = 'executing'\n"
                "  AND coalesce(job.attempted_by[2], '') = given.token\n",
                "WHERE {by_id(\"given.id\")} AND job.state::text = 'executing'\n",
            ),
            Edit(
                "adapters/postgres/writing.py",
                "AND job.state::text = 'executing'\n"
                "  AND coalesce(job.attempted_by[2], '') = {token}\n",
                "AND job.state::text = 'executing'\n  AND ({token})::text IS NOT NULL\n",
            ),
        ),
        ("test_a_late_outcome_changes_nothing_after_the_job_was_claimed_anew",),
        invariants=("fenced",),
    ),
    Ablation(
        "memory: a late outcome changes the state",
        52,
        "A job that was cancelled or rescued meanwhile is settled all the same: finished and failed.",
        (
            Edit(
                "adapters/memory/jobs.py",
                "    fenced = rows.holds(settlement.id, settlement.token)\n    if fenced:\n"
                "        rows.put(lifecycle.apply(settlement.change, rows.by_id[settlement.id]))\n",
                "    job = rows.by_id.get(settlement.id)\n"
                "    fenced = job is not None and job.token == settlement.token\n"
                "    if job is not None and fenced:\n"
                '        running = revised(job, {"state": JobState.EXECUTING})\n'
                "        rows.put(lifecycle.apply(settlement.change, running))\n",
            ),
            Edit(
                "adapters/memory/jobs.py",
                "from pgjobs.rules.job import Job, NewJob, revised\n",
                "from pgjobs.rules.job import Job, JobState, NewJob, revised\n",
            ),
        ),
        ("test_a_late_outcome_changes_nothing_after_a_cancellation",),
        invariants=("fenced", "lawful"),
    ),
    Ablation(
        "SQL: a late outcome changes the state",
        52,
        "A job that was cancelled or rescued meanwhile is settled all the same: finished and failed.",
        (
            Edit(
                "adapters/postgres/writing.py",
                "WHERE {by_id(\"given.id\")} AND job.state::text = 'executing'\n"
                "  AND coalesce(job.attempted_by[2], '') = given.token\n",
                "WHERE {by_id(\"given.id\")} AND coalesce(job.attempted_by[2], '') = given.token\n",
            ),
            Edit(
                "adapters/postgres/writing.py",
                "WHERE job.id = ANY ({given.numbers(ids)}) AND job.state::text = 'executing'\n"
                "  AND ",
                "WHERE job.id = ANY ({given.numbers(ids)})\n  AND ",
            ),
        ),
        ("test_a_late_outcome_changes_nothing_after_a_cancellation",),
        invariants=("fenced", "lawful"),
    ),
    Ablation(
        "a snooze uses its attempt up",
        47,
        "A job that snoozes often is discarded though it never failed.",
        (
            Edit(
                "rules/lifecycle.py",
                "            attempt_by=-1,\n            scheduled_at=later(now, outcome.snooze_s),",
                "            scheduled_at=later(now, outcome.snooze_s),",
            ),
        ),
        (
            "TestInMemory",
            "test_a_snoozed_job_comes_back_with_its_attempt",
            "snoozes-and-failures.yaml",
            "test_any_batch_on_any_rows_equals_the_rule",
        ),
        invariants=("counted",),
    ),
    Ablation(
        "memory: a snooze raises max_attempts instead",
        47,
        "The attempt is not given back but max_attempts raised, so that the backoff is skewed.",
        (
            Edit(
                "rules/lifecycle.py",
                "    new.attempt = job.attempt + change.attempt_by\n",
                "    snoozed = change.event is Event.SNOOZE\n"
                "    new.attempt = job.attempt + (0 if snoozed else change.attempt_by)\n"
                "    new.max_attempts = job.max_attempts + snoozed\n",
            ),
        ),
        (
            "TestInMemory",
            "test_a_snoozed_job_comes_back_with_its_attempt",
            "snoozes-and-failures.yaml",
        ),
        invariants=("as_told", "counted"),
    ),
    Ablation(
        "the last attempt is retried",
        50,
        "A job that fails at max_attempts waits for an attempt that it does not have.",
        (
            Edit(
                "rules/lifecycle.py",
                "    if job.attempt >= job.max_attempts:\n        return Change(event, D, now, error=error)",
                "    if job.attempt > job.max_attempts:\n        return Change(event, D, now, error=error)",
            ),
        ),
        (
            "TestInMemory",
            "test_an_outcome_makes_of_a_job_what_the_table_says",
            "graceful-degradation.yaml",
            "retry-discarded.yaml",
            "test_a_failed_job_runs_again_at_the_very_end_of_each_backoff",
        ),
        invariants=("at_its_last_attempt", "can_run"),
    ),
    Ablation(
        "memory: an error is appended twice",
        None,
        "Each failure leaves two entries in errors.",
        (
            Edit(
                "rules/lifecycle.py",
                "new.errors = (*job.errors, error_entry(change, job.attempt))",
                "new.errors = (*job.errors, *(error_entry(change, job.attempt),) * 2)",
            ),
        ),
        (
            "TestInMemory",
            "test_errors_are_appended_with_the_attempt_that_failed",
        ),
        invariants=("books", "as_told"),
    ),
    Ablation(
        "SQL: an error replaces those before it",
        None,
        "Only the newest failure is kept in errors.",
        (
            Edit(
                "adapters/postgres/changes.py",
                "f\"ELSE job.errors || {_entry('given.at', 'given.error')} END, \"",
                "f\"ELSE jsonb_build_array({_entry('given.at', 'given.error')}) END, \"",
            ),
        ),
        ("test_errors_are_appended_with_the_attempt_that_failed",),
        invariants=("books", "as_told"),
    ),
    Ablation(
        "one refused outcome blocks its batch",
        55,
        "A batch with one outcome that the store refuses is tried again as a whole, for ever.",
        (
            Edit(
                "engine/settler.py",
                "            self._size = max(1, len(batch) // 2)\n",
                "            self._patience.lose(now)\n",
            ),
        ),
        ("test_a_refused_outcome_is_found_among_others_and_saved_as_a_failure",),
        invariants=("no_orphan", "ends"),
    ),
    Ablation(
        "a refused outcome is dropped",
        55,
        "The outcome that the store refuses is logged and forgotten: its row stays executing.",
        (
            Edit(
                "engine/settler.py",
                "        elif refused and batch[0].refused is None:\n",
                "        elif refused and batch[0].refused is not None:\n",
            ),
        ),
        (
            "test_a_refused_outcome_is_found_among_others_and_saved_as_a_failure",
            "test_a_refused_outcome_that_was_tried_in_an_outage_before_is_saved_as_a_failure",
        ),
        invariants=("no_orphan", "ends"),
    ),
    Ablation(
        "the text of an error is stored as it is",
        55,
        'A worker that raises ValueError("\\x00") makes an outcome that jsonb refuses.',
        (
            Edit(
                "rules/outcome.py",
                'return bounded(storable_text(f"{first}\\n\\n{trace}" if trace else first))',
                'return bounded(f"{first}\\n\\n{trace}" if trace else first)',
            ),
        ),
        ("test_what_jsonb_cannot_hold_is_escaped", "test_every_text_of_an_error_can_be_stored"),
        invariants=("not_refused",),
    ),
    Ablation(
        "a cancelled task has no outcome",
        56,
        "A worker that raises asyncio.CancelledError is not caught, and its row stays executing.",
        (
            Edit(
                "adapters/performing.py",
                "    except BaseException as error:  # a job must not end the loop that all jobs share\n",
                "    except (Exception, KeyboardInterrupt, SystemExit) as error:\n",
            ),
        ),
        ("test_whatever_an_async_worker_raises_is_an_outcome",),
    ),
    Ablation(
        "an outcome that ended in an outage is lost",
        65,
        "What could not be saved is not tried again: the job stays executing on a node that lives.",
        (
            Edit(
                "engine/settler.py",
                "            batch = [replace(ending, again=True) for ending in batch]\n",
                "            batch = []\n",
            ),
        ),
        (
            "test_running_jobs_go_on_through_an_outage_and_are_settled_after_it",
            "test_an_outcome_whose_saving_fails_counts_once",
            "database-down.yaml",
        ),
        invariants=("no_orphan", "ends"),
    ),
    Ablation(
        "an outcome whose answer was lost is told as late",
        67,
        "It was saved, and telemetry says that it changed nothing.",
        (
            Edit(
                "engine/settler.py",
                "            if ending.again and not counted:\n",
                "            if ending.again and counted:\n",
            ),
        ),
        ("test_an_outcome_whose_answer_was_lost_is_told_once_and_as_saved",),
        invariants=("outcome_told",),
    ),
    Ablation(
        "an outcome that was saved unheard, and then refused, is told as late",
        None,
        "It is looked for as the failure that stands for it, and nobody hears how the job ended.",
        (
            Edit(
                "engine/settler.py",
                "tried = (ending,) if ending.refused is None else (ending.refused, ending)",
                "tried = (ending,)",
            ),
        ),
        ("test_an_outcome_that_was_saved_unheard_and_then_refused_is_told_as_saved",),
        invariants=("outcome_told",),
    ),
    Ablation(
        "an outcome whose answer was lost is told to nobody",
        67,
        "It was saved, and telemetry never tells of it.",
        (
            Edit(
                "engine/settler.py",
                "            self._saved(saved or ending, saved is not None, now)\n",
                "            if saved is None:\n                self._saved(ending, False, now)\n",
            ),
        ),
        ("test_an_outcome_whose_answer_was_lost_is_told_once_and_as_saved",),
        invariants=("outcome_told",),
    ),
    Ablation(
        "an outcome that counts for nothing is told as saved",
        None,
        "Telemetry tells of a job that is completed, and it was cancelled or rescued meanwhile.",
        (
            Edit(
                "engine/settler.py",
                "                self._saved(ending, counted, now)\n",
                "                self._saved(ending, True, now)\n",
            ),
        ),
        ("test_an_outcome_after_the_deadline_is_late_and_changes_nothing", "late-outcome.yaml"),
        invariants=("outcome_told",),
    ),
    Ablation(
        "an outcome is told with the state of its claim",
        None,
        "Telemetry tells of a job that has ended, and says that it executes.",
        (
            Edit(
                "engine/runs.py",
                "            return lifecycle.apply(change, run.job)\n",
                "            return run.job\n",
            ),
        ),
        ("test_a_run_is_settled_as_a_failure_at_its_very_deadline",),
        invariants=("outcome_told",),
    ),
    Ablation(
        "a cancelled run is not told",
        61,
        "The job is cancelled in its row, and its run goes on to its end.",
        (
            Edit(
                "engine/node.py",
                "        if polled.lost:\n            self.runs.lose(polled.lost, effect.held)\n",
                "",
            ),
        ),
        (
            "TestInMemory",
            "test_a_cancel_of_a_running_job_counts_at_once_and_tells_the_run",
            "test_with_every_signal_lost_a_cancel_is_told_within_the_poll_interval",
            "cancel-without-notifications.yaml",
        ),
    ),
    Ablation(
        "memory: a late cancel ends its group",
        None,
        "A Cancel whose claim was lost changes nothing of its job, and cancels all others of its group.",
        (
            Edit(
                "adapters/memory/jobs.py",
                "if counted[place] and group is not None:",
                "if group is not None:",
            ),
        ),
        ("test_a_late_cancel_ends_nothing",),
        invariants=("fenced", "lawful", "books", "as_told", "poll_is_true", "takes", "rescues"),
    ),
    Ablation(
        "SQL: a Cancel ends its own job alone",
        None,
        "The unfinished jobs of its uniqueness group go on.",
        (
            Edit(
                "adapters/postgres/unique.py",
                "WHERE job.state::text = ANY ({unfinished})\n  ORDER BY",
                "WHERE job.state::text = ANY ({unfinished}) AND false\n  ORDER BY",
            ),
        ),
        (
            "test_the_engine_is_as_the_model_has_it_on_postgresql",
            "test_cancel_ends_every_unfinished_job_of_its_group",
        ),
        invariants=("as_told", "books", "lawful", "rescues"),
    ),
    Ablation(
        "a worker's own args are the row's",
        None,
        "A worker that changes job.args changes what its next attempt is given.",
        (
            Edit(
                "adapters/memory/rows.py",
                "    read = staticmethod(unshared)\n",
                "    read = staticmethod(lambda job: job)\n",
            ),
        ),
        (
            "TestInMemory",
            "test_a_reader_may_change_what_it_read_without_changing_the_store",
        ),
        invariants=("same_args",),
    ),
    Ablation(
        "an outcome waits out its pause when an outage is over",
        None,
        "What ended in an outage stays unsaved for up to 45 s after it, and is lost with its node.",
        (
            Edit(
                "engine/duty.py",
                "            each.cut_short()\n",
                "            each.allows\n",
            ),
        ),
        (
            "test_what_waits_in_an_outage_is_asked_when_the_store_answers_anything",
            "test_a_node_that_stops_tries_once_more_to_save_what_waits",
            "database-down.yaml",
        ),
    ),
    Ablation(
        "a poll that fails is due from then on",
        None,
        "After an outage the last answer counts as young, and a queue that was paused meanwhile is served.",
        (
            Edit(
                "engine/stager.py",
                "        self.ask(self._since)  # it is overdue",
                "        self.ask(now)  # it is overdue",
            ),
        ),
        ("test_nothing_starts_after_an_outage_from_a_queue_that_was_paused_in_it",),
        invariants=("unpaused",),
    ),
    Ablation(
        "a store that is not ready refuses outcomes",
        None,
        "A right that is taken away for a moment makes failures of runs that succeeded.",
        (
            Edit(
                "engine/settler.py",
                "        unready = isinstance(error, StoreNotReadyError)\n",
                "        unready = False\n",
            ),
        ),
        (
            "test_an_outcome_for_which_the_store_is_not_ready_is_saved_as_it_is_when_it_is",
            "test_outcomes_of_jobs_whose_table_was_away_are_saved_when_it_is_back",
        ),
    ),
)
