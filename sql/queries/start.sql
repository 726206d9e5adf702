-- Starting a run. All but recall_answer and analyze_jobs belong into one transaction with the COPY of the jobs.

-- name: recall_answer
-- What was answered to this key within its 24 hours.  $1 business  $2 key
SELECT request_hash, answer #>> '{}' AS answer FROM idempotency_keys
WHERE business_id = $1 AND key = $2 AND created_at > now() - interval '24 hours';

-- name: insert_run
-- The run with its settings, its counters (before the jobs: the trigger on them counts there) and the audit row.
-- No row: no such business.
-- $1 business  $2 concurrency or null: as many as the limit  $3 name  $4 from number  $5 twiml  $6 url  $7 record
-- $8 machine detection  $9 ring time-out, seconds  $10 call time limit, seconds  $11 who
WITH run AS (
    INSERT INTO outbound_call_runs (business_id, concurrency)
    SELECT b.id, least($2::integer, b.max_concurrent_calls) FROM businesses b WHERE b.id = $1
    RETURNING id, business_id
), settings AS (
    INSERT INTO outbound_call_run_settings (run_id, business_id, name, from_number, twiml, url, record,
                                            machine_detection, ring_timeout_seconds, call_time_limit_seconds)
    SELECT id, business_id, $3, $4, $5, $6, $7, $8, $9, $10 FROM run
), counters AS (
    INSERT INTO outbound_call_run_counters (run_id, business_id) SELECT id, business_id FROM run
), audited AS (
    INSERT INTO audit_log (business_id, actor, action, run_id) SELECT business_id, $11, 'start', id FROM run
)
SELECT id AS run_id FROM run;

-- name: keep_answer
-- The answer under its key, unless a younger one is there; waits for whoever is writing the same. It is kept as one
-- JSON string: as an object its members would come back in another order.
-- $1 business  $2 key  $3 hash of the request  $4 answer (JSON)
INSERT INTO idempotency_keys AS k (business_id, key, request_hash, answer) VALUES ($1, $2, $3, to_jsonb($4::text))
ON CONFLICT (business_id, key) DO UPDATE
SET request_hash = excluded.request_hash, answer = excluded.answer, created_at = now()
WHERE k.created_at <= now() - interval '24 hours'
RETURNING k.business_id;

-- name: amend_answer
-- Where the answer is known only at the end.  $1 business  $2 key  $3 answer (JSON)
UPDATE idempotency_keys SET answer = to_jsonb($3::text) WHERE business_id = $1 AND key = $2;

-- name: analyze_jobs
-- After a large import the claim must not be planned by the figures from before.
ANALYZE outbound_call_jobs;
