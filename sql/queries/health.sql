-- How it is going.

-- name: daemons_alive
-- With the runs they hold and the calls of those.
-- $1 seconds within which one was seen  $2 business whose runs and calls are counted, or null: all
SELECT d.id, d.host, d.pid, d.started_at, d.last_seen_at, d.redis_degraded,
       d.drain_requested_at IS NOT NULL AS draining,
       count(DISTINCT r.id) AS runs, count(a.id) AS live_calls
FROM dialer_daemons d
LEFT JOIN outbound_call_runs r ON r.locked_by_worker = d.id AND r.status = 'running'
                                AND ($2::bigint IS NULL OR r.business_id = $2)
LEFT JOIN outbound_call_attempts a ON a.run_id = r.id AND a.business_id = r.business_id AND a.ended_at IS NULL
WHERE d.ended_at IS NULL AND d.last_seen_at > now() - make_interval(secs => $1::float8)
GROUP BY d.id ORDER BY d.started_at, d.id;

-- name: health_figures
-- Jobs are as old as their run: the oldest that waits is of the oldest run that has one.
-- $1 business, or null: all  $2 stale after, seconds
SELECT (SELECT extract(epoch FROM now() - min(r.created_at))::float8
        FROM outbound_call_runs r JOIN outbound_call_run_counters c ON c.run_id = r.id
        WHERE r.status IN ('pending', 'running') AND NOT r.cancel_requested AND c.queued > 0
          AND ($1::bigint IS NULL OR r.business_id = $1)) AS oldest_waiting_job_seconds,
       (SELECT count(*) FROM outbound_call_runs r
        WHERE r.status = 'running' AND r.last_heartbeat_at < now() - make_interval(secs => $2::float8)
          AND ($1::bigint IS NULL OR r.business_id = $1)) AS stale_runs,
       (SELECT count(*) FROM outbound_call_attempts a
        WHERE a.ended_at IS NULL AND a.state = 'unknown'
          AND ($1::bigint IS NULL OR a.business_id = $1)) AS unknown_attempts;

-- name: daemon_of_host
-- Since the last beat of any daemon of this host that has not ended; null: there is none.  $1 host
SELECT min(extract(epoch FROM now() - last_seen_at))::float8 AS seconds
FROM dialer_daemons WHERE host = $1 AND ended_at IS NULL;
