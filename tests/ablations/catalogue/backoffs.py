"""Faults in how long a failed job waits."""

from tests.ablations.ablation import Ablation, Edit

BACKOFFS = (
    Ablation(
        "a failed job is retried at once",
        46,
        "The backoff is computed and not added: a hot loop until the last attempt.",
        (
            Edit(
                "rules/lifecycle.py",
                "return Change(event, R, now, scheduled_at=later(now, delay_s), error=error)",
                "return Change(event, R, now, scheduled_at=now, error=error)",
            ),
        ),
        (
            "test_attempts_follow_one_another_as_the_schedule_says",
            "test_a_failed_job_runs_again_at_the_very_end_of_each_backoff",
            "default-backoff.yaml",
        ),
        invariants=("backed_off",),
    ),
    Ablation(
        "an exponential backoff overflows",
        43,
        "From attempt 1,025 on it raises, and the default of 61 s takes its place.",
        (
            Edit(
                "rules/backoff.py",
                "except OverflowError:  # float ** int does not saturate",
                "except ZeroDivisionError:  # float ** int does not saturate",
            ),
        ),
        (
            "test_attempts_follow_one_another_as_the_schedule_says",
            "test_growth_without_a_cap_ends_at_the_last_instant",
            "test_an_exponential_backoff_multiplies_and_stops_at_its_cap",
            "test_a_delay_is_never_negative_nor_a_nan_and_can_be_waited",
        ),
        invariants=("backed_off",),
    ),
    Ablation(
        "the cap of a backoff is ignored",
        44,
        "max= holds for small attempts and not for large ones.",
        (
            Edit(
                "rules/backoff.py",
                "        return min(self.max_s, base)\n",
                "        return min(self.max_s, base) if attempt < 10 else base\n",
            ),
        ),
        (
            "test_attempts_follow_one_another_as_the_schedule_says",
            "test_an_exponential_backoff_multiplies_and_stops_at_its_cap",
            "test_no_jitter_takes_a_delay_past_its_cap",
        ),
        invariants=("backed_off",),
    ),
    Ablation(
        "jitter is added after the cap",
        44,
        "A delay is up to 10 % longer than max=.",
        (
            Edit(
                "rules/backoff.py",
                "        base = self._base(max(1, attempt))\n",
                "        base = min(self.max_s, self._base(max(1, attempt)))\n",
            ),
            Edit(
                "rules/backoff.py",
                "        return min(self.max_s, base)\n",
                "        return base\n",
            ),
        ),
        (
            "test_attempts_follow_one_another_as_the_schedule_says",
            "test_no_jitter_takes_a_delay_past_its_cap",
        ),
        invariants=("backed_off",),
    ),
    Ablation(
        "jitter takes away as well as it adds",
        None,
        "A job is retried before its backoff is over.",
        (
            Edit(
                "rules/backoff.py",
                "base *= 1.0 + self.jitter * random()",
                "base *= 1.0 + self.jitter * (2.0 * random() - 1.0)",
            ),
        ),
        (
            "test_attempts_follow_one_another_as_the_schedule_says",
            "test_jitter_adds_up_to_its_share_and_takes_nothing_away",
        ),
        invariants=("backed_off",),
    ),
    Ablation(
        "the default backoff begins with the second delay",
        None,
        "31, 46, 61 s instead of 16, 31, 46, 61 s.",
        (
            Edit(
                "rules/backoff.py",
                "return GUIDE_S[min(attempt, len(GUIDE_S)) - 1]",
                "return GUIDE_S[min(attempt, len(GUIDE_S) - 1)]",
            ),
        ),
        (
            "test_attempts_follow_one_another_as_the_schedule_says",
            "test_the_default_is_the_table_of_the_guide",
            "default-backoff.yaml",
        ),
        invariants=("backed_off",),
    ),
    Ablation(
        "a job's own backoff is skipped after a timeout",
        49,
        "A run past its time limit waits for the default backoff, not for its worker's.",
        (
            Edit(
                "engine/runs.py",
                "            wait_s = delay_s(run, self._ports.draw)\n",
                "            wait_s = delay_s(run, self._ports.draw)\n"
                "            if isinstance(ended.exception, JobTimeoutError):\n"
                "                wait_s = delay_s(Run(job, None, run.queue, run.started), None)\n",
            ),
        ),
        ("pattern-mining-timeout.yaml", "test_a_run_past_its_limit_waits_as_its_own_worker_says"),
        invariants=("backed_off",),
    ),
    Ablation(
        "a custom backoff may be negative",
        88,
        "A backoff function that answers -5 makes a delay of -5 s.",
        (
            Edit(
                "rules/backoff.py",
                "return max(0.0, saturated(value))",
                "return saturated(value)",
            ),
        ),
        (
            "test_attempts_follow_one_another_as_the_schedule_says",
            "test_the_answer_of_a_custom_backoff_becomes_seconds",
        ),
    ),
)
