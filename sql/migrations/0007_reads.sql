-- What readers need: runs and jobs as they are shown, written once, and the indexes that keep every page of a list
-- as quick with a million rows as with ten.

-- A run as it is shown: jobs still queued that nobody will dial stand where they are going.
CREATE VIEW shown_runs AS
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
CROSS JOIN LATERAL (SELECT CASE WHEN r.sweep_to IS NULL THEN 0 ELSE c.queued END AS jobs) swept;

-- A job as it is shown. Its error_message says why this person was not, or is not yet, called: in the job's own
-- words, or those of the attempt that came back; else in those of its run: by whom it was ended first, and why (no
-- audit row: by an operator's hand), or what it waits for.
CREATE VIEW shown_jobs AS
SELECT j.id AS job_id, j.run_id, j.business_id, j.position, j.lead_id, j.phone, j.name,
       j.variables::text AS variables,
       CASE WHEN it.is_swept THEN r.sweep_to ELSE j.status END AS status,
       CASE WHEN it.is_swept THEN 'not_dialed' ELSE j.disposition END AS disposition,
       j.twilio_call_sid AS call_sid,
       CASE WHEN it.came_back
            THEN (SELECT a.error_code FROM outbound_call_attempts a WHERE a.id = j.dial_lock_token)
            ELSE j.error_code END AS error_code,
       coalesce(
           CASE WHEN it.came_back
                THEN (SELECT a.error_message FROM outbound_call_attempts a WHERE a.id = j.dial_lock_token)
                ELSE j.error_message END,
           CASE WHEN it.is_given_up THEN
                    coalesce((SELECT format('the run was %s by %s',
                                            CASE l.action WHEN 'cancel' THEN 'cancelled'
                                                          WHEN 'force_cancel' THEN 'force-cancelled'
                                                          WHEN 'stop' THEN 'stopped'
                                                          ELSE 'stopped as stale' END, l.actor)
                                     || coalesce(': ' || l.reason, '')
                              FROM audit_log l
                              WHERE l.run_id = j.run_id
                                AND l.action IN ('cancel', 'force_cancel', 'stop', 'stale', 'startup_cleanup')
                              ORDER BY l.id LIMIT 1),
                             'the run was ended: ' || coalesce(r.last_error, r.status))
                WHEN j.status = 'queued' AND r.last_error IS NOT NULL THEN 'waits: ' || r.last_error
                WHEN j.status = 'queued' AND r.status = 'paused' THEN 'waits: the run is paused' END
       ) AS error_message,
       j.attempts_made, j.created_at, j.dial_started_at AS dialed_at, j.answered_at,
       CASE WHEN it.is_swept THEN coalesce(r.ended_at, r.updated_at) ELSE j.ended_at END AS ended_at,
       j.duration_seconds
FROM outbound_call_jobs j
JOIN outbound_call_runs r ON r.id = j.run_id
CROSS JOIN LATERAL (
    SELECT j.status = 'queued' AND r.sweep_to IS NOT NULL AS is_swept,
           j.status = 'queued' AND r.sweep_to IS NULL AND j.dial_lock_token IS NOT NULL AS came_back,
           (j.status = 'queued' AND r.sweep_to IS NOT NULL)
           OR (j.disposition = 'not_dialed' AND j.error_code IS NULL) AS is_given_up
) it;
CREATE INDEX audit_log_of_run ON audit_log (run_id, id)
    WHERE action IN ('cancel', 'force_cancel', 'stop', 'stale', 'startup_cleanup');

-- Jobs of one status, in the order of the list.
--   queued            outbound_call_jobs_claim has them
--   dialing, calling  no more than there are live attempts, and those have an index
--   ended             this one. A job enters it once, when it ends, in an update that changes an index anyway
--                     (status is part of the claim's); imports and the steps of a call do not touch it, sweeping a
--                     long list costs some 5 % more. With dialing and calling in it, every call would leave two
--                     dead entries at one place, which whoever asks for "dialing" would have to step over until the
--                     next vacuum.
CREATE INDEX outbound_call_jobs_ended ON outbound_call_jobs (run_id, status, position)
    WHERE status IN ('completed', 'failed', 'cancelled');

-- The claim's index keeps an entry of every job that has left the queue until the next vacuum, and the first page of
-- status=queued steps over them. By default a list of a million would have 200,000 of them first.
ALTER TABLE outbound_call_jobs SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000);

-- Runs of one status, a business's or all, newest first; the open ones also for `active` and the counts. Runs are
-- few, and their status changes a handful of times; a beat touches no indexed column and stays HOT.
CREATE INDEX outbound_call_runs_of_status ON outbound_call_runs (status, id);
CREATE INDEX outbound_call_runs_of_business_status ON outbound_call_runs (business_id, status, id);

-- Pruning. Events, orphans and the audit log are pruned from their lowest id on, which is their oldest: the primary
-- key is all it takes. The keys' own primary key says nothing of age.
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);
