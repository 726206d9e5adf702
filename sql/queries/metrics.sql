-- What /metrics shows beyond what control itself has counted.

-- name: show_tally
-- Returns whether it is asked to drain.  $1 worker uuid  $2 what it has counted since its start (JSON)
UPDATE dialer_daemons SET tally = $2::text::jsonb WHERE id = $1::uuid
RETURNING drain_requested_at IS NOT NULL AS drain_requested;

-- name: show_last_tally
-- Nothing of it is on the wire any more.  $1 worker uuid  $2 what it has counted since its start (JSON)
UPDATE dialer_daemons SET tally = $2::text::jsonb, left_at = now() WHERE id = $1::uuid;

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
-- How it stands, over all businesses. It reads what is open, never jobs, nor runs that have ended; of recordings
-- that wait ten thousand at most.
-- $1 stale after, seconds  $2 take-over after, seconds  $3 how late a call may appear in the carrier's list, seconds
WITH live AS MATERIALIZED (
    SELECT business_id, state,
           created_at < now() - make_interval(secs => ring_timeout_seconds + call_time_limit_seconds + $3::float8)
               AS overdue
    FROM outbound_call_attempts WHERE ended_at IS NULL
), calls AS (
    SELECT count(*) FILTER (WHERE state = 'intent') AS intent,
           count(*) FILTER (WHERE state = 'requested') AS requested,
           count(*) FILTER (WHERE state = 'live') AS live,
           count(*) FILTER (WHERE state = 'unknown') AS unknown,
           count(*) FILTER (WHERE overdue) AS overdue
    FROM live
), open AS (
    SELECT count(*) FILTER (WHERE r.status = 'pending') AS pending,
           count(*) FILTER (WHERE r.status = 'running') AS running,
           count(*) FILTER (WHERE r.status = 'running'
                            AND r.last_heartbeat_at < now() - make_interval(secs => $1::float8)) AS stale,
           count(*) FILTER (WHERE r.locked_by_worker IS NOT NULL
                            AND coalesce(r.last_heartbeat_at < now() - make_interval(secs => $2::float8), true))
               AS unbeaten,
           greatest(extract(epoch FROM now() - min(r.last_heartbeat_at)), 0)::float8 AS heartbeat,
           count(*) FILTER (WHERE NOT r.cancel_requested AND c.queued > 0 AND busy.business_id IS NULL) AS idle,
           coalesce(sum(c.queued) FILTER (WHERE NOT r.cancel_requested), 0)::bigint AS queued,
           extract(epoch FROM now() - min(r.created_at)
                   FILTER (WHERE NOT r.cancel_requested AND c.queued > 0))::float8 AS oldest
    FROM outbound_call_runs r JOIN outbound_call_run_counters c ON c.run_id = r.id
    LEFT JOIN (SELECT DISTINCT business_id FROM live) AS busy ON busy.business_id = r.business_id
    WHERE r.status IN ('pending', 'running')
), recordings AS (
    SELECT count(*) AS waiting, extract(epoch FROM now() - min(created_at))::float8 AS oldest
    FROM (SELECT created_at FROM recording_runs WHERE status = 'queued'
          ORDER BY business_id, coalesce(not_before, created_at), id LIMIT 10000) AS first
)
SELECT calls.intent, calls.requested, calls.live, calls.unknown, calls.overdue,
       open.pending, open.running, open.stale, open.unbeaten, coalesce(open.heartbeat, 0) AS heartbeat, open.idle,
       open.queued, coalesce(open.oldest, 0) AS oldest,
       recordings.waiting AS recordings, coalesce(recordings.oldest, 0) AS oldest_recording,
       (SELECT coalesce(sum(max_concurrent_calls), 0)::bigint FROM businesses) AS limits,
       (SELECT max(version) FROM schema_migrations) AS schema_version
FROM calls, open, recordings;
