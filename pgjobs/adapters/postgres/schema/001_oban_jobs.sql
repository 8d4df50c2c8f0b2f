-- Oban's own tables, as the install SQL of Oban for Python 0.7.0 makes them. A table that is there
-- already, also in the shape of Oban for Elixir, is kept as it is and gets the indexes that it lacks.

DO $body$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_namespace WHERE nspname = {schema_text}) THEN
        CREATE SCHEMA {schema};
    END IF;
END
$body$;

DO $body$
BEGIN
    IF NOT EXISTS (
        SELECT FROM pg_type t
        JOIN pg_namespace n ON n.oid = t.typnamespace
        WHERE t.typname = 'oban_job_state'
          AND n.nspname = {schema_text}
    ) THEN
        CREATE TYPE {schema}.oban_job_state AS ENUM (
            'available',
            'scheduled',
            'suspended',
            'executing',
            'retryable',
            'completed',
            'discarded',
            'cancelled'
        );
    ELSIF NOT EXISTS (
        SELECT FROM pg_enum e
        JOIN pg_type t ON t.oid = e.enumtypid
        JOIN pg_namespace n ON n.oid = t.typnamespace
        WHERE t.typname = 'oban_job_state'
          AND n.nspname = {schema_text}
          AND e.enumlabel = 'suspended'
    ) THEN
        ALTER TYPE {schema}.oban_job_state ADD VALUE 'suspended' AFTER 'scheduled';
    END IF;
END
$body$;

DO $body$
BEGIN
    IF NOT EXISTS (
        SELECT FROM pg_class c
        JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relname = 'oban_jobs'
          AND n.nspname = {schema_text}
    ) THEN
        CREATE TABLE {schema}.oban_jobs (
            id BIGINT PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
            state {schema}.oban_job_state NOT NULL DEFAULT 'available',
            queue text NOT NULL DEFAULT 'default',
            worker text NOT NULL,
            attempt smallint NOT NULL DEFAULT 0,
            max_attempts smallint NOT NULL DEFAULT 20,
            priority smallint NOT NULL DEFAULT 0,
            args jsonb NOT NULL DEFAULT '{}',
            meta jsonb NOT NULL DEFAULT '{}',
            tags text[] NOT NULL DEFAULT ARRAY[]::TEXT[],
            errors jsonb NOT NULL DEFAULT '[]',
            attempted_by text[] NOT NULL DEFAULT ARRAY[]::TEXT[],
            inserted_at timestamp WITHOUT TIME ZONE NOT NULL DEFAULT timezone('UTC', now()),
            scheduled_at timestamp WITHOUT TIME ZONE NOT NULL DEFAULT timezone('UTC', now()),
            attempted_at timestamp WITHOUT TIME ZONE,
            cancelled_at timestamp WITHOUT TIME ZONE,
            completed_at timestamp WITHOUT TIME ZONE,
            discarded_at timestamp WITHOUT TIME ZONE,

            CONSTRAINT attempt_range CHECK (attempt >= 0 AND attempt <= max_attempts),
            CONSTRAINT queue_length CHECK (char_length(queue) > 0),
            CONSTRAINT worker_length CHECK (char_length(worker) > 0),
            CONSTRAINT positive_max_attempts CHECK (max_attempts > 0),
            CONSTRAINT non_negative_priority CHECK (priority >= 0)
        );

        ALTER TABLE {schema}.oban_jobs SET (
            autovacuum_vacuum_scale_factor = 0.02,
            autovacuum_vacuum_threshold = 50,
            autovacuum_analyze_scale_factor = 0.02,
            autovacuum_analyze_threshold = 100,
            autovacuum_vacuum_cost_limit = 2000,
            autovacuum_vacuum_cost_delay = 1,
            autovacuum_vacuum_insert_scale_factor = 0.02,
            autovacuum_vacuum_insert_threshold = 1000,
            fillfactor = 85
        );
    END IF;
END
$body$;

CREATE UNLOGGED TABLE IF NOT EXISTS {schema}.oban_leaders (
    name text PRIMARY KEY DEFAULT 'oban',
    node text NOT NULL,
    elected_at timestamp WITHOUT TIME ZONE NOT NULL,
    expires_at timestamp WITHOUT TIME ZONE NOT NULL
);

CREATE UNLOGGED TABLE IF NOT EXISTS {schema}.oban_producers (
    uuid uuid PRIMARY KEY,
    name text NOT NULL DEFAULT 'oban',
    node text NOT NULL,
    queue text NOT NULL,
    meta jsonb NOT NULL DEFAULT '{}',
    started_at timestamp WITHOUT TIME ZONE NOT NULL DEFAULT timezone('UTC', now()),
    updated_at timestamp WITHOUT TIME ZONE NOT NULL DEFAULT timezone('UTC', now())
);

CREATE INDEX IF NOT EXISTS oban_jobs_state_queue_priority_scheduled_at_id_index
ON {schema}.oban_jobs (state, queue, priority, scheduled_at, id)
WITH (fillfactor = 90);

CREATE INDEX IF NOT EXISTS oban_jobs_staging_index
ON {schema}.oban_jobs (scheduled_at, id) INCLUDE (queue)
WHERE state IN ('scheduled', 'retryable');

CREATE INDEX IF NOT EXISTS oban_jobs_completed_at_index
ON {schema}.oban_jobs (completed_at)
WHERE state = 'completed';

CREATE INDEX IF NOT EXISTS oban_jobs_cancelled_at_index
ON {schema}.oban_jobs (cancelled_at)
WHERE state = 'cancelled';

CREATE INDEX IF NOT EXISTS oban_jobs_discarded_at_index
ON {schema}.oban_jobs (discarded_at)
WHERE state = 'discarded';

DO $body$
BEGIN
    IF NOT EXISTS (
        SELECT FROM pg_proc p
        JOIN pg_namespace n ON n.oid = p.pronamespace
        WHERE p.proname = 'oban_count_estimate'
          AND n.nspname = {schema_text}
    ) THEN
        CREATE FUNCTION {schema}.oban_count_estimate(state text, queue text)
        RETURNS integer AS $func$
        DECLARE
          plan jsonb;
        BEGIN
          EXECUTE format(
                   'EXPLAIN (FORMAT JSON)
                   SELECT id
                   FROM %1$I.oban_jobs
                   WHERE state = $1::%1$I.oban_job_state
                   AND queue = $2', {schema_text})
            INTO plan
            USING state, queue;
          RETURN plan->0->'Plan'->'Plan Rows';
        END;
        $func$
        LANGUAGE plpgsql;
    END IF;
END
$body$;
