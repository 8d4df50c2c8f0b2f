"""Faults in how runs are brought to their ends: time limits, stops, and what is given back."""

from tests.ablations.ablation import Ablation, Edit

ENDING = (
    Ablation(
        "a time limit counts from the due instant",
        68,
        "A job that waited longer than its time limit is timed out as it starts.",
        (
            Edit(
                "engine/runs.py",
                "run.limit, run.deadline = limit, later(now, limit)",
                "run.limit, run.deadline = limit, later(job.scheduled_at, limit)",
            ),
        ),
        (
            "TestInMemory",
            "test_a_run_is_settled_as_a_failure_at_its_very_deadline",
            "test_a_time_limit_counts_from_the_start_of_the_run",
        ),
        invariants=("time_limit",),
    ),
    Ablation(
        "a run past its time limit is not told",
        68,
        "Its job is settled as a failure, and its run goes on beside the next attempt.",
        (
            Edit(
                "engine/runs.py",
                "            self._tell(run)\n            self._settle(run, outcome.failed(error)",
                "            run.told = True\n            self._settle(run, outcome.failed(error)",
            ),
        ),
        (
            "TestInMemory",
            "test_a_task_gives_its_slot_back_at_the_deadline",
        ),
        invariants=("time_limit",),
    ),
    Ablation(
        "a run past its time limit is told, and its end waited for",
        None,
        "A run that ignores its deadline is settled when it ends, as if it had none.",
        (
            Edit(
                "engine/runs.py",
                "            self._tell(run)\n"
                "            self._settle(run, outcome.failed(error), now, self._clock.monotonic())\n",
                "            self._tell(run)\n",
            ),
        ),
        ("test_an_outcome_after_the_deadline_is_late_and_changes_nothing",),
        invariants=("time_limit",),
    ),
    Ablation(
        "what is given back at a stop counts as a failure",
        None,
        "Each deployment costs the jobs that run then an attempt, and they wait for their backoff.",
        (
            Edit(
                "engine/runs.py",
                "        settlement = lifecycle.release(run.job, now)\n",
                '        stopped = outcome.failed(StoreError("the node stopped"))\n'
                "        settlement = lifecycle.settle(run.job, stopped, now, delay_s(run, None))\n",
            ),
        ),
        (
            "test_after_the_grace_a_task_is_given_back_with_its_attempt",
            "stop-gives-back.yaml",
        ),
        invariants=("given_back",),
    ),
    Ablation(
        "a task that does not listen is given back while it runs",
        None,
        "Another node runs its job beside it, whatever limit its queue has over all nodes.",
        (
            Edit(
                "engine/runs.py",
                "            if not run.settled:\n                self._tell(run)\n",
                "            if not run.settled:\n"
                "                self._tell(run)\n"
                "                if not _in_a_thread(run):\n"
                "                    self.release(run, now)\n",
            ),
        ),
        (
            "test_a_task_that_does_not_stop_when_told_is_given_back_once_it_has_ended_and_its_outcome_is_late",
        ),
        invariants=("given_back",),
    ),
    Ablation(
        "what is given back at a stop is told to nobody",
        None,
        "Who reads a timeline sees a job start twice, and nothing between.",
        (
            Edit(
                "engine/runs.py",
                "            self._report.released(run, after, ending.at)\n",
                "            return\n",
            ),
        ),
        ("test_what_is_given_back_is_told_once_as_it_stands_then_and_how_long_it_ran",),
        invariants=("outcome_told",),
    ),
    Ablation(
        "what somebody has taken is told as given back",
        None,
        "A job that was cancelled or rescued before its node could give it back is said to be available.",
        (
            Edit(
                "engine/runs.py",
                "            if settlement.change.event is not Event.RELEASE:\n"
                "                self._report.late(run, ending.outcome, ending.at)\n"
                "            return\n",
                "            if settlement.change.event is not Event.RELEASE:\n"
                "                self._report.late(run, ending.outcome, ending.at)\n"
                "                return\n",
            ),
        ),
        ("test_what_another_has_taken_before_it_is_given_back_is_not_told",),
        invariants=("outcome_told",),
    ),
    Ablation(
        "a stopping node leaves what still runs to be rescued",
        None,
        "What a stop cuts short waits for the silence of its node, and has used its attempt.",
        (
            Edit(
                "engine/runs.py",
                "            self.release(run, now)\n            return\n        self._settle(",
                "            run.settled = True\n            return\n        self._settle(",
            ),
        ),
        (
            "test_after_the_grace_a_task_is_given_back_with_its_attempt",
            "stop-gives-back.yaml",
        ),
        invariants=("given_back",),
    ),
    Ablation(
        "a stopping node goes on claiming",
        None,
        "It starts jobs until its grace is over, and gives them back.",
        (
            Edit(
                "engine/queue.py",
                "if self._closed or self.effective.paused:",
                "if self.effective.paused:",
            ),
        ),
        ("test_a_stopping_node_waits_for_what_runs_and_claims_nothing_more",),
        invariants=("stops",),
    ),
    Ablation(
        "a stop waits for its runs as long as they take",
        None,
        "Its grace is over, and no run is told.",
        (
            Edit(
                "engine/farewell.py",
                "        if now >= self._grace_ends and not self._gave_back:\n",
                "        if now >= later(self._grace_ends, GIVE_UP_AFTER) and not self._gave_back:\n",
            ),
            Edit(
                "engine/farewell.py",
                " if self._gave_back else self._grace_ends\n",
                "\n",
            ),
        ),
        (
            "test_after_the_grace_a_task_is_given_back_with_its_attempt",
            "stop-gives-back.yaml",
        ),
        invariants=("stops",),
    ),
    Ablation(
        "a start that fails is forgotten",
        None,
        "Where no thread is to be had, claimed jobs execute for ever in the name of a node that lives.",
        (
            Edit(
                "engine/runs.py",
                "        for run in left:\n"
                "            del self._running[queue][run]\n"
                "            self.release(run, now)\n",
                "",
            ),
        ),
        (
            "test_what_could_not_be_started_is_given_back_and_runs_when_it_can",
            "test_a_job_at_its_last_attempt_is_not_lost_by_it",
        ),
    ),
)
