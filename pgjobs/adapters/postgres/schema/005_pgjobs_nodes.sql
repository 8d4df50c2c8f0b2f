-- Heartbeats of nodes, leases of leaders, and the newest tick of each cron entry.

CREATE TABLE IF NOT EXISTS {schema}.pgjobs_nodes (
    name text PRIMARY KEY,
    started_at timestamp WITHOUT TIME ZONE NOT NULL,
    beat_at timestamp WITHOUT TIME ZONE NOT NULL,
    every interval NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE IF NOT EXISTS {schema}.pgjobs_leases (
    name text PRIMARY KEY,
    node text NOT NULL,
    token bigint NOT NULL,
    until timestamp WITHOUT TIME ZONE NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE IF NOT EXISTS {schema}.pgjobs_ticks (
    key text PRIMARY KEY,
    watermark timestamp WITHOUT TIME ZONE NOT NULL
) WITH (fillfactor = 50);
