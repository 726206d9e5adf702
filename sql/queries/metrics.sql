-- What /metrics shows beyond what control itself has counted.

-- name: show_tally
-- $1 worker uuid  $2 what it has counted since its start (JSON)
UPDATE dialer_daemons SET tally = $2::text::jsonb WHERE id = $1::uuid;

-- name: tallies
-- What daemons have counted, those included that have ended lately, newest first.
-- $1 seconds within which one was seen  $2 how many  $3 seconds within which a live one is seen
SELECT left(id::text, 8) AS daemon, host, pid, tally::text AS tally, redis_degraded,
       greatest(extract(epoch FROM now() - last_seen_at), 0)::float8 AS seen_seconds_ago,
       ended_at IS NULL AND last_seen_at > now() - make_interval(secs => $3::float8) AS alive
FROM dialer_daemons
WHERE last_seen_at > now() - make_interval(secs => $1::float8)
ORDER BY started_at DESC, id LIMIT $2;

-- name: gauges
-- How it stands, over all businesses. It reads what is open, never jobs, nor runs that have ended.
-- $1 stale after, seconds
WITH live AS (
    SELECT count(*) FILTER (WHERE state = 'intent') AS intent,
           count(*) FILTER (WHERE state = 'requested') AS requested,
           count(*) FILTER (WHERE state = 'live') AS live,
           count(*) FILTER (WHERE state = 'unknown') AS unknown
    FROM outbound_call_attempts WHERE ended_at IS NULL
), open AS (
    SELECT count(*) FILTER (WHERE r.status = 'pending') AS pending,
           count(*) FILTER (WHERE r.status = 'running') AS running,
           count(*) FILTER (WHERE r.status = 'running'
                            AND r.last_heartbeat_at < now() - make_interval(secs => $1::float8)) AS stale,
           coalesce(sum(c.queued) FILTER (WHERE NOT r.cancel_requested), 0)::bigint AS queued,
           extract(epoch FROM now() - min(r.created_at)
                   FILTER (WHERE NOT r.cancel_requested AND c.queued > 0))::float8 AS oldest
    FROM outbound_call_runs r JOIN outbound_call_run_counters c ON c.run_id = r.id
    WHERE r.status IN ('pending', 'running')
)
SELECT live.intent, live.requested, live.live, live.unknown,
       open.pending, open.running, open.stale, open.queued, coalesce(open.oldest, 0) AS oldest,
       (SELECT coalesce(sum(max_concurrent_calls), 0)::bigint FROM businesses) AS limits,
       (SELECT max(version) FROM schema_migrations) AS schema_version
FROM live, open;
