-- Daemons one by one: how one is, and asking it to drain.

-- name: show_daemon
-- `gone`: it has said that it ends, or has not been seen for long, as after a kill.
-- $1 daemon  $2 seconds within which a live one is seen
SELECT id, host, pid, started_at, last_seen_at, drain_requested_at,
       CASE WHEN left_at IS NOT NULL OR last_seen_at <= now() - make_interval(secs => $2::float8) THEN 'gone'
            WHEN ended_at IS NOT NULL OR drain_requested_at IS NOT NULL THEN 'draining'
            ELSE 'live' END AS state
FROM dialer_daemons WHERE id = $1::uuid;

-- name: drain_daemon
-- Ask it to drain; it hears it when it shows its tally. A row when there is such a daemon; one that was asked before,
-- or has given its leases back, stays as it is.  $1 daemon  $2 who  $3 why
WITH asked AS (
    UPDATE dialer_daemons SET drain_requested_at = now()
    WHERE id = $1::uuid AND drain_requested_at IS NULL AND ended_at IS NULL
    RETURNING id, host, pid
), audited AS (
    INSERT INTO audit_log (actor, action, reason, details)
    SELECT $2, 'drain_daemon', $3, jsonb_build_object('daemon_id', id, 'host', host, 'pid', pid) FROM asked
)
SELECT d.host, d.pid, asked.id IS NOT NULL AS asked_now
FROM dialer_daemons d LEFT JOIN asked ON asked.id = d.id WHERE d.id = $1::uuid;
