-- What a person asks who looks after all of it: `dialer doctor`, `dialer slots`. They only read.

-- name: businesses_at_work
-- Those with attempts that may have a call.
SELECT DISTINCT business_id FROM outbound_call_attempts WHERE ended_at IS NULL ORDER BY business_id;

-- name: server_facts
-- How this PostgreSQL is set up, as far as it matters here, and its clock. A pooler in between is seen through.
SELECT current_setting('server_version') AS version, current_setting('server_version_num')::integer / 10000 AS major,
       pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean AS read_only,
       current_setting('fsync')::boolean AS fsync,
       current_setting('max_connections')::integer
           - current_setting('superuser_reserved_connections')::integer AS connections,
       (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS connected;

-- name: database_clock
-- Seconds since 1970.
SELECT extract(epoch FROM clock_timestamp())::float8 AS seconds;

-- name: work_figures
-- How the work goes on.  $1 stale after, seconds
SELECT (SELECT count(*) FROM outbound_call_attempts WHERE ended_at IS NULL) AS live_attempts,
       (SELECT extract(epoch FROM now() - min(created_at))::float8
        FROM outbound_call_attempts WHERE ended_at IS NULL AND state = 'unknown') AS oldest_unknown_seconds,
       array(SELECT r.id FROM outbound_call_runs r
             WHERE r.status = 'running' AND r.last_heartbeat_at < now() - make_interval(secs => $1::float8)
             ORDER BY r.id LIMIT 10) AS stale_runs,
       array(SELECT DISTINCT r.last_error FROM outbound_call_runs r
             WHERE r.status IN ('pending', 'running', 'paused') AND r.last_error IS NOT NULL
             ORDER BY 1 LIMIT 5) AS last_errors;

-- name: numbers_in_use
-- Caller IDs that calls are, or will be, placed from, with a business or a run that has them.  $1 how many
SELECT from_number, min(owner) AS owner FROM (
    SELECT b.from_number, 'business ' || b.id AS owner FROM businesses b WHERE b.from_number IS NOT NULL
    UNION ALL
    SELECT s.from_number, 'run ' || r.id
    FROM outbound_call_runs r JOIN outbound_call_run_settings s ON s.run_id = r.id
    WHERE r.status IN ('pending', 'running', 'paused')
) AS used GROUP BY from_number ORDER BY from_number LIMIT $1;
