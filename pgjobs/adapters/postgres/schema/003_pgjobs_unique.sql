-- Uniqueness: the jobs of a fingerprint are found by an index, and whoever looks holds a lock on its slot.
-- Why slots, and why one function does it all: docs/decisions/0010-uniqueness.md.

CREATE TABLE IF NOT EXISTS {schema}.pgjobs_unique (
    slot bigint PRIMARY KEY
) WITH (fillfactor = 50);

-- What is finished is kept apart, so that a group with a long history is not read for what is unfinished
-- of it. The expression is one that no other index has: by "state = ..." the planner might take the
-- index of states, and walk all that waits. Digests are compared byte by byte, whatever the language.
CREATE INDEX IF NOT EXISTS pgjobs_jobs_unique
ON {schema}.oban_jobs (
    ((meta ->> 'pgjobs_unique') COLLATE "C"),
    (CASE WHEN state IN ('completed', 'discarded', 'cancelled') THEN 1 ELSE 0 END),
    inserted_at
)
WHERE (meta ->> 'pgjobs_unique') IS NOT NULL;

-- The oldest job that stands in the way of each of these, NULL where none does. A rule, which many of them
-- share, is what counts (states, as the text of an array) and since when.
--
-- Plans of functions are kept, hence the settings: they must not come of a table that was empty once.
-- "+ 0" keeps the planner from walking the primary key from its beginning, IS NOT FALSE from taking an
-- index for its scheduled_at. Mostly nothing is there for any of them, and one look at each says so; where
-- nothing finished counts, the last one is none.
CREATE OR REPLACE FUNCTION {schema}.pgjobs_oldest(
    fingerprints text[],
    rules bigint[],
    counted text[],
    inserted_after timestamp[],
    scheduled_after timestamp[]
)
RETURNS bigint[]
LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $func$
BEGIN
    IF NOT EXISTS (
        SELECT FROM unnest(fingerprints) AS given(fingerprint)
        WHERE (
            SELECT true FROM {schema}.oban_jobs AS job
            WHERE (job.meta ->> 'pgjobs_unique') COLLATE "C" = given.fingerprint
            LIMIT 1
        )
    ) THEN
        RETURN array_fill(NULL::bigint, ARRAY[cardinality(fingerprints)]);
    END IF;
    RETURN ARRAY(
        SELECT CASE WHEN (
            SELECT true FROM {schema}.oban_jobs AS job
            WHERE (job.meta ->> 'pgjobs_unique') COLLATE "C" = given.fingerprint
            LIMIT 1
        ) THEN least((
            SELECT min(job.id + 0) FROM {schema}.oban_jobs AS job
            WHERE (job.meta ->> 'pgjobs_unique') COLLATE "C" = given.fingerprint
              AND CASE WHEN job.state IN ('completed', 'discarded', 'cancelled')
                THEN 1 ELSE 0 END = 0
              AND job.inserted_at > coalesce(inserted_after[given.rule], '-infinity')
              AND (job.scheduled_at > scheduled_after[given.rule]) IS NOT FALSE
              AND job.state::text = ANY (counted[given.rule]::text[])
        ), (
            SELECT min(job.id + 0) FROM {schema}.oban_jobs AS job
            WHERE (job.meta ->> 'pgjobs_unique') COLLATE "C" = given.fingerprint
              AND CASE WHEN job.state IN ('completed', 'discarded', 'cancelled')
                THEN 1 ELSE 0 END = 1
              AND job.inserted_at > coalesce(inserted_after[given.rule], '-infinity')
              AND (job.scheduled_at > scheduled_after[given.rule]) IS NOT FALSE
              AND job.state::text = ANY (counted[given.rule]::text[])
              AND counted[given.rule]::text[] && '{completed,discarded,cancelled}'
        )) END
        FROM unnest(fingerprints, rules) WITH ORDINALITY AS given(fingerprint, rule, n)
        ORDER BY given.n
    );
END;
$func$;

-- Each statement in here sees what was committed before it began, so also what the holder of a slot had
-- inserted.
CREATE OR REPLACE FUNCTION {schema}.pgjobs_insert(
    new_slots bigint[],
    new_at timestamp,
    new_states text[],
    new_queues text[],
    new_workers text[],
    new_args jsonb[],
    new_metas jsonb[],
    new_tags text[],
    new_max_attempts bigint[],
    new_priorities bigint[],
    new_scheduled timestamp[],
    new_twins boolean[],
    new_replacements jsonb[],
    new_fingerprints text[],
    new_rules bigint[],
    counted text[],
    inserted_after timestamp[],
    scheduled_after timestamp[]
)
RETURNS TABLE (
    n bigint, id bigint, outcome text, job text, queue text, state text, scheduled_at timestamp
)
LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off
SET jit = off
SET plan_cache_mode = force_generic_plan
AS $func$
#variable_conflict use_column
DECLARE
    found bigint[];
    locked bigint[] := '{}';
BEGIN
    IF new_slots <> '{}' THEN
        INSERT INTO {schema}.pgjobs_unique AS held (slot)
        SELECT s FROM unnest(new_slots) AS s ORDER BY s
        ON CONFLICT (slot) DO UPDATE SET slot = held.slot;
    END IF;

    found := {schema}.pgjobs_oldest(
        new_fingerprints, new_rules, counted, inserted_after, scheduled_after
    );

    -- What is going to be replaced must not change its state in between.
    IF new_replacements <> '{}' THEN
        locked := ARRAY(
            SELECT given.oldest FROM unnest(found, new_replacements) AS given(oldest, replacement)
            WHERE given.replacement IS NOT NULL
        );
        PERFORM FROM {schema}.oban_jobs AS job
        WHERE job.id = ANY (locked) ORDER BY job.scheduled_at, job.id FOR UPDATE;
        found := {schema}.pgjobs_oldest(
            new_fingerprints, new_rules, counted, inserted_after, scheduled_after
        );
    END IF;

    RETURN QUERY
    WITH given AS MATERIALIZED (
        SELECT new.*,
            new.oldest IS NULL AND new.twin IS NOT TRUE AS fresh,
            CASE WHEN new.replacement IS NOT NULL AND new.oldest = ANY (locked) THEN
                new.replacement -> (
                    SELECT job.state::text FROM {schema}.oban_jobs AS job
                    WHERE job.id = new.oldest
                )
            END AS change
        FROM unnest(
            new_states, new_queues, new_workers, new_args, new_metas, new_tags, new_max_attempts,
            new_priorities, new_scheduled, new_twins, new_replacements, found
        ) WITH ORDINALITY AS new(
            state, queue, worker, args, meta, tags, max_attempts, priority, scheduled_at,
            twin, replacement, oldest, n
        )
    ), inserted AS (
        INSERT INTO {schema}.oban_jobs (
            state, queue, worker, args, meta, tags, max_attempts, priority, scheduled_at,
            inserted_at, attempt, errors, attempted_by, attempted_at, completed_at, discarded_at,
            cancelled_at
        )
        SELECT given.state::{schema}.oban_job_state, given.queue, given.worker, given.args,
            given.meta, given.tags::text[], given.max_attempts, given.priority, given.scheduled_at,
            new_at, 0,
            (SELECT (jsonb_populate_record(NULL::{schema}.oban_jobs, '{"errors": []}')).errors),
            '{}', NULL, NULL, NULL, NULL
        FROM given WHERE given.fresh
        ORDER BY given.n
        RETURNING id
    ), replaced AS (
        UPDATE {schema}.oban_jobs AS job SET
            state = (given.change ->> 'state')::{schema}.oban_job_state,
            args = CASE WHEN given.change -> 'fields' ? 'args' THEN given.args ELSE job.args END,
            meta = CASE WHEN given.change -> 'fields' ? 'meta' THEN given.meta || coalesce((
                SELECT jsonb_object_agg(counter.key, job.meta -> counter.key)
                FROM unnest('{snoozed,released}'::text[]) AS counter(key)
                WHERE job.meta ? counter.key), '{}') ELSE job.meta END,
            tags = CASE WHEN given.change -> 'fields' ? 'tags' THEN given.tags::text[]
                ELSE job.tags END,
            queue = CASE WHEN given.change -> 'fields' ? 'queue' THEN given.queue
                ELSE job.queue END,
            priority = CASE WHEN given.change -> 'fields' ? 'priority' THEN given.priority
                ELSE job.priority END,
            scheduled_at = CASE WHEN given.change -> 'fields' ? 'scheduled_at'
                THEN given.scheduled_at ELSE job.scheduled_at END,
            max_attempts = CASE WHEN given.change -> 'fields' ? 'max_attempts'
                THEN least(
                    greatest(given.max_attempts, job.attempt + (given.change ->> 'spare')::bigint),
                    32767
                )
                ELSE job.max_attempts END
        FROM given
        WHERE given.change IS NOT NULL AND job.id = given.oldest AND job.id = ANY (locked)
        RETURNING given.n, job.*
    )
    SELECT job.n, job.id, 'replaced', json_build_array(
            job.id, job.state::text, job.queue, job.worker, job.args::text,
            coalesce(job.meta, '{}')::text, coalesce(job.tags, '{}'), to_jsonb(job.errors)::text,
            job.attempt, job.max_attempts, job.priority, coalesce(job.attempted_by, '{}'),
            job.inserted_at, job.scheduled_at, job.attempted_at, job.completed_at,
            job.discarded_at, job.cancelled_at
        )::text, job.queue::text, job.state::text, job.scheduled_at::timestamp
    FROM replaced AS job
    UNION ALL
    SELECT given.n,
        CASE WHEN given.fresh THEN
            (SELECT array_agg(inserted.id ORDER BY inserted.id) FROM inserted)[
                row_number() OVER (PARTITION BY given.fresh ORDER BY given.n)
            ]
        ELSE given.oldest END,
        CASE WHEN given.fresh THEN 'inserted' ELSE 'conflict' END,
        (
            SELECT json_build_array(
                job.id, job.state::text, job.queue, job.worker, job.args::text,
                coalesce(job.meta, '{}')::text, coalesce(job.tags, '{}'),
                to_jsonb(job.errors)::text, job.attempt, job.max_attempts, job.priority,
                coalesce(job.attempted_by, '{}'), job.inserted_at, job.scheduled_at,
                job.attempted_at, job.completed_at, job.discarded_at, job.cancelled_at
            )::text
            FROM {schema}.oban_jobs AS job WHERE job.id = given.oldest
        ),
        given.queue, given.state, given.scheduled_at
    FROM given WHERE given.change IS NULL;
END;
$func$;
