-- Leases: who may dial a run. Expiry is decided by the database's clock alone.

-- name: claim_runs
-- Take runs that nobody holds, oldest first, at most this daemon's fair share of all open runs.
-- $1 worker uuid  $2 take-over after, seconds  $3 resume within, seconds  $4 runs held already
-- $5 why this daemon cannot dial just now, or null
-- A running run may be taken over when its heartbeat is old, but not within a lease's length of a start of
-- Postgres: then every heartbeat is old, and its holder's late beat revives it.
-- FOR UPDATE SKIP LOCKED passes over a run with an intent in flight (it holds the row FOR KEY SHARE).
WITH live AS (
    SELECT greatest(count(*), 1) AS daemons FROM dialer_daemons
    WHERE ended_at IS NULL AND last_seen_at > now() - make_interval(secs => $2::float8)
), open AS (
    SELECT count(*) AS runs FROM outbound_call_runs WHERE status IN ('pending', 'running') AND NOT cancel_requested
), free AS MATERIALIZED (
    SELECT r.id FROM outbound_call_runs r
    WHERE r.status IN ('pending', 'running') AND NOT r.cancel_requested
      AND (r.status = 'pending'
           OR (r.last_heartbeat_at < now() - make_interval(secs => $2::float8)
               AND r.last_heartbeat_at >= now() - make_interval(secs => $3::float8)
               AND pg_postmaster_start_time() < now() - make_interval(secs => $2::float8)))
    ORDER BY r.id
    LIMIT (SELECT greatest(ceil(open.runs::numeric / live.daemons)::bigint - $4::bigint, 0) FROM open, live)
    FOR UPDATE SKIP LOCKED
)
UPDATE outbound_call_runs r
SET status = 'running', locked_by_worker = $1::uuid, lease_epoch = r.lease_epoch + 1,
    lock_ts = now(), last_heartbeat_at = now(), started_at = coalesce(r.started_at, now()), last_error = $5::text
FROM free
JOIN outbound_call_runs was ON was.id = free.id
JOIN outbound_call_run_settings s ON s.run_id = free.id
JOIN outbound_call_run_counters c ON c.run_id = free.id
JOIN businesses b ON b.id = s.business_id
WHERE r.id = free.id
RETURNING r.id AS run_id, r.business_id, r.lease_epoch, r.concurrency, b.max_concurrent_calls AS business_limit,
          was.started_at IS NOT NULL AS resumed, was.status = 'running' AS taken_over, c.queued,
          s.from_number, s.twiml, s.url, s.record, s.machine_detection,
          s.ring_timeout_seconds, s.call_time_limit_seconds;

-- name: adopt_attempts
-- After a claim: what the holder before left. Its intents cannot be told apart (sent, or not): they become
-- unknown. Returns every attempt of the runs that may have a call.
-- $1 run ids  $2 their epochs under us
WITH ours AS (
    SELECT * FROM unnest($1::bigint[], $2::bigint[]) AS u (run_id, lease_epoch)
), doubted AS (
    UPDATE outbound_call_attempts a SET state = 'unknown'
    FROM ours JOIN outbound_call_runs r ON r.id = ours.run_id
    WHERE a.business_id = r.business_id AND a.run_id = ours.run_id AND a.ended_at IS NULL
      AND a.state = 'intent' AND a.lease_epoch < ours.lease_epoch
    RETURNING a.id
)
SELECT a.id AS attempt_id, a.run_id, a.slot, a.job_id, (SELECT count(*) FROM doubted) AS doubted
FROM ours
JOIN outbound_call_runs r ON r.id = ours.run_id
JOIN outbound_call_attempts a ON a.business_id = r.business_id AND a.run_id = ours.run_id AND a.ended_at IS NULL;

-- name: beat
-- Prolong all our leases in one statement, and show that this daemon lives. See the function in migration 0016.
-- $1 worker uuid  $2 run ids  $3 their epochs  $4 is Redis away for it?
SELECT * FROM beat($1::uuid, $2::bigint[], $3::bigint[], $4::boolean);

-- name: hand_over_runs
-- Give leases back while draining: the runs wait for whoever claims them next.
-- $1 worker uuid
-- All that are locked by it, those of a claim whose answer never arrived included.
WITH mine AS MATERIALIZED (
    SELECT id FROM outbound_call_runs
    WHERE status = 'running' AND NOT cancel_requested AND locked_by_worker = $1::uuid
    ORDER BY id FOR UPDATE
)
UPDATE outbound_call_runs r SET status = 'pending' FROM mine WHERE r.id = mine.id
RETURNING r.id AS run_id, r.business_id;

-- name: pause_run_for_refusals
-- Stop dialing a run whose creates are refused for its configuration; a person resumes it.
-- $1 run id  $2 worker uuid  $3 epoch  $4 why
UPDATE outbound_call_runs SET status = 'paused', last_error = $4
WHERE id = $1 AND locked_by_worker = $2::uuid AND lease_epoch = $3 AND status = 'running'
RETURNING id AS run_id;

-- name: note_last_error
-- Show on every run that we hold why it does not dial; null once it does again.
-- $1 worker uuid  $2 run ids  $3 the error, or null
WITH mine AS MATERIALIZED (
    SELECT id FROM outbound_call_runs
    WHERE id = ANY ($2::bigint[]) AND locked_by_worker = $1::uuid AND last_error IS DISTINCT FROM $3::text
    ORDER BY id FOR NO KEY UPDATE
)
UPDATE outbound_call_runs r SET last_error = $3::text, updated_at = now() FROM mine WHERE r.id = mine.id
RETURNING r.id AS run_id;

-- name: run_states
-- What became of runs that we no longer hold.  $1 run ids
SELECT r.id AS run_id, r.business_id, r.status, r.ended_at, c.completed, c.failed, c.cancelled
FROM outbound_call_runs r JOIN outbound_call_run_counters c ON c.run_id = r.id
WHERE r.id = ANY ($1::bigint[]);

-- name: register_daemon
-- $1 worker uuid  $2 host  $3 pid
INSERT INTO dialer_daemons (id, host, pid) VALUES ($1::uuid, $2, $3);

-- name: end_daemon
-- $1 worker uuid
UPDATE dialer_daemons SET ended_at = now(), last_seen_at = now() WHERE id = $1::uuid AND ended_at IS NULL;

-- name: live_daemons
-- How many daemons share the account's pace while Redis is away.  $1 seconds within which one was seen
SELECT count(*) AS daemons FROM dialer_daemons
WHERE ended_at IS NULL AND last_seen_at > now() - make_interval(secs => $1::float8);

-- name: installation
-- The namespace of this installation's keys in Redis.
SELECT id FROM installation;
