-- Look-ups at the carrier: for calls that are silent, and for attempts of which nobody knows.

-- name: take_silent_attempts
-- Calls without news for long: the next look is put off at growing distance in the same statement, so that of
-- many daemons one looks. A hang-up brings the first look forward; asked for again and again (each time is noted)
-- it never puts the look off.
-- $1 silent after, seconds  $2 how many  $3 list lag, seconds  $4 longest distance between looks, seconds
WITH due AS MATERIALIZED (
    SELECT id FROM outbound_call_attempts
    WHERE ended_at IS NULL AND state IN ('requested', 'live')
      AND coalesce(next_look_at, least(hangup_requested_at + interval '5 seconds',
                                       last_news_at + make_interval(secs => $1::float8))) <= now()
    ORDER BY id LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE outbound_call_attempts a
SET looks = a.looks + 1,
    next_look_at = now() + make_interval(secs => least($1::float8 * power(2, least(a.looks, 10)), $4::float8))
FROM due WHERE a.id = due.id
RETURNING a.id AS attempt_id, a.call_sid, a.account_sid, a.business_id, a.run_id, a.job_id, a.slot,
    a.last_news_at, a.hangup_requested_at IS NOT NULL AS hangup_requested,
    now() > a.created_at + make_interval(
        secs => a.ring_timeout_seconds + a.call_time_limit_seconds + $3::float8) AS overdue;

-- name: take_unknown_attempts
-- Attempts whose create has no known outcome. An intent that is this old becomes unknown here; should its request
-- still be on the wire, its answer is taken all the same.
-- $1 unknown after, seconds  $2 how many  $3 list lag, seconds  $4 longest distance between looks, seconds
-- covered: a look-up that succeeds now has covered all the time in which the call could have appeared.
-- overdue: even a call that was placed must have ended by now.
-- rivals: other attempts without SID to the same number from the same caller ID of this account.
WITH due AS MATERIALIZED (
    SELECT id FROM outbound_call_attempts
    WHERE ended_at IS NULL AND state IN ('intent', 'unknown')
      AND coalesce(next_look_at, created_at + make_interval(secs => $1::float8)) <= now()
    ORDER BY id LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE outbound_call_attempts a
SET state = 'unknown', looks = a.looks + 1,
    next_look_at = now() + make_interval(secs => least($1::float8 * power(2, least(a.looks, 10)), $4::float8))
FROM due WHERE a.id = due.id
RETURNING a.id AS attempt_id, a.business_id, a.run_id, a.job_id, a.slot, a.account_sid, a.from_number,
    a.to_number, a.created_at, a.last_news_at, a.candidate_seen,
    now() > a.created_at + make_interval(secs => a.ring_timeout_seconds + $3::float8) AS covered,
    now() > a.created_at + make_interval(
        secs => a.ring_timeout_seconds + a.call_time_limit_seconds + $3::float8) AS overdue,
    (SELECT count(*) FROM outbound_call_attempts x
     WHERE x.ended_at IS NULL AND x.id <> a.id AND x.state IN ('intent', 'unknown')
       AND x.account_sid = a.account_sid AND x.from_number = a.from_number AND x.to_number = a.to_number) AS rivals;

-- name: owned_sids
-- Which of these calls are some attempt's already?  $1 SIDs
SELECT call_sid FROM outbound_call_attempts WHERE call_sid = ANY ($1::text[])
UNION
SELECT late_call_sid FROM outbound_call_attempts WHERE late_call_sid = ANY ($1::text[]);

-- name: note_candidate
-- A look-up showed a call that may be this attempt's, but not surely: absence can no longer end it early.
-- $1 attempt
UPDATE outbound_call_attempts SET candidate_seen = true WHERE id = $1::uuid AND ended_at IS NULL
RETURNING id AS attempt_id;

-- name: sweep_run
-- Jobs that will never be dialed go where their run's sweep_to says, a batch at a time; then the run is marked.
-- Readers have counted them there since the stop.  $1 run  $2 how many
WITH batch AS MATERIALIZED (
    SELECT j.id, r.sweep_to FROM outbound_call_jobs j
    JOIN outbound_call_runs r ON r.id = j.run_id
    WHERE j.run_id = $1 AND j.status = 'queued' AND r.sweep_to IS NOT NULL
    ORDER BY j.position LIMIT $2 FOR UPDATE OF j SKIP LOCKED
)
UPDATE outbound_call_jobs j SET status = batch.sweep_to, disposition = 'not_dialed', ended_at = now()
FROM batch WHERE j.id = batch.id RETURNING j.id AS job_id;

-- name: runs_to_sweep
-- Not those that only wait for their live calls: enough of them would hide all others.
-- $1 how many
SELECT r.id AS run_id, c.queued, c.in_progress FROM outbound_call_runs r
JOIN outbound_call_run_counters c ON c.run_id = r.id
WHERE r.sweep_to IS NOT NULL AND r.swept_at IS NULL AND (c.queued > 0 OR c.in_progress = 0)
ORDER BY r.id LIMIT $1;

-- name: mark_swept
-- Nothing is queued, and nothing can come back.  $1 run
UPDATE outbound_call_runs r SET swept_at = now()
FROM outbound_call_run_counters c
WHERE r.id = $1 AND c.run_id = r.id AND c.queued = 0 AND c.in_progress = 0 AND r.swept_at IS NULL
RETURNING r.id AS run_id;
