-- Pruning, a batch at a time. Rows that another control is pruning are passed over. The oldest rows have the lowest
-- ids: a batch that is not full, or reaches younger rows, was the last.

-- name: prune_events
-- Old ones of attempts that have ended as long ago; what is kept because its attempt has not is passed over, hence
-- the cursor.  $1 after this id  $2 older than, days  $3 how many to look at
WITH due_before AS (
    SELECT now() - make_interval(secs => $2::float8 * 86400) AS moment
), oldest AS MATERIALIZED (
    SELECT id, attempt_id, received_at FROM outbound_call_events WHERE id > $1 ORDER BY id LIMIT $3
), due AS MATERIALIZED (
    SELECT e.id FROM outbound_call_events e
    WHERE e.id IN (SELECT o.id FROM oldest o
                   JOIN outbound_call_attempts a ON a.id = o.attempt_id
                   CROSS JOIN due_before d
                   WHERE o.received_at < d.moment AND a.ended_at < d.moment)
    ORDER BY e.id FOR UPDATE SKIP LOCKED
), pruned AS (
    DELETE FROM outbound_call_events e USING due WHERE e.id = due.id RETURNING 1
)
SELECT (SELECT count(*) FROM pruned) AS pruned,
       max(o.id) AS last_id,
       count(*) = $3 AND coalesce(bool_and(o.received_at < d.moment), false) AS may_be_more
FROM oldest o CROSS JOIN due_before d;

-- name: prune_orphans
-- $1 older than, days  $2 how many
WITH due AS MATERIALIZED (
    SELECT o.id FROM orphan_callbacks o
    WHERE o.id IN (SELECT id FROM orphan_callbacks ORDER BY id LIMIT $2)
      AND o.received_at < now() - make_interval(secs => $1::float8 * 86400)
    ORDER BY o.id FOR UPDATE SKIP LOCKED
), pruned AS (
    DELETE FROM orphan_callbacks o USING due WHERE o.id = due.id RETURNING 1
)
SELECT count(*) AS pruned FROM pruned;

-- name: prune_audit_log
-- $1 older than, days  $2 how many
WITH due AS MATERIALIZED (
    SELECT l.id FROM audit_log l
    WHERE l.id IN (SELECT id FROM audit_log ORDER BY id LIMIT $2)
      AND l.at < now() - make_interval(secs => $1::float8 * 86400)
    ORDER BY l.id FOR UPDATE SKIP LOCKED
), pruned AS (
    DELETE FROM audit_log l USING due WHERE l.id = due.id RETURNING 1
)
SELECT count(*) AS pruned FROM pruned;

-- name: prune_idempotency_keys
-- Exactly those that recall_answer does not find any more. Whoever uses such a key anew just now locks its row first,
-- and it is passed over, or finds it gone and writes it.  $1 older than, days  $2 how many
WITH due AS MATERIALIZED (
    SELECT k.business_id, k.key FROM idempotency_keys k
    WHERE k.created_at <= now() - make_interval(secs => $1::float8 * 86400)
    ORDER BY k.created_at LIMIT $2 FOR UPDATE SKIP LOCKED
), pruned AS (
    DELETE FROM idempotency_keys k USING due WHERE k.business_id = due.business_id AND k.key = due.key RETURNING 1
)
SELECT count(*) AS pruned FROM pruned;

-- name: prune_daemons
-- Those that ended, or were killed, so long ago; never one that holds a run.  $1 older than, days  $2 how many
WITH due AS MATERIALIZED (
    SELECT d.id FROM dialer_daemons d
    WHERE coalesce(d.ended_at, d.last_seen_at) < now() - make_interval(secs => $1::float8 * 86400)
      AND NOT EXISTS (SELECT FROM outbound_call_runs r WHERE r.status = 'running' AND r.locked_by_worker = d.id)
    ORDER BY d.id LIMIT $2 FOR UPDATE OF d SKIP LOCKED
), pruned AS (
    DELETE FROM dialer_daemons d USING due WHERE d.id = due.id RETURNING 1
)
SELECT count(*) AS pruned FROM pruned;
