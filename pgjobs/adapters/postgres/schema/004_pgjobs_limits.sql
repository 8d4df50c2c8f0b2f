-- When jobs of a rate-limited queue started: [[microseconds since 1970, how many], ...], oldest first.

ALTER TABLE {schema}.pgjobs_queues ADD COLUMN IF NOT EXISTS starts jsonb;
