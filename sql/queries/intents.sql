-- Intents and what is read around them.

-- name: write_intents
-- See the function in migration 0004.
-- $1 run  $2 worker uuid  $3 epoch  $4 after position  $5 attempt ids  $6 slots  $7 account
SELECT * FROM write_intents($1, $2::uuid, $3, $4, $5::uuid[], $6::integer[], $7);

-- name: attempts_written
-- After a lost connection: which of these intents were committed?  $1 attempt ids
SELECT id AS attempt_id, state FROM outbound_call_attempts WHERE id = ANY ($1::uuid[]);

-- name: free_slots
-- Slots by Postgres alone, while Redis is away: slower, and as safe (the intent referees).
-- $1 business  $2 how many
SELECT s.slot
FROM businesses b, generate_series(1, b.max_concurrent_calls) AS s (slot)
WHERE b.id = $1 AND NOT EXISTS (SELECT FROM outbound_call_attempts a
                                WHERE a.business_id = $1 AND a.slot = s.slot AND a.ended_at IS NULL)
ORDER BY s.slot LIMIT $2;

-- name: next_jobs
-- A look at the line: the jobs that wait next (for the log).  $1 run  $2 after position  $3 how many
SELECT id AS job_id, position, lead_id FROM outbound_call_jobs
WHERE run_id = $1 AND status = 'queued' AND position > $2 ORDER BY position LIMIT $3;

-- name: live_attempts
-- Every attempt of these businesses that may have a call, and the limits: what Redis ought to show.
-- $1 business ids
SELECT b.id AS business_id, b.max_concurrent_calls AS business_limit, a.id AS attempt_id, a.slot, a.run_id,
       a.job_id
FROM businesses b
LEFT JOIN outbound_call_attempts a ON a.business_id = b.id AND a.ended_at IS NULL
WHERE b.id = ANY ($1::bigint[]);

-- name: queued_left
-- Jobs still to be dialed of runs that we hold, and when the first of those that must wait is due.  $1 run ids
SELECT c.run_id, c.queued, r.concurrency
FROM outbound_call_run_counters c JOIN outbound_call_runs r ON r.id = c.run_id
WHERE c.run_id = ANY ($1::bigint[]);
