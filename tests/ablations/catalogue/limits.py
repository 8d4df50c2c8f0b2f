"""Faults in the limits that hold over all nodes: rates and global concurrency."""

from tests.ablations.ablation import Ablation, Edit

LIMITS = (
    Ablation(
        "a rate allows one start more",
        40,
        "In some window of period there are allowed + 1 starts.",
        (
            Edit(
                "rules/ratelimit.py",
                "return max(0, limit.allowed - used(limit, window, now))",
                "return max(0, limit.allowed + 1 - used(limit, window, now))",
            ),
        ),
        (
            "test_starts_are_as_early_as_the_rate_lets_them_be",
            "test_one_claim_takes_no_more_than_the_rate_allows_whatever_its_demand",
            "test_no_window_holds_more_than_is_allowed_and_no_start_is_put_off_that_could_be",
        ),
        invariants=("windows",),
    ),
    Ablation(
        "a window is closed at its end",
        38,
        "A start counts at exactly period after it: a job waits that need not.",
        (
            Edit(
                "rules/ratelimit.py",
                "return window[bisect_right(window, since, key=itemgetter(0)) :]",
                "return window[bisect_right(window, since - 1, key=itemgetter(0)) :]",
            ),
        ),
        (
            "test_starts_are_as_early_as_the_rate_lets_them_be",
            "test_a_window_lets_go_exactly_a_period_after_each_start",
            "test_a_start_counts_for_exactly_a_period",
        ),
        invariants=("takes",),
    ),
    Ablation(
        "a window slips away early",
        40,
        "Starts are forgotten a tenth of the period too soon.",
        (
            Edit(
                "rules/ratelimit.py",
                "    since = micros(now) - limit.period // MICROSECOND\n",
                "    since = micros(now) - limit.period * 9 // 10 // MICROSECOND\n",
            ),
        ),
        (
            "test_starts_are_as_early_as_the_rate_lets_them_be",
            "test_a_window_lets_go_exactly_a_period_after_each_start",
            "test_a_start_counts_for_exactly_a_period",
        ),
        invariants=("windows",),
    ),
    Ablation(
        "a clock that is behind makes room",
        97,
        "A claim by a node whose clock is behind enters the window before the last start.",
        (
            Edit(
                "rules/ratelimit.py",
                "return max(now, from_micros(window[-1][0])) if window else now",
                "return now",
            ),
        ),
        (
            "test_a_clock_that_is_behind_starts_jobs_at_the_last_start",
            "test_a_clock_that_is_behind_starts_at_the_last_start",
        ),
        invariants=("as_told", "windows"),
    ),
    Ablation(
        "a start is dated when its window opened",
        None,
        "A node that was away claims at an instant long past, and its window is empty again too soon.",
        (
            Edit(
                "engine/queue.py",
                "lifecycle.claim(self._node, self._ports.token(), now)",
                "lifecycle.claim(self._node, self._ports.token(), self._opens_at or now)",
            ),
        ),
        invariants=("not_dated_behind",),
    ),
    Ablation(
        "memory: each node has a window of its own",
        40,
        "N nodes together start N times what the rate allows.",
        (
            Edit(
                "adapters/memory/limits.py",
                "    queue, change = effect.queue, effect.change\n"
                "    window = tables.windows.get(queue, ())\n",
                "    queue, change = effect.queue, effect.change\n"
                '    own = f"{queue} {(change.attempted_by or (None,))[0]}"\n'
                "    window = tables.windows.get(own, ())\n",
            ),
            Edit(
                "adapters/memory/limits.py",
                "        tables.windows[queue] = after\n",
                "        tables.windows[own] = after\n",
            ),
        ),
        (
            "rate-window.yaml",
            "test_any_claims_end_as_in_memory",
        ),
        invariants=("windows",),
    ),
    Ablation(
        "memory: a claim that finds nothing uses the window up",
        38,
        "The queue is empty, and its limiter is full.",
        (
            Edit(
                "adapters/memory/limits.py",
                "    if after := turn.after(taken):\n",
                "    if after := turn.after(max(1, taken)):\n",
            ),
        ),
        (
            "test_starts_are_as_early_as_the_rate_lets_them_be",
            "test_a_claim_that_finds_nothing_uses_nothing_up",
        ),
        invariants=("takes",),
    ),
    Ablation(
        "SQL: a claim that finds nothing uses the window up",
        38,
        "The queue is empty, and its limiter is full.",
        (
            Edit(
                "adapters/postgres/limits.py",
                "{given.number(0)} + count(*)",
                "{given.number(0)} + greatest(count(*), 1)",
            ),
            Edit(
                "adapters/postgres/limits.py",
                'WHERE queue = {given.text("")} AND taken.count > 0',
                'WHERE queue = {given.text("")}',
            ),
        ),
        ("test_a_claim_that_finds_nothing_uses_nothing_up",),
        invariants=("takes",),
    ),
    Ablation(
        "a global limit allows one run more",
        41,
        "limit + 1 jobs run over all nodes.",
        (
            Edit(
                "rules/limits.py",
                "room = min(room, self.limits.concurrency - self.running)",
                "room = min(room, self.limits.concurrency - self.running + 1)",
            ),
        ),
        (
            "test_no_more_run_over_all_nodes_than_their_limit",
            "test_a_turn_takes_what_all_limits_leave",
        ),
        invariants=("over_all_nodes",),
    ),
    Ablation(
        "SQL: what runs is counted before the lock",
        41,
        "Two claims count the same runs, wait for one another, and exceed the limit together.",
        (
            Edit(
                "adapters/postgres/limits.py",
                "        rows, *counted = yield (_locked(effect, names), *counting)\n",
                "        *counted, rows = yield (*counting, _locked(effect, names))\n",
            ),
        ),
        ("test_eight_claimers_never_run_more_than_all_nodes_may",),
        races=True,
    ),
    Ablation(
        "SQL: a limited claim does not take its turn",
        41,
        "The row of the queue is read and not locked: claims at the same time exceed the rate.",
        (
            Edit(
                "adapters/postgres/limits.py",
                "WHERE queue = {given.text(queue)} FOR UPDATE",
                "WHERE queue = {given.text(queue)}",
            ),
        ),
        (
            "test_eight_claimers_whose_clocks_differ_never_exceed_the_rate",
            "test_eight_claimers_never_run_more_than_all_nodes_may",
        ),
        races=True,
    ),
    Ablation(
        "memory: the jobs of all queues count for a global limit",
        25,
        "A queue that is full holds back another that is not.",
        (
            Edit(
                "adapters/memory/limits.py",
                "return [rows.by_id[job_id].queue for job_id in rows.executing].count(queue)",
                "return len(rows.executing)",
            ),
        ),
        ("test_queues_do_not_count_for_one_another",),
        invariants=("takes",),
    ),
    Ablation(
        "a queue that was full is never asked again",
        37,
        "When a run of another node ends, its place is not given to anybody.",
        (
            Edit(
                "engine/queue.py",
                "        self._freed, self._full = True, False\n",
                "        self._freed = True\n",
            ),
        ),
        (
            "test_a_node_learns_by_polling_that_another_nodes_run_is_over",
            "test_the_next_job_starts_when_a_run_is_saved_where_all_nodes_are_limited",
            "global-concurrency.yaml",
        ),
        invariants=("ends", "takes"),
    ),
    Ablation(
        "a limit holds back without being asked again",
        38,
        "A queue whose window was full stays shut until another job arrives.",
        (
            Edit(
                "engine/queue.py",
                "self._hungry = self._hungry or full or answer.opens_at is not None",
                "self._hungry = self._hungry or full",
            ),
        ),
        (
            "test_starts_are_as_early_as_the_rate_lets_them_be",
            "test_jobs_start_the_instant_at_which_the_window_opens",
            "rate-window.yaml",
        ),
        invariants=("ends", "takes"),
    ),
)
