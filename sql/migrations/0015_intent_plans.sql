-- write_intents (0004) is planned once in each connection's life, mostly while the tables are empty still: a daemon
-- starts before the first list comes. Until the server analyzed them the plans of then stood, by which every intent
-- went through all that was queued, of everybody. Now they go along the indexes, whatever the tables' sizes.
--
-- Nothing else is different. BETWEEN: with "=" the index of all that is queued answers too, and of empty tables no
-- planner can tell which of the two is the better.
CREATE OR REPLACE FUNCTION write_intents(
    p_run bigint, p_worker uuid, p_epoch bigint, p_after integer,
    p_attempts uuid[], p_slots integer[], p_account text
) RETURNS TABLE (
    verdict text, attempt_id uuid, slot integer, job_id bigint, "position" integer, phone text, lead_id text,
    business_limit integer, queued_left integer
) LANGUAGE plpgsql
SET lock_timeout = '2s' SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off
SET enable_mergejoin = off SET enable_bitmapscan = off AS $$
#variable_conflict use_column
DECLARE
    v_run    outbound_call_runs;
    v_limit  integer;
    v_queued integer;
    v_busy   integer;
    v_room   integer;
    v_cause  text := 'at_concurrency';
BEGIN
    SELECT c.queued, c.in_progress INTO v_queued, v_busy
    FROM outbound_call_run_counters c WHERE c.run_id = p_run FOR NO KEY UPDATE;
    SELECT * INTO v_run FROM outbound_call_runs r
    WHERE r.id = p_run AND r.lease_epoch = p_epoch AND r.locked_by_worker = p_worker
      AND r.status = 'running' AND NOT r.cancel_requested
    FOR KEY SHARE;
    IF NOT FOUND THEN
        RETURN QUERY SELECT 'lost', a.id, a.slot, NULL::bigint, NULL::integer, NULL, NULL, NULL::integer, NULL::integer
                     FROM unnest(p_attempts, p_slots) AS a (id, slot);
        RETURN;
    END IF;
    SELECT b.max_concurrent_calls INTO v_limit FROM businesses b WHERE b.id = v_run.business_id FOR SHARE;
    v_room := v_run.concurrency - v_busy;

    -- After the limit was lowered, distinct slots within it do not suffice while one above it is still live:
    -- then, and only then, the live calls are counted, by one intent of the business at a time.
    IF EXISTS (SELECT FROM outbound_call_attempts x
               WHERE x.business_id = v_run.business_id AND x.ended_at IS NULL AND x.slot > v_limit) THEN
        PERFORM pg_advisory_xact_lock(hashtextextended('dialer:over_limit', v_run.business_id));
        SELECT least(v_room, v_limit - count(*)) INTO v_room FROM outbound_call_attempts x
        WHERE x.business_id = v_run.business_id AND x.ended_at IS NULL;
        v_cause := 'over_limit';
    END IF;

    RETURN QUERY
    WITH asked AS (
        SELECT a.id, a.slot,
               EXISTS (SELECT FROM outbound_call_attempts x
                       WHERE x.business_id = v_run.business_id AND x.slot = a.slot AND x.ended_at IS NULL) AS taken
        FROM unnest(p_attempts, p_slots) AS a (id, slot)
    ), usable AS (
        SELECT a.id, a.slot, row_number() OVER (ORDER BY a.slot) AS n
        FROM asked a WHERE NOT a.taken AND a.slot BETWEEN 1 AND v_limit
        ORDER BY a.slot LIMIT greatest(v_room, 0)
    ), claimed AS MATERIALIZED (
        SELECT j.id, j.position FROM outbound_call_jobs j
        WHERE j.run_id = p_run AND j.status = 'queued' AND j.position > p_after
          AND (j.not_before IS NULL OR j.not_before <= now())
        ORDER BY j.position
        LIMIT (SELECT count(*) FROM usable)
        FOR UPDATE SKIP LOCKED
    ), paired AS (
        SELECT u.id, u.slot, c.id AS job_id
        FROM usable u JOIN (SELECT id, row_number() OVER (ORDER BY position) AS n FROM claimed) c USING (n)
    ), written AS (
        INSERT INTO outbound_call_attempts (id, job_id, run_id, business_id, lease_epoch, slot, account_sid,
                                            from_number, to_number, ring_timeout_seconds, call_time_limit_seconds)
        SELECT p.id, p.job_id, p_run, v_run.business_id, p_epoch, p.slot, p_account,
               s.from_number, j.phone, s.ring_timeout_seconds, s.call_time_limit_seconds
        FROM paired p
        JOIN outbound_call_jobs j ON j.id = p.job_id
        JOIN outbound_call_run_settings s ON s.run_id = p_run
        ORDER BY p.slot  -- two intents that want the same slots wait for each other in one direction only
        ON CONFLICT DO NOTHING
        RETURNING id, job_id
    ), dialed AS (
        UPDATE outbound_call_jobs j
        SET status = 'dialing', dial_lock_token = w.id, dial_started_at = now(),
            attempts_made = j.attempts_made + 1, not_before = NULL
        FROM written w WHERE j.id = w.job_id AND j.status BETWEEN 'queued' AND 'queued'
        RETURNING w.id AS attempt_id, j.id, j.position, j.phone, j.lead_id
    )
    SELECT CASE
               WHEN d.id IS NOT NULL THEN 'intent'
               WHEN a.slot NOT BETWEEN 1 AND v_limit THEN 'slot_above_limit'
               WHEN a.taken THEN 'slot_taken'
               WHEN u.id IS NULL THEN v_cause
               WHEN p.id IS NULL THEN 'no_job'
               ELSE 'slot_taken'
           END,
           a.id, a.slot, d.id, d.position, d.phone, d.lead_id, v_limit,
           v_queued - (SELECT count(*)::integer FROM dialed)
    FROM asked a
    LEFT JOIN usable u ON u.id = a.id
    LEFT JOIN paired p ON p.id = a.id
    LEFT JOIN dialed d ON d.attempt_id = a.id
    ORDER BY a.slot;
END $$;
