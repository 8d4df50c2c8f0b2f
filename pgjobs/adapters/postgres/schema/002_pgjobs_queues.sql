-- What an operator set by hand for a queue; "*" stands for every queue.

CREATE TABLE IF NOT EXISTS {schema}.pgjobs_queues (
    queue text PRIMARY KEY,
    paused boolean,
    paused_over boolean,
    concurrency bigint,
    concurrency_over bigint,
    updated_at timestamp WITHOUT TIME ZONE NOT NULL
);
