-- A run's report. Its rows are those of page_of_jobs.

-- name: run_of_report
-- Whose it is, and the time zone of its times.  $1 run
SELECT r.id AS run_id, r.business_id, b.timezone
FROM outbound_call_runs r JOIN businesses b ON b.id = r.business_id
WHERE r.id = $1;
