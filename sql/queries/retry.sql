-- A new run with jobs of one that has ended. Both belong into one transaction.

-- name: insert_retry
-- The run, as the old one was set up, with its counters (before the jobs: the trigger on them counts there).
-- No row: the old run has not ended.  $1 old run  $2 who  $3 dispositions  $4 why
WITH old AS (
    SELECT r.business_id, least(r.concurrency, b.max_concurrent_calls) AS concurrency
    FROM outbound_call_runs r JOIN businesses b ON b.id = r.business_id
    WHERE r.id = $1 AND r.status IN ('completed', 'stopped', 'cancelled', 'failed')
), run AS (
    INSERT INTO outbound_call_runs (business_id, concurrency) SELECT business_id, concurrency FROM old
    RETURNING id, business_id
), settings AS (
    INSERT INTO outbound_call_run_settings (run_id, business_id, name, from_number, twiml, url, record,
                                            machine_detection, ring_timeout_seconds, call_time_limit_seconds)
    SELECT run.id, s.business_id, s.name, s.from_number, s.twiml, s.url, s.record,
           s.machine_detection, s.ring_timeout_seconds, s.call_time_limit_seconds
    FROM run, outbound_call_run_settings s WHERE s.run_id = $1
), counters AS (
    INSERT INTO outbound_call_run_counters (run_id, business_id) SELECT id, business_id FROM run
), audited AS (
    INSERT INTO audit_log (business_id, actor, action, run_id, reason, details)
    SELECT business_id, $2, 'retry', $1, $4, jsonb_build_object('new_run_id', id, 'only', to_jsonb($3::text[]))
    FROM run
    UNION ALL
    SELECT business_id, $2, 'start', id, $4, jsonb_build_object('retry_of', $1::bigint) FROM run
)
SELECT id AS run_id FROM run;

-- name: copy_jobs
-- Those that ended in one of these ways, in their order. What the sweep has not reached yet counts as it is shown.
-- $1 old run  $2 new run  $3 dispositions
WITH copied AS (
    INSERT INTO outbound_call_jobs (run_id, business_id, position, phone, lead_id, name, variables)
    SELECT $2, j.business_id, row_number() OVER (ORDER BY j.position), j.phone, j.lead_id, j.name, j.variables
    FROM outbound_call_jobs j JOIN outbound_call_runs r ON r.id = j.run_id
    WHERE j.run_id = $1
      AND CASE WHEN j.status = 'queued' AND r.sweep_to IS NOT NULL THEN 'not_dialed' ELSE j.disposition END
          = ANY ($3::text[])
    ORDER BY j.position
    RETURNING 1
)
SELECT count(*) AS jobs FROM copied;
