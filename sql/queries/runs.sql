-- Reading runs, jobs and attempts. Jobs still queued of a run with sweep_to are shown where they are going.

-- name: show_runs
-- Newest first. The locked_by_worker of a run is the id of a daemon.  $1 run ids
SELECT r.id AS run_id, r.business_id, s.name, r.status, r.concurrency, r.cancel_requested, r.last_error,
       r.locked_by_worker, r.last_heartbeat_at, r.created_at, r.started_at, r.ended_at, r.updated_at,
       c.queued - swept.jobs AS queued, c.in_progress, c.completed,
       c.failed + CASE WHEN r.sweep_to = 'failed' THEN swept.jobs ELSE 0 END AS failed,
       c.cancelled + CASE WHEN r.sweep_to = 'cancelled' THEN swept.jobs ELSE 0 END AS cancelled,
       c.answered, c.machine, c.busy, c.no_answer, c.call_failed, c.canceled, c.invalid_number,
       c.not_dialed + swept.jobs AS not_dialed, c.unknown
FROM outbound_call_runs r
JOIN outbound_call_run_settings s ON s.run_id = r.id
JOIN outbound_call_run_counters c ON c.run_id = r.id
CROSS JOIN LATERAL (SELECT CASE WHEN r.sweep_to IS NULL THEN 0 ELSE c.queued END AS jobs) swept
WHERE r.id = ANY ($1::bigint[])
ORDER BY r.id DESC;

-- name: page_of_runs
-- Every business's, newest first.  $1 before this id, or null  $2 status, or null  $3 how many
SELECT r.id AS run_id FROM outbound_call_runs r
WHERE ($1::bigint IS NULL OR r.id < $1) AND ($2::text IS NULL OR r.status = $2)
ORDER BY r.id DESC LIMIT $3;

-- name: page_of_runs_of_business
-- $1 before this id, or null  $2 status, or null  $3 how many  $4 business
SELECT r.id AS run_id FROM outbound_call_runs r
WHERE r.business_id = $4 AND ($1::bigint IS NULL OR r.id < $1) AND ($2::text IS NULL OR r.status = $2)
ORDER BY r.id DESC LIMIT $3;

-- name: active_run
-- The newest run that is going on. One whose heartbeat is too old is not, though no reaper has been there yet.
-- $1 business, or null: any  $2 stale after, seconds
SELECT r.id AS run_id FROM outbound_call_runs r
WHERE ($1::bigint IS NULL OR r.business_id = $1) AND r.status IN ('running', 'pending', 'paused')
  AND (r.status <> 'running' OR r.last_heartbeat_at IS NULL
       OR r.last_heartbeat_at >= now() - make_interval(secs => $2::float8))
ORDER BY r.id DESC LIMIT 1;

-- name: owner_of_run
-- $1 run
SELECT business_id FROM outbound_call_runs WHERE id = $1;

-- name: page_of_jobs
-- In the order of the list.  $1 run  $2 after this position, or null  $3 status (as shown), or null  $4 how many
SELECT j.id AS job_id, j.run_id, j.business_id, j.position, j.lead_id, j.phone, j.name, j.variables::text AS variables,
       CASE WHEN swept.it THEN r.sweep_to ELSE j.status END AS status,
       CASE WHEN swept.it THEN 'not_dialed' ELSE j.disposition END AS disposition,
       j.twilio_call_sid AS call_sid, j.error_code, j.error_message, j.attempts_made, j.created_at,
       j.dial_started_at AS dialed_at, j.answered_at,
       CASE WHEN swept.it THEN coalesce(r.ended_at, r.updated_at) ELSE j.ended_at END AS ended_at,
       j.duration_seconds
FROM outbound_call_jobs j
JOIN outbound_call_runs r ON r.id = j.run_id
CROSS JOIN LATERAL (SELECT j.status = 'queued' AND r.sweep_to IS NOT NULL AS it) swept
WHERE j.run_id = $1 AND j.position > coalesce($2::bigint, -1)
  AND ($3::text IS NULL OR CASE WHEN swept.it THEN r.sweep_to ELSE j.status END = $3)
ORDER BY j.position LIMIT $4;

-- name: show_job
-- $1 job
SELECT j.id AS job_id, j.run_id, j.business_id, j.position, j.lead_id, j.phone, j.name, j.variables::text AS variables,
       CASE WHEN swept.it THEN r.sweep_to ELSE j.status END AS status,
       CASE WHEN swept.it THEN 'not_dialed' ELSE j.disposition END AS disposition,
       j.twilio_call_sid AS call_sid, j.error_code, j.error_message, j.attempts_made, j.created_at,
       j.dial_started_at AS dialed_at, j.answered_at,
       CASE WHEN swept.it THEN coalesce(r.ended_at, r.updated_at) ELSE j.ended_at END AS ended_at,
       j.duration_seconds
FROM outbound_call_jobs j
JOIN outbound_call_runs r ON r.id = j.run_id
CROSS JOIN LATERAL (SELECT j.status = 'queued' AND r.sweep_to IS NOT NULL AS it) swept
WHERE j.id = $1;

-- name: attempts_of_job
-- $1 job
SELECT id AS attempt_id, state, disposition, call_sid, slot, created_at, requested_at, answered_at, ended_at
FROM outbound_call_attempts WHERE job_id = $1 ORDER BY created_at, id;

-- name: events_of_job
-- In the carrier's order where it told one.  $1 job
SELECT e.attempt_id, e.sequence, e.status, e.at, e.received_at
FROM outbound_call_events e JOIN outbound_call_attempts a ON a.id = e.attempt_id
WHERE a.job_id = $1 ORDER BY e.attempt_id, e.sequence NULLS FIRST, e.id;
