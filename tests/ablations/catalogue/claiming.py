"""Faults in which jobs start, in what order, how many at a time, and in whose name."""

from tests.ablations.ablation import Ablation, Edit

CLAIMING = (
    Ablation(
        "a claim forgets the priority",
        28,
        "Jobs start in the order in which they fell due, whatever their priority.",
        (
            Edit(
                "rules/selection.py",
                "return job.priority, job.scheduled_at, job.id",
                "return 0, job.scheduled_at, job.id",
            ),
            Edit(
                "adapters/postgres/where.py",
                '"state, queue, priority, scheduled_at, id"',
                '"scheduled_at, id"',
            ),
        ),
        (
            "test_what_is_due_starts_in_its_order",
            "TestInMemory",
            "test_jobs_are_claimed_by_priority_then_due_instant_then_id",
            "priorities.yaml",
        ),
        invariants=("in_order",),
    ),
    Ablation(
        "SQL: a claim takes the newest of equal priority first",
        29,
        "Postgres claims by priority and then the latest job first: the order of the queue is lost.",
        (
            Edit(
                "adapters/postgres/where.py",
                '"state, queue, priority, scheduled_at, id"',
                '"state, queue, priority, scheduled_at DESC, id"',
            ),
        ),
        (
            "test_what_is_due_starts_in_its_order",
            "test_a_program_does_the_same_on_both_stores",
            "test_jobs_are_claimed_by_priority_then_due_instant_then_id",
        ),
        invariants=("in_order",),
    ),
    Ablation(
        "SQL: a claim is handed on in the order of the UPDATE",
        29,
        "What UPDATE ... RETURNING gives comes in any order, and starts in it.",
        (
            Edit(
                "adapters/postgres/writing.py",
                "return sorted(map(job, rows), key=claim_order)",
                "return sorted(map(job, rows), key=lambda job: -job.id)",
            ),
        ),
        ("test_jobs_are_claimed_by_priority_then_due_instant_then_id",),
        invariants=("in_order",),
    ),
    Ablation(
        "memory: a claim takes one job more than the demand",
        32,
        "One claim exceeds the free slots of its node.",
        (
            Edit(
                "adapters/memory/rows.py",
                "islice(jobs, max(0, limit))",
                "islice(jobs, max(0, limit) + 1)",
            ),
        ),
        ("test_no_more_than_the_demand_is_claimed",),
        invariants=("within_demand", "slots"),
    ),
    Ablation(
        "SQL: a claim takes one job more than the demand",
        32,
        "One claim exceeds the free slots of its node.",
        (
            Edit(
                "adapters/postgres/writing.py",
                "        str(effect.demand),\n",
                "        str(effect.demand + 1),\n",
            ),
        ),
        ("test_no_more_than_the_demand_is_claimed",),
        invariants=("within_demand", "slots"),
    ),
    Ablation(
        "SQL: a claim locks nothing",
        34,
        "Two nodes that claim at the same time take the same job, and both run it.",
        (
            Edit(
                "adapters/postgres/writing.py",
                "  LIMIT {up_to(given.number(effect.demand))}\n  FOR UPDATE SKIP LOCKED\n",
                "  LIMIT {up_to(given.number(effect.demand))}\n",
            ),
        ),
        ("test_four_claimers_of_many_jobs_never_get_one_twice",),
        races=True,
    ),
    Ablation(
        "SQL: a claim waits for rows that another claims",
        None,
        "Without SKIP LOCKED the nodes claim in turns, and one that hangs stops them all.",
        (
            Edit(
                "adapters/postgres/writing.py",
                "  LIMIT {up_to(given.number(effect.demand))}\n  FOR UPDATE SKIP LOCKED\n",
                "  LIMIT {up_to(given.number(effect.demand))}\n  FOR UPDATE\n",
            ),
        ),
        ("test_a_claim_does_not_wait_for_rows_that_another_node_is_claiming",),
        hangs=True,
    ),
    Ablation(
        "the demand forgets what runs",
        32,
        "A node claims up to its concurrency again and again, whatever it runs already.",
        (
            Edit(
                "engine/queue.py",
                "self.effective.concurrency - len(self.running)",
                "self.effective.concurrency",
            ),
        ),
        (
            "TestInMemory",
            "test_no_more_run_at_a_time_than_the_concurrency_and_no_slot_stays_idle",
        ),
        invariants=("slots",),
    ),
    Ablation(
        "memory: a job without an attempt left is claimed",
        53,
        "A job at its last attempt that became available starts once more.",
        (
            Edit(
                "rules/selection.py",
                "return job.attempt < job.max_attempts",
                "return job.attempt <= job.max_attempts",
            ),
        ),
        ("test_a_job_without_an_attempt_left_is_not_claimed",),
        invariants=("counted",),
    ),
    Ablation(
        "SQL: a job without an attempt left is claimed",
        53,
        "Every claim violates the table's constraint, and the queue stands still for ever.",
        (
            Edit(
                "adapters/postgres/where.py",
                '{prefix}attempt < {prefix}max_attempts"',
                '{prefix}attempt <= {prefix}max_attempts"',
            ),
        ),
        ("test_a_job_without_an_attempt_left_is_not_claimed",),
        invariants=("ends", "takes"),
    ),
    Ablation(
        "a claim counts no attempt",
        109,
        "The attempt stays at 0, so that a job which fails is retried for ever.",
        (
            Edit(
                "rules/lifecycle.py",
                "return Change(Event.CLAIM, E, now, attempt_by=1, attempted_by=(node, token))",
                "return Change(Event.CLAIM, E, now, attempted_by=(node, token))",
            ),
        ),
        (
            "TestInMemory",
            "test_a_claim_starts_the_next_attempt_of_a_job",
        ),
        invariants=("counted",),
    ),
    Ablation(
        "all claims of a node have one token",
        52,
        "An outcome of an earlier attempt on the same node is taken for one of the present attempt.",
        (
            Edit(
                "engine/node.py",
                'lambda: self._rng.token(f"claim:{self.name}"),',
                "lambda: self.name,",
            ),
        ),
        (
            "test_a_late_outcome_of_the_first_attempt_leaves_the_second_alone",
            "test_a_job_retried_by_hand_after_its_cancel_runs_beside_its_first_run",
        ),
        invariants=("own_token",),
    ),
    Ablation(
        "a node serves whatever queue it hears of",
        None,
        "It claims from queues that it does not list, at a concurrency that nobody set.",
        (
            Edit(
                "engine/serving.py",
                "        if name not in self.queues and self._others is not None:\n"
                "            self.serve(name, self._others)\n",
                "        if name not in self.queues:\n"
                "            self.serve(name, self._others or Queue())\n",
            ),
        ),
        ("queues-of-some-nodes.yaml",),
        invariants=("serves",),
    ),
    Ablation(
        "a paused queue goes on claiming",
        None,
        "A pause is kept, shown, and ignored by claims.",
        (
            Edit(
                "engine/queue.py",
                "if self._closed or self.effective.paused:",
                "if self._closed:",
            ),
        ),
        (
            "TestInMemory",
            "test_a_paused_queue_starts_nothing_and_what_runs_goes_on",
            "pause-and-resume.yaml",
        ),
        invariants=("unpaused",),
    ),
    Ablation(
        "a claim does not wait for the controls to be read",
        None,
        "A node that heard of a pause claims once more before it reads what was set.",
        (
            Edit(
                "engine/node.py",
                "            and self.stager.heard(self._controls_asked)\n",
                "",
            ),
        ),
        (
            "test_a_pause_that_was_heard_of_holds_before_it_is_read",
            "test_a_queue_set_by_hand_before_the_start_is_served_as_it_was_set",
        ),
        invariants=("unpaused",),
    ),
    Ablation(
        "a node claims before its first heartbeat",
        79,
        "A node that dies before it beats leaves jobs in the name of one that nobody has heard of.",
        (
            Edit(
                "engine/heart.py",
                "        if self._beat is None:\n            return False\n        return self._elide",
                "        if self._beat is None:\n            return True\n        return self._elide",
            ),
        ),
        (
            "test_a_node_beats_before_it_claims_and_first_of_all_after_a_pause",
            "test_nothing_is_claimed_while_no_heartbeat_is_stored",
        ),
        invariants=("beats_first",),
    ),
    Ablation(
        "a node that stood still claims before it beats",
        79,
        "After a pause longer than rescue_after it claims jobs that are rescued from it at once.",
        (
            Edit(
                "engine/heart.py",
                "return self._elide or now - self._beat <= self._too_old",
                "return True",
            ),
        ),
        ("test_a_node_beats_before_it_claims_and_first_of_all_after_a_pause",),
        invariants=("beats_first",),
    ),
    Ablation(
        "a claim whose answer was lost is never looked up",
        80,
        "Its jobs stay executing for ever, in the name of a node that beats and does not know them.",
        (
            Edit(
                "engine/queue.py",
                "        self._unsure, self._claiming = self._claiming, None\n"
                "        self._patience.lose(now)",
                "        self._claiming = None\n        self._patience.lose(now)",
            ),
        ),
        ("test_a_claim_whose_answer_was_lost_is_found_by_its_token",),
        invariants=("no_orphan", "ends"),
    ),
    Ablation(
        "a claim that comes true later is never released",
        80,
        "A statement that the server commits after the look-up leaves jobs executing for ever.",
        (
            Edit(
                "engine/strays.py",
                "        self._until[token] = later(now, FOR)\n",
                "        self._until[token] = later(now, FOR)\n        return\n",
            ),
        ),
        (
            "test_a_claim_that_comes_true_after_it_was_given_up_is_given_back_and_run",
            "test_a_claim_that_comes_true_is_run_if_that_is_before_its_look_up_and_given_back_if_later",
        ),
        invariants=("no_orphan", "ends"),
    ),
    Ablation(
        "a run keeps its slot when it was told to end",
        59,
        "A cancelled or timed-out run holds its slot for ever, and the queue runs dry.",
        (
            Edit(
                "engine/runs.py",
                "        self.of(run.queue).pop(run, None)\n        if isinstance(end.",
                "        if not run.settled:\n"
                "            self.of(run.queue).pop(run, None)\n"
                "        if isinstance(end.",
            ),
        ),
        (
            "test_a_task_gives_its_slot_back_at_the_deadline",
            "test_a_cancel_of_a_running_job_counts_at_once_and_tells_the_run",
            "cancel-by-hand.yaml",
        ),
        invariants=("ends", "drains"),
    ),
    Ablation(
        "a thread that ignores its deadline gives its slot away",
        59,
        "More jobs run than the concurrency allows: those that are settled and have not returned.",
        (
            Edit(
                "engine/runs.py",
                "            self._settle(run, outcome.failed(error), now, self._clock.monotonic())\n",
                "            self._settle(run, outcome.failed(error), now, self._clock.monotonic())\n"
                "            self.of(run.queue).pop(run, None)\n",
            ),
        ),
        ("test_a_thread_keeps_its_slot_until_it_returns",),
        invariants=("slots",),
    ),
)
