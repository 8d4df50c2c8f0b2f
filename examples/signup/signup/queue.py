"""The job queue of this application."""

import os

from pgjobs import PgJobs, Queue

jobs = PgJobs(
    os.environ.get("SIGNUP_DATABASE", "postgresql://localhost/signup"),
    queues={"default": 5, "mail": Queue(concurrency=2)},
    workers=["signup.workers"],
)
