-- The beat of all leases of a daemon, in one statement: called by query `beat`.
--
-- A daemon begins to beat before it holds anything, so the plan of its statement is made while the table is empty, and
-- would stay: going through the table, comparing each run with each of the array (half a second, at 10,000). So it goes
-- along the indexes, whatever the table's size, and what is in IS TRUE stays a look-up in a hash table; a join with the
-- arrays would be planned as if they had ten elements.
--
-- A row that somebody has locked is skipped: unbeaten this second, not lost. Lost is only another epoch or another
-- status. Locked in the order of their ids; what is locked is beaten, as nobody can come between.
-- Returns a row for each run that was not beaten: skipped | lost. Of ten thousand that is none.
CREATE FUNCTION beat(p_worker uuid, p_runs bigint[], p_epochs bigint[], p_redis_degraded boolean)
RETURNS TABLE (run_id bigint, lease_epoch bigint, verdict text) LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH held AS (
        SELECT * FROM unnest(p_runs, p_epochs) AS u (run_id, lease_epoch)
    ), seen AS (
        UPDATE dialer_daemons SET last_seen_at = now(), redis_degraded = p_redis_degraded WHERE id = p_worker
    ), mine AS MATERIALIZED (
        SELECT r.id FROM outbound_call_runs r
        WHERE r.id = ANY (p_runs) AND r.status = 'running' AND r.locked_by_worker = p_worker
          AND ((r.id, r.lease_epoch) IN (SELECT * FROM unnest(p_runs, p_epochs))) IS TRUE
        ORDER BY r.id
        FOR NO KEY UPDATE SKIP LOCKED
    ), beaten AS (
        UPDATE outbound_call_runs r SET last_heartbeat_at = now() WHERE r.id = ANY (ARRAY(SELECT id FROM mine))
    )
    SELECT h.run_id, h.lease_epoch,
           CASE WHEN coalesce(r.lease_epoch = h.lease_epoch AND r.locked_by_worker = p_worker, false)
                THEN 'skipped' ELSE 'lost' END AS verdict
    FROM held h LEFT JOIN outbound_call_runs r ON r.id = h.run_id
    WHERE h.run_id NOT IN (SELECT m.id FROM mine m);
END $$;
