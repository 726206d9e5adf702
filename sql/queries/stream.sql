-- What listeners to a stream of events are told. Each statement serves all businesses that are listened to.

-- name: stream_runs
-- The newest runs that go on, of each business.  $1 businesses  $2 how many of each at most
SELECT b.id AS business_id, r.id AS run_id
FROM unnest($1::bigint[]) AS b (id)
CROSS JOIN LATERAL (
    SELECT o.id FROM outbound_call_runs o
    WHERE o.business_id = b.id AND o.status IN ('pending', 'running', 'paused')
    ORDER BY o.id DESC LIMIT $2
) r;

-- name: stream_attempts
-- Calls that go on, and those that ended within the last seconds.  $1 businesses  $2 seconds
SELECT id AS attempt_id, job_id, run_id, business_id, state
FROM outbound_call_attempts WHERE business_id = ANY ($1::bigint[]) AND ended_at IS NULL
UNION ALL
SELECT id, job_id, run_id, business_id, state
FROM outbound_call_attempts
WHERE business_id = ANY ($1::bigint[]) AND ended_at > now() - make_interval(secs => $2::float8);

-- name: stream_jobs
-- $1 jobs
SELECT * FROM shown_jobs WHERE job_id = ANY ($1::bigint[]) ORDER BY job_id;

-- name: stream_slots
-- As `counts` says them.  $1 businesses
SELECT b.id AS business_id, b.max_concurrent_calls AS "limit",
       (SELECT count(*) FROM outbound_call_attempts a WHERE a.business_id = b.id AND a.ended_at IS NULL) AS active,
       (SELECT coalesce(sum(c.queued), 0)::bigint
        FROM outbound_call_runs r JOIN outbound_call_run_counters c ON c.run_id = r.id
        WHERE r.business_id = b.id AND r.status IN ('pending', 'running', 'paused') AND r.sweep_to IS NULL) AS waiting
FROM businesses b WHERE b.id = ANY ($1::bigint[]);

-- name: keys_in_force
-- Those of these keys that were not revoked.  $1 keys
SELECT id AS key_id FROM api_keys WHERE id = ANY ($1::bigint[]) AND revoked_at IS NULL;
