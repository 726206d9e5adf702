-- What is done to a run as a whole. See the functions in migration 0006.

-- name: stop_run
-- $1 run  $2 cancel, force_cancel or stop  $3 who  $4 why  $5 are its live calls to be ended too?
SELECT * FROM stop_run($1, $2, $3, $4, $5);

-- name: hold_run
-- $1 run  $2 pause or resume  $3 who  $4 why
SELECT * FROM hold_run($1, $2, $3, $4);

-- name: stale_runs
-- Whose heartbeat is too old: to be stopped one by one.  $1 older than, seconds  $2 business, or null: all
SELECT id AS run_id FROM outbound_call_runs
WHERE status = 'running' AND NOT cancel_requested
  AND last_heartbeat_at < now() - make_interval(secs => $1::float8)
  AND ($2::bigint IS NULL OR business_id = $2)
ORDER BY id;

-- name: stop_stale_run
-- No row: it is not stale any more, or somebody is at work on it.
-- $1 run  $2 older than, seconds  $3 action  $4 who  $5 why
SELECT * FROM stop_stale_run($1, $2, $3, $4, $5);

-- name: take_due_hangups
-- Live calls that are to be ended: each is marked, so that of many controls one asks the carrier, and so that
-- whoever learns its SID later is told (take_carrier_event).
-- $1 run, or null: all  $2 ask again after, seconds
WITH due AS MATERIALIZED (
    SELECT a.id FROM outbound_call_attempts a JOIN outbound_call_runs r ON r.id = a.run_id
    WHERE a.ended_at IS NULL AND r.hangup_requested_at IS NOT NULL AND ($1::bigint IS NULL OR r.id = $1)
      AND (a.hangup_requested_at IS NULL
           OR (a.call_sid IS NOT NULL AND a.hangup_requested_at < now() - make_interval(secs => $2::float8)))
    ORDER BY a.id FOR NO KEY UPDATE OF a SKIP LOCKED
)
UPDATE outbound_call_attempts a SET hangup_requested_at = now() FROM due WHERE a.id = due.id
RETURNING a.id AS attempt_id, a.call_sid, a.account_sid;
