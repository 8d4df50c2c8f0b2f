"""What an editor says of each key: by model, the key's meaning and, where it helps, examples of its value.

``schema.py`` puts them into the JSON Schema; a test keeps the table complete.
"""

from __future__ import annotations

from typing import Any

_JOB = {
    "worker": ("The worker, by its name under `workers`.",),
    "args": ("The job's args: a mapping that JSON can hold.", {"package": "react"}),
    "queue": ("In place of the worker's queue.", "default"),
    "priority": ("In place of the worker's priority: 0 is the highest, 9 the lowest.",),
    "max_attempts": ("In place of the worker's: after so many failed attempts it is discarded.",),
    "tags": ("In place of the worker's tags.", ["nightly"]),
    "meta": ("In place of the worker's meta: a mapping that JSON can hold.", {"team": "data"}),
    "schedule_in": ("How long after its insert it is due; not with `scheduled_at`.", "5m"),
    "scheduled_at": ("When it is due; in the past means at once. Not with `schedule_in`.", "1h"),
    "unique": (
        "How duplicates of it are recognised, over the worker's own; null switches it off.",
    ),
    "replace": (
        "On a conflict with a job in that state, which fields take the new values; true: all of them.",
        {"scheduled": ["args", "scheduled_at"]},
    ),
}
_CALL = {
    "for": ("How long it takes.", "2s"),
    "raise": ("It raises this built-in exception; a job is then retried.", "ValueError: why"),
    "hang": ("It never ends by itself.",),
    "ignores": ("Whether it goes on when it is told to stop.",),
}
_FILTERS = {
    "state": ("In this state, or one of these.", "completed"),
    "queue": ("In this queue, or one of these.", "default"),
    "worker": ("Of this worker, or one of these.",),
    "tags": ("With this tag, or all of these.", "nightly"),
    "args": ("With this in their args.", {"package": "react"}),
    "meta": ("With this in their meta.", {"team": "data"}),
    "priority": ("With this priority, or one of these.",),
    "attempt": ("With this attempt, or one of these.",),
    "max_attempts": ("With this many attempts allowed, or one of these.",),
}
_INSTANT_OF_JOB = "instant, as a duration after the start or a date and time; null: it has none."

DESCRIPTIONS: dict[str, dict[str, tuple[Any, ...]]] = {
    "Scenario": {
        "name": ("What the scenario shows, in a sentence.", "A job that fails is retried"),
        "start": ("The instant of 0s.", "2025-01-01T00:00:00Z"),
        "seed": ("Of every random choice: equal seeds give equal traces.",),
        "jitter": ("Whether backoffs have their jitter, drawn from the seed.",),
        "nodes": ("The nodes by name; at an instant they act in this order.", ["a", "b"]),
        "queues": ("How queues are served; one that is not named is served, ten jobs at a time.",),
        "plugins": ("The recurring duties of the leader; what is not named is not done.",),
        "workers": ("The workers by name: scripted ones, or real ones by `use`.",),
        "steps": ("What somebody does, and what befalls nodes, in order of `at`.",),
        "until": ("How far to play. Default: until nothing is due but recurring duties.", "10m"),
        "expect": ("What must be true, and when.",),
        "invariants": ("Whether what must always be true is watched all the time.",),
        "trace": ("The whole trace, exactly; `pgjobs-testing replay --record` writes it.",),
    },
    "QueueSpec": {
        "concurrency": ("How many jobs of this queue each node runs at once.",),
        "paused": ("Whether the queue starts paused: nothing is claimed until a `resume`.",),
        "global_concurrency": ("How many of its jobs run at once over all nodes.",),
        "rate_limit": ("How many of its jobs start in any window of time, over all nodes.",),
        "nodes": ("The nodes that serve it, where others do not.", ["a"]),
    },
    "RateSpec": {
        "allowed": ("Starts in any half-open window of `period`.", 50),
        "period": ("The window's length.", "60s"),
    },
    "WorkerSpec": {
        "use": (
            "A real worker, as module:name, with its own options; needs --allow-imports outside pytest.",
            "shop.jobs:nightly",
        ),
        "queue": ("The queue of its jobs.", "default"),
        "max_attempts": ("After so many failed attempts a job is discarded.",),
        "priority": ("0 is the highest, 9 the lowest.",),
        "tags": ("Tags of its jobs.", ["nightly"]),
        "meta": ("Meta of its jobs: a mapping that JSON can hold.", {"team": "data"}),
        "timeout": ("How long a run may take; then it has failed.", "30s"),
        "backoff": (
            "How long a failed job waits: `guide` (16, 31, 46, then 61 seconds), or one kind.",
            "guide",
            {"linear": "60s"},
        ),
        "unique": ("How duplicates are recognised when a job is inserted.", {"period": "1h"}),
        "replace": _JOB["replace"],
        "missing": ("Whether no node has it: its jobs fail, as those of an unknown worker.",),
        "runs": (
            "What each run of a job does: one entry a start, snoozed ones included; the last repeats.",
            ["ok"],
            [{"for": "2s", "error": "why"}, "ok"],
        ),
    },
    "BackoffSpec": {
        "constant": ("The same wait after each failure.", "60s"),
        "linear": ("This wait, times the number of the failed attempt.", "60s"),
        "exponential": (
            "This wait after the first failure, doubled after each further one.",
            "15s",
        ),
        "jitter": ("Up to this share of the wait is added, where the scenario has `jitter`.", 0.1),
        "max": ("The longest wait.", "1h"),
    },
    "UniqueSpec": {
        "period": ("How long after its insert a job bars duplicates; null: for ever.", "1h"),
        "fields": ("What makes two jobs equal.", ["worker", "queue", "args"]),
        "keys": ("Which keys of the args count; nested ones by a dot.", ["package"]),
        "states": ("In which states a job bars duplicates.", ["available", "scheduled"]),
        "timestamp": ("From which instant the period counts.",),
    },
    "RunSpec": {
        **_CALL,
        "insert": ("A job that the run inserts at its end.",),
        "insert_all": ("Jobs that the run inserts at its end, one after another.",),
        "error": ("It fails with this error, and is retried.", "registry answered 503"),
        "snooze": ("It is put off by this; the attempt is given back.", "60s"),
        "discard": ("It is discarded, for this reason.", "nothing to do"),
        "cancel": (
            "It is cancelled, for this reason, with the unfinished jobs equal to it.",
            "gone",
        ),
    },
    "InsertSpec": {
        "as": ("A name for the job, for steps and expectations.", "first"),
        **_JOB,
    },
    "CronJobSpec": {key: said for key, said in _JOB.items() if key != "scheduled_at"},
    "PluginsSpec": {
        "stalled": ("Jobs of nodes that no longer beat are given back.",),
        "pruner": ("Finished jobs are deleted when they are old.",),
        "cron": ("Jobs are inserted at wall times; needs `until`.",),
        "leader_tasks": ("Scripted functions are called at wall times; needs `until`.",),
    },
    "LeaderTasksSpec": {
        "timezone": ("The time zone of the wall times, by its IANA name.", "America/New_York"),
        "crontab": (
            "Pairs of an expression and a function's name, or a mapping of that and its `runs`.",
            [["*/5 * * * *", "clean"]],
        ),
    },
    "TaskSpec": {
        "task": ("The function's name, which no other entry has.", "clean"),
        "runs": (
            "What each call does: one entry a call, over all nodes; the last repeats.",
            ["ok"],
        ),
    },
    "CallSpec": {key: _CALL[key] for key in ("for", "raise", "hang", "ignores")},
    "StalledSpec": {
        "interval": ("How often it looks.",),
        "rescue_after": ("How old the last beat of a node is when its jobs are given back.",),
    },
    "PrunerSpec": {
        "max_age": ("How long a finished job stays; 0s: not at all.",),
        "limit": ("At most so many at once.",),
        "interval": ("How often it deletes.",),
    },
    "CronSpec": {
        "timezone": ("The time zone of the wall times, by its IANA name.", "America/New_York"),
        "catch_up": ("How far back a new leader inserts what was missed. Default: 30s.", "1h"),
        "crontab": (
            "Pairs of an expression and a worker, or a mapping as `insert` takes.",
            [["0 * * * *", "Nightly"]],
        ),
    },
    "StepSpec": {
        "at": (
            "When: a duration after the start, or a date and time. Not before the last step's.",
            "5s",
        ),
        "insert": ("A job is inserted.",),
        "insert_all": ("Several jobs are inserted at once.",),
        "cancel": (
            "This job, or all that filters mean, are cancelled; a run is told.",
            "first",
            {"queue": "default"},
        ),
        "retry": (
            "This job, or all that filters mean, are made available again.",
            "first",
            {"state": "discarded"},
        ),
        "delete": (
            "This job, or all that filters mean, are deleted.",
            "first",
            {"jobs": ["first", "second"]},
        ),
        "pause": ("This queue is paused on every node.", "default"),
        "resume": ("This queue goes on.", "default"),
        "scale": ("This queue gets another concurrency.", {"queue": "default", "concurrency": 5}),
        "reset": ("What was set by hand for this queue is forgotten.", "default"),
        "pause_all": ("Every queue is paused.",),
        "resume_all": ("Every queue goes on.",),
        "crash": (
            "This node's process is gone, at once or at a point: its runs vanish, its jobs stay executing.",
            "a",
            {"node": "a", "after": "claim"},
        ),
        "restart": (
            "A new process in the place of a node that crashed or stopped.",
            "a",
            {"node": "a", "plugins": ["stalled"]},
            {"node": "a", "queues": ["default"]},
        ),
        "stop": ("This node is asked to stop.", {"node": "a", "grace": "15s"}),
        "suspend": ("This node's process does nothing for a while.", {"node": "a", "for": "90s"}),
        "partition": ("This node reaches the store no more, until `heal`.", "a"),
        "heal": ("This node reaches the store again.", "a"),
        "skew": ("This node's clock is off from now on.", {"node": "a", "by": "-5s"}),
        "drift": (
            "This node's clock is too fast or too slow from now on.",
            {"node": "a", "ppm": 500},
        ),
        "slow": (
            "Answers of the store take so long to reach this node.",
            {"node": "a", "by": "2s"},
        ),
        "fail": (
            "What befalls the next effects of this node's process.",
            {"node": "a", "effect": "settle", "how": "after"},
        ),
        "delay_notifications": ("Signals to every node are late by this; 0s: no more.", "3s"),
        "double_notifications": ("Whether every signal to every node comes twice.",),
        "drop_notifications": ("Whether every signal to every node is lost.",),
        "hold": ("true: nodes do what is due now, and then nothing, until it is false.",),
        "drain": ("Due jobs run at once, one at a time, as `drain_queue` has it.",),
        "database": ("Whether the store is there, for nodes and clients.",),
    },
    "DrainSpec": {
        "queue": ("The queue; left out, every one.", "default"),
        "with_scheduled": (
            "Whether scheduled jobs run as well, or those due within this.",
            True,
            "1h",
        ),
        "with_recursion": ("Whether jobs that are inserted meanwhile run as well.",),
        "limit": ("At most so many runs.", 10),
        "node": ("The node in whose name it is done; by default the first.", "a"),
    },
    "ScaleSpec": {
        "queue": ("The queue.", "default"),
        "concurrency": ("How many of its jobs each node runs at once from now on.", 5),
    },
    "CrashSpec": {
        "node": ("The node.", "a"),
        "before": ("Right before its next effect of this kind.", "claim"),
        "after": ("Right after its next effect of this kind has taken place.", "settle"),
    },
    "RestartSpec": {
        "node": ("The node.", "a"),
        "plugins": ("Which of the file's plugins it has from now on.", ["stalled", "cron"]),
        "queues": ("Which queues it serves from now on, and no others.", ["default"]),
    },
    "FailSpec": {
        "node": ("The node.", "a"),
        "effect": ("Which effects; `any`: whatever comes.", "settle"),
        "how": (
            "Fails before or after its commit, commits late, meets a conflict or deadlock, is refused.",
            "after",
        ),
        "times": ("How many of them.", 3),
        "by": ("How late one commits that fails `late`.", "5s"),
    },
    "SlowSpec": {
        "node": ("The node.", "a"),
        "by": ("How long an answer takes; 0s: no longer.", "2s"),
    },
    "DriftSpec": {
        "node": ("The node.", "a"),
        "ppm": ("Microseconds that it gains a second; negative: loses.", 500),
    },
    "StopSpec": {
        "node": ("The node.", "a"),
        "grace": ("How long its runs may go on; then they are given back.",),
    },
    "SuspendSpec": {
        "node": ("The node.", "a"),
        "for": ("For how long; what fell due meanwhile it does then.", "90s"),
    },
    "SkewSpec": {
        "node": ("The node.", "a"),
        "by": ("How far its clock is ahead, or behind where this is negative.", "-5s"),
    },
    "ExpectationSpec": {
        "at": (
            "When it looks, after all that is due then; `end` is the end of the play.",
            "end",
            "5s",
        ),
        "job": ("The job that is meant, by its name.", "first"),
        "state": ("The state that it is in.",),
        "queue": ("Its queue.", "default"),
        "worker": ("Its worker, by its name under `workers`.",),
        "node": ("The node that runs it, or ran it last; null: none.", "a"),
        "attempt": ("How many attempts have counted so far.",),
        "max_attempts": ("How many there may be.",),
        "priority": ("Its priority.",),
        "snoozed": ("How often it was snoozed.",),
        "tags": ("Its tags, all of them.", ["nightly"]),
        "args": ("Contained in its args.", {"package": "react"}),
        "meta": ("Contained in its meta.", {"team": "data"}),
        "error": ("Contained in its last error; null: it has none.", "503"),
        "conflict": ("The job that its insert found in its place; null: it was stored.", "first"),
        "replaced": ("Whether its insert changed the job that it found.",),
        "inserted_at": (f"When it was inserted: an {_INSTANT_OF_JOB}", "0s"),
        "scheduled_at": (f"When it is due: an {_INSTANT_OF_JOB}", "62s"),
        "attempted_at": (f"When it last started: an {_INSTANT_OF_JOB}", "2s"),
        "completed_at": (f"When it was completed: an {_INSTANT_OF_JOB}", "126s"),
        "discarded_at": (f"When it was discarded: an {_INSTANT_OF_JOB}", "10s"),
        "cancelled_at": (f"When it was cancelled: an {_INSTANT_OF_JOB}", "4s"),
        "count": ("How many jobs are like this; with `is`.", {"state": "completed"}),
        "is": ("That many.", 1),
        "jobs": ("Which jobs are meant; with `order`.", {"queue": "default"}),
        "order": ("Their names in the order of their first starts.", ["first", "second"]),
    },
    "OrderSpec": {
        "jobs": ("One of these, by their names.", ["first", "second"]),
        **_FILTERS,
    },
    "FilterSpec": _FILTERS,
}
