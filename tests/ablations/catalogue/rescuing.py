"""Faults in whose jobs are taken for lost, and in what becomes of them."""

from tests.ablations.ablation import Ablation, Edit

RESCUING = (
    Ablation(
        "memory: a long job of a node that beats is rescued",
        77,
        "Age decides and not the heartbeat: a job that runs for long runs twice.",
        (
            Edit(
                "adapters/memory/nodes.py",
                "lost = stalled.gone(heard.beat_at, heard.every, now, effect.rescue_after)",
                "lost = stalled.gone(job.attempted_at or now, heard.every, now, effect.rescue_after)",
            ),
        ),
        (
            "test_jobs_of_a_silent_node_are_rescued_and_those_of_a_beating_one_never",
            "beating-node-never-rescued.yaml",
        ),
        invariants=("rescues",),
    ),
    Ablation(
        "SQL: a long job of a node that beats is rescued",
        77,
        "Age decides and not the heartbeat: a job that runs for long runs twice.",
        (
            Edit(
                "adapters/postgres/sweeping.py",
                "THEN {now} - node.beat_at > greatest(",
                "THEN {now} - job.attempted_at > greatest(",
            ),
        ),
        ("test_jobs_of_a_silent_node_are_rescued_and_those_of_a_beating_one_never",),
        invariants=("rescues",),
    ),
    Ablation(
        "memory: a rescued job at its last attempt waits for another",
        76,
        "It is available with no attempt left, and never starts.",
        (
            Edit(
                "adapters/memory/nodes.py",
                "rows.change(job, effect.again if job.attempt < job.max_attempts else effect.last)",
                "rows.change(job, effect.again)",
            ),
        ),
        (
            "test_jobs_of_a_silent_node_are_rescued_and_those_of_a_beating_one_never",
            "crash-last-attempt.yaml",
        ),
        invariants=("as_told", "at_its_last_attempt", "can_run"),
    ),
    Ablation(
        "SQL: a job at its last attempt is not rescued",
        50,
        "It stays executing for ever in the name of a node that is gone.",
        (
            Edit(
                "adapters/postgres/sweeping.py",
                "(ARRAY(SELECT id FROM chosen)) AND job.attempt >= job.max_attempts",
                "(ARRAY(SELECT id FROM chosen)) AND job.attempt > job.max_attempts",
            ),
        ),
        ("test_jobs_of_a_silent_node_are_rescued_and_those_of_a_beating_one_never",),
        invariants=("rescues", "no_orphan", "ends"),
    ),
    Ablation(
        "memory: a page of living jobs hides the dead",
        70,
        "The page is cut before it is judged: jobs behind it are never rescued.",
        (
            Edit(
                "adapters/memory/nodes.py",
                "    for job_id in sorted(tables.jobs.executing):\n",
                "    for job_id in sorted(tables.jobs.executing)[: effect.limit]:\n",
            ),
        ),
        ("test_jobs_that_are_not_to_be_rescued_fill_no_page",),
    ),
    Ablation(
        "memory: rescue waits for a free slot",
        71,
        "What is rescued counts against the very limit that lost jobs fill: from four on, none is.",
        (
            Edit(
                "adapters/memory/nodes.py",
                "    lost = first(_lost(tables, effect), effect.limit)\n",
                "    room = max(0, 4 - len(tables.jobs.executing))\n"
                "    lost = first(_lost(tables, effect), min(room, effect.limit))\n",
            ),
        ),
        ("test_jobs_that_are_not_to_be_rescued_fill_no_page", "test_rescue_needs_no_free_slot"),
        invariants=("no_orphan", "rescues"),
    ),
    Ablation(
        "a rescue gives the attempt back",
        None,
        "A job that kills its node is tried again for ever.",
        (
            Edit(
                "rules/lifecycle.py",
                "    return Change(Event.RESCUE, A, now)\n",
                "    return Change(Event.RESCUE, A, now, attempt_by=-1)\n",
            ),
        ),
        ("crash-rescued.yaml", "test_jobs_of_a_node_that_died_run_again_elsewhere"),
        invariants=("counted",),
    ),
    Ablation(
        "a leader that stood still judges at once",
        79,
        "After a pause of all of them the first node that goes on takes the others for dead.",
        (
            Edit(
                "engine/heart.py",
                "return self._steady if self._elide else later(self._steady, self._too_old)",
                "return self._started",
            ),
        ),
        (
            "test_an_outage_lets_nobody_take_a_living_node_for_dead",
            "test_a_leader_that_stood_still_takes_nobody_for_dead_on_its_return",
        ),
        invariants=("rescues",),
    ),
    Ablation(
        "memory: a leader rescues from itself",
        79,
        "After a suspend it finds its own heartbeat old, and takes its own jobs.",
        (
            Edit(
                "adapters/memory/nodes.py",
                "        if node == effect.fence.node:\n            lost = False\n        elif heard",
                "        if heard",
            ),
        ),
        (
            "test_a_rescue_of_any_rows_equals_that_in_memory",
            "test_jobs_of_a_silent_node_are_rescued_and_those_of_a_beating_one_never",
        ),
        invariants=("rescues",),
    ),
    Ablation(
        "a job of an unknown node is judged by its insert",
        74,
        "A fresh attempt of an old job is taken for stalled.",
        (
            Edit(
                "rules/stalled.py",
                "return job.attempted_at is None or now - job.attempted_at > FOREIGN_UNKNOWN",
                "return job.attempted_at is None or now - job.inserted_at > FOREIGN_UNKNOWN",
            ),
        ),
        ("test_a_job_of_an_unknown_node_is_rescued_after_an_hour",),
        invariants=("rescues",),
    ),
    Ablation(
        "rescue_after may be shorter than three beats",
        68,
        "A node that beats every 30 s is taken for dead after 60 s.",
        (
            Edit(
                "rules/stalled.py",
                "return now - beat_at > max(rescue_after, MISSED_BEATS * every)",
                "return now - beat_at > rescue_after",
            ),
        ),
        ("test_a_node_is_given_three_of_its_own_intervals",),
    ),
    Ablation(
        "memory: a node that leaves is forgotten with its jobs",
        79,
        "What still executes in its name belongs to nobody, and is left for an hour.",
        (
            Edit(
                "adapters/memory/nodes.py",
                "    if effect.node not in _executing_nodes(tables):\n        tables",
                "    if True:\n        tables",
            ),
        ),
        ("test_a_node_that_leaves_is_forgotten_unless_a_job_executes_in_its_name",),
        invariants=("no_orphan", "rescues"),
    ),
    Ablation(
        "a node whose heartbeat failed beats no more",
        94,
        "One failure of the store, and all that it runs from then on is taken from it.",
        (
            Edit(
                "engine/heart.py",
                "        self._beating = None\n        self._patience.lose(now)\n",
                "        self._patience.lose(now)\n",
            ),
        ),
        (
            "test_a_node_whose_heartbeat_failed_beats_again",
            "database-down.yaml",
        ),
        invariants=("ends",),
    ),
    Ablation(
        "a stopping node beats no more",
        68,
        "What a thread still runs after the grace is rescued while it runs, and runs twice.",
        (
            Edit(
                "engine/farewell.py",
                "        if self._idle and not self._heart.left:\n",
                "        if not self._heart.left:\n",
            ),
        ),
        (
            "test_a_thread_is_never_given_back_and_keeps_its_node_until_it_returns",
            "test_a_stopping_node_beats_to_its_end",
        ),
        invariants=("rescues",),
    ),
)
