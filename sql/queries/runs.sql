-- Reading runs and jobs. What shown_runs and shown_jobs are: migration 0007.

-- name: show_runs
-- Newest first. The locked_by_worker of a run is the id of a daemon.  $1 run ids
SELECT * FROM shown_runs WHERE run_id = ANY ($1::bigint[]) ORDER BY run_id DESC;

-- name: show_run
-- $1 run
SELECT * FROM shown_runs WHERE run_id = $1;

-- name: page_of_runs
-- Every business's, newest first.  $1 before this id, or null  $2 how many
SELECT * FROM shown_runs WHERE run_id < coalesce($1, 9223372036854775807) ORDER BY run_id DESC LIMIT $2;

-- name: page_of_runs_with_status
-- BETWEEN, and in the order of the status too: only an index by status gives that order. With "=" the planner would,
-- where it takes the status for a common one, walk runs of every status in the hope of early hits.
-- $1 before this id, or null  $2 how many  $3 status
SELECT * FROM shown_runs WHERE status BETWEEN $3 AND $3 AND run_id < coalesce($1, 9223372036854775807)
ORDER BY status DESC, run_id DESC LIMIT $2;

-- name: page_of_runs_of_business
-- $1 before this id, or null  $2 how many  $3 business
SELECT * FROM shown_runs WHERE business_id = $3 AND run_id < coalesce($1, 9223372036854775807)
ORDER BY run_id DESC LIMIT $2;

-- name: page_of_runs_of_business_with_status
-- $1 before this id, or null  $2 how many  $3 business  $4 status
SELECT * FROM shown_runs
WHERE business_id = $3 AND status BETWEEN $4 AND $4 AND run_id < coalesce($1, 9223372036854775807)
ORDER BY status DESC, run_id DESC LIMIT $2;

-- name: active_run
-- The newest run that is going on. One whose heartbeat is too old is not, though no reaper has been there yet.
-- MATERIALIZED: in the hope of an early hit the planner would walk all runs backwards, and with no run open find
-- none.  $1 stale after, seconds
WITH open AS MATERIALIZED (
    SELECT id FROM outbound_call_runs
    WHERE status IN ('running', 'pending', 'paused')
      AND (status <> 'running' OR last_heartbeat_at IS NULL
           OR last_heartbeat_at >= now() - make_interval(secs => $1::float8))
)
SELECT * FROM shown_runs WHERE run_id = (SELECT max(id) FROM open);

-- name: active_run_of_business
-- $1 stale after, seconds  $2 business
WITH open AS MATERIALIZED (
    SELECT id FROM outbound_call_runs
    WHERE business_id = $2 AND status IN ('running', 'pending', 'paused')
      AND (status <> 'running' OR last_heartbeat_at IS NULL
           OR last_heartbeat_at >= now() - make_interval(secs => $1::float8))
)
SELECT * FROM shown_runs WHERE run_id = (SELECT max(id) FROM open);

-- name: owner_of_run
-- $1 run
SELECT business_id FROM outbound_call_runs WHERE id = $1;

-- name: page_of_jobs
-- In the order of the list.  $1 run  $2 after this position, or null  $3 how many
SELECT * FROM shown_jobs WHERE run_id = $1 AND position > coalesce($2::bigint, -1) ORDER BY position LIMIT $3;

-- name: page_of_jobs_with_status
-- As shown. Each part has an index that begins where the page does, and is not looked into where it cannot match.
-- BETWEEN: as in page_of_runs_with_status.
-- $1 run  $2 after this position, or null  $3 how many  $4 status
WITH picked AS (
    (SELECT id, position FROM outbound_call_jobs
     WHERE run_id = $1 AND status BETWEEN $4 AND $4 AND status IN ('completed', 'failed', 'cancelled')
       AND position > coalesce($2::bigint, -1)
     ORDER BY status, position LIMIT $3)
    UNION ALL
    (SELECT id, position FROM outbound_call_jobs
     WHERE run_id = $1 AND status = 'queued' AND position > coalesce($2::bigint, -1)
       AND (SELECT coalesce(sweep_to, 'queued') FROM outbound_call_runs WHERE id = $1) = $4
     ORDER BY position LIMIT $3)
    UNION ALL
    SELECT j.id, j.position FROM outbound_call_runs r
    JOIN outbound_call_attempts a ON a.business_id = r.business_id AND a.run_id = r.id AND a.ended_at IS NULL
    JOIN outbound_call_jobs j ON j.id = a.job_id
    WHERE r.id = $1 AND $4 IN ('dialing', 'calling') AND j.status = $4 AND j.position > coalesce($2::bigint, -1)
), page AS (
    SELECT id FROM picked ORDER BY position LIMIT $3
)
SELECT * FROM shown_jobs WHERE job_id IN (SELECT id FROM page) ORDER BY position;

-- name: show_job
-- A row for each event of each attempt, and one at least: job, attempts and events as of one moment. Events in the
-- carrier's order; one that it gave no number stands after the highest number that was there before it.  $1 job
SELECT j.*, a.id AS attempt_id, a.state AS attempt_state, a.disposition AS attempt_disposition,
       a.call_sid AS attempt_call_sid, a.slot AS attempt_slot, a.created_at AS attempt_created_at,
       a.requested_at AS attempt_requested_at, a.answered_at AS attempt_answered_at, a.ended_at AS attempt_ended_at,
       e.id AS event_id, e.sequence, e.status AS event_status, e.at, e.received_at
FROM shown_jobs j
LEFT JOIN outbound_call_attempts a ON a.job_id = j.job_id
LEFT JOIN outbound_call_events e ON e.attempt_id = a.id
WHERE j.job_id = $1
ORDER BY a.created_at, a.id,
         coalesce(e.sequence, max(e.sequence) OVER (PARTITION BY a.id ORDER BY e.id), -1),
         e.sequence IS NULL, e.id;
