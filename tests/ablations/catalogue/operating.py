"""Faults in what operators do by hand, and in how a node stops."""

from tests.ablations.ablation import Ablation, Edit

OPERATING = (
    Ablation(
        "memory: a retry by hand leaves no attempt",
        53,
        "A discarded job becomes available with attempt = max_attempts, and never starts.",
        (
            Edit(
                "rules/lifecycle.py",
                "new.max_attempts = max(job.max_attempts, new.attempt + 1)",
                "new.max_attempts = job.max_attempts",
            ),
        ),
        (
            "TestInMemory",
            "test_a_retry_by_hand_leaves_one_attempt_at_the_least",
            "retry-discarded.yaml",
        ),
        invariants=("as_told", "can_run"),
    ),
    Ablation(
        "SQL: a retry by hand leaves no attempt",
        53,
        "A discarded job becomes available with attempt = max_attempts, and never starts.",
        (
            Edit(
                "adapters/postgres/changes.py",
                'set_["max_attempts"] = f"greatest(job.max_attempts, {capped} + 1)"',
                'set_["max_attempts"] = "job.max_attempts"',
            ),
        ),
        ("test_a_retry_by_hand_leaves_one_attempt_at_the_least",),
        invariants=("as_told", "can_run"),
    ),
    Ablation(
        "a retry by hand takes a job that runs",
        73,
        "It becomes available under its run, and runs twice at the same time.",
        (
            Edit(
                "rules/lifecycle.py",
                "Event.RETRY: ((S, R, C, D, X, P), (A,)),",
                "Event.RETRY: ((S, E, R, C, D, X, P), (A,)),",
            ),
        ),
        (
            "TestInMemory",
            "test_an_event_leaves_just_the_states_of_the_contract",
        ),
        invariants=("lawful", "obeyed"),
    ),
    Ablation(
        "a job that is over can be cancelled",
        58,
        "cancel_job makes a completed job a cancelled one.",
        (
            Edit(
                "rules/lifecycle.py",
                "Event.CANCEL: ((A, S, R, E, P), (X,)),",
                "Event.CANCEL: ((A, S, R, E, C, P), (X,)),",
            ),
        ),
        (
            "TestInMemory",
            "test_an_event_leaves_just_the_states_of_the_contract",
        ),
        invariants=("lawful", "obeyed"),
    ),
    Ablation(
        "a job retried by hand keeps its final stamp",
        None,
        "A job that waits shows completed_at.",
        (
            Edit(
                "rules/lifecycle.py",
                "        new.completed_at = new.discarded_at = new.cancelled_at = None\n",
                "",
            ),
        ),
        (
            "TestInMemory",
            "test_a_retry_by_hand_leaves_one_attempt_at_the_least",
            "test_any_change_of_any_rows_equals_the_rule",
        ),
        invariants=("as_told", "books"),
    ),
    Ablation(
        "a job that is deleted stops its node's poll",
        62,
        "Of the claims that are lost those without a row are not told: the run of a deleted job goes on.",
        (
            Edit(
                "adapters/memory/jobs.py",
                "lost=tuple(job_id for job_id, token in effect.held if not rows.holds(job_id, token)),",
                "lost=tuple(\n"
                "            job_id\n"
                "            for job_id, token in effect.held\n"
                "            if job_id in rows.by_id and not rows.holds(job_id, token)\n"
                "        ),",
            ),
            Edit(
                "adapters/postgres/polling.py",
                "      FROM {names.jobs} AS job WHERE job.id = h.id) IS NOT TRUE),\n",
                "      FROM {names.jobs} AS job WHERE job.id = h.id) IS FALSE),\n",
            ),
        ),
        (
            "TestInMemory",
            "test_claims_that_no_longer_hold_are_lost_in_the_order_asked_for",
            "test_a_job_deleted_while_it_runs_is_told_and_stops_nothing",
            "delete.yaml",
        ),
        invariants=("poll_is_true",),
    ),
    Ablation(
        "memory: a pause of every queue leaves single ones alone",
        None,
        "A queue that was resumed by hand goes on when every queue is paused.",
        (
            Edit(
                "adapters/memory/controlling.py",
                "            _keep(tables, queue, replace(old, paused=None, paused_over=None))\n",
                "            _keep(tables, queue, old)\n",
            ),
        ),
        (
            "test_a_pause_of_every_queue_replaces_that_of_each",
            "test_a_pause_of_every_queue_replaces_what_single_queues_were_set_to",
        ),
        invariants=("poll_is_true", "unpaused"),
    ),
    Ablation(
        "SQL: a scale by hand forgets a pause",
        None,
        "Setting one value of a queue clears the other.",
        (
            Edit(
                "adapters/postgres/controlling.py",
                'f"{column} = CASE WHEN excluded.{value} IS NULL THEN old.{column} "\n'
                '        f"ELSE excluded.{column} END"',
                'f"{column} = excluded.{column}"',
            ),
        ),
        (
            "test_the_engine_is_as_the_model_has_it_on_postgresql",
            "test_what_is_set_for_a_queue_is_merged_value_by_value",
        ),
        invariants=("poll_is_true", "unpaused"),
    ),
    Ablation(
        "a job that is given back has used its attempt",
        None,
        "Each stop of a node costs its jobs an attempt.",
        (
            Edit(
                "rules/lifecycle.py",
                'Event.RELEASE, A, now, attempt_by=-1, meta={"released"',
                'Event.RELEASE, A, now, meta={"released"',
            ),
        ),
        (
            "test_after_the_grace_a_task_is_given_back_with_its_attempt",
            "test_a_run_that_is_given_back_keeps_its_attempt",
            "stop-gives-back.yaml",
        ),
        invariants=("counted",),
    ),
    Ablation(
        "a thread that still runs is given back",
        77,
        "Its job starts elsewhere while it runs here.",
        (
            Edit(
                "engine/runs.py",
                "            if not run.settled:\n                self._tell(run)\n",
                "            if not run.settled:\n"
                "                self._tell(run)\n"
                "                self.release(run, now)\n",
            ),
        ),
        ("test_a_thread_is_never_given_back_and_keeps_its_node_until_it_returns",),
    ),
    Ablation(
        "SQL: a table's ids are int4",
        104,
        "Beyond 2,147,483,647 jobs no insert succeeds.",
        (
            Edit(
                "adapters/postgres/values.py",
                'return f"{self.text(numbers_text(values))}::bigint[]"',
                'return f"{self.text(numbers_text(values))}::int[]::bigint[]"',
            ),
        ),
        (
            "test_ids_are_wider_than_four_bytes",
            "test_claims_that_no_longer_hold_are_lost_in_the_order_asked_for",
        ),
    ),
    Ablation(
        "NUL characters and lone surrogates are let in",
        107,
        "A job is made whose args jsonb cannot hold.",
        (
            Edit(
                "rules/jsonb.py",
                '        if "\\x00" in value:\n            raise InvalidJobError(\n',
                '        if "\\x00\\x00" in value:\n            raise InvalidJobError(\n',
            ),
        ),
        (
            "test_what_jsonb_cannot_hold_is_refused_by_name",
            "test_a_refusal_names_the_path_and_the_value",
        ),
    ),
)
