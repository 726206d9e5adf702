-- Many events of the carrier in one statement, and less work for each. What the functions mean stays as it was.
--
-- Order of locks as in 0005, now over several runs: attempts by id, jobs, counters by run, each with its run.

-- As in 0003: the counters follow the jobs. Run by run in the order of their ids, so that two statements over several
-- runs wait for each other in one direction only; and a statement that moved nothing (dialing -> calling) pays next
-- to nothing.
CREATE OR REPLACE FUNCTION count_jobs() RETURNS trigger LANGUAGE plpgsql
AS $$
DECLARE
    d record;  -- how much each counter of one run moves
BEGIN
    IF TG_OP = 'INSERT' THEN
        UPDATE outbound_call_run_counters c SET queued = c.queued + come.queued
        FROM (SELECT run_id, count(*) AS queued FROM new_rows WHERE status = 'queued' GROUP BY run_id) come
        WHERE c.run_id = come.run_id;
        RETURN NULL;
    END IF;
    FOR d IN
        SELECT run_id,
               coalesce(sum(n) FILTER (WHERE status = 'queued'), 0) AS queued,
               coalesce(sum(n) FILTER (WHERE status IN ('dialing', 'calling')), 0) AS in_progress,
               coalesce(sum(n) FILTER (WHERE status = 'completed'), 0) AS completed,
               coalesce(sum(n) FILTER (WHERE status = 'failed'), 0) AS failed,
               coalesce(sum(n) FILTER (WHERE status = 'cancelled'), 0) AS cancelled,
               coalesce(sum(n) FILTER (WHERE disposition = 'answered'), 0) AS answered,
               coalesce(sum(n) FILTER (WHERE disposition = 'machine'), 0) AS machine,
               coalesce(sum(n) FILTER (WHERE disposition = 'busy'), 0) AS busy,
               coalesce(sum(n) FILTER (WHERE disposition = 'no_answer'), 0) AS no_answer,
               coalesce(sum(n) FILTER (WHERE disposition = 'failed'), 0) AS call_failed,
               coalesce(sum(n) FILTER (WHERE disposition = 'canceled'), 0) AS canceled,
               coalesce(sum(n) FILTER (WHERE disposition = 'invalid_number'), 0) AS invalid_number,
               coalesce(sum(n) FILTER (WHERE disposition = 'not_dialed'), 0) AS not_dialed,
               coalesce(sum(n) FILTER (WHERE disposition = 'unknown'), 0) AS unknown
        FROM (SELECT run_id, status, disposition, 1 AS n FROM new_rows
              UNION ALL
              SELECT run_id, status, disposition, -1 FROM old_rows) moved
        GROUP BY run_id ORDER BY run_id
    LOOP
        -- dialing -> calling moves no counter: leave the row, and whoever waits for it, alone.
        CONTINUE WHEN (d.queued, d.in_progress, d.completed, d.failed, d.cancelled, d.answered, d.machine)
                      IS NOT DISTINCT FROM (0, 0, 0, 0, 0, 0, 0);
        UPDATE outbound_call_run_counters c
        SET queued = c.queued + d.queued, in_progress = c.in_progress + d.in_progress,
            completed = c.completed + d.completed, failed = c.failed + d.failed,
            cancelled = c.cancelled + d.cancelled, answered = c.answered + d.answered,
            machine = c.machine + d.machine, busy = c.busy + d.busy, no_answer = c.no_answer + d.no_answer,
            call_failed = c.call_failed + d.call_failed, canceled = c.canceled + d.canceled,
            invalid_number = c.invalid_number + d.invalid_number, not_dialed = c.not_dialed + d.not_dialed,
            unknown = c.unknown + d.unknown
        WHERE c.run_id = d.run_id;
    END LOOP;
    RETURN NULL;
END $$;

ALTER FUNCTION write_intents(bigint, uuid, bigint, integer, uuid[], integer[], text)
    SET plan_cache_mode = force_generic_plan;

-- Take in what is plain of a batch of events: news of its own call for an attempt that has not ended, or the first
-- news of one that had no call yet, without a verdict on who answered. Each is taken as take_carrier_event (0011)
-- takes it, and answered in a row with its place `n` in the batch. What has no row in the answer was not touched:
-- give it to take_carrier_event.
--
-- One attempt is plain once in a batch. lock_timeout: a row that somebody holds must not hold up all others; the
-- batch fails, nothing is written, and its events are to be taken one by one.
-- Plans: along the indexes, whatever the tables' sizes when the plan was made.
CREATE FUNCTION take_plain_events(
    p_attempts uuid[], p_call_sids text[], p_sources text[], p_sequences integer[], p_statuses text[],
    p_at timestamptz[], p_durations integer[], p_answered_by text[], p_error_codes integer[], p_error_messages text[]
) RETURNS TABLE (
    n bigint, result text, business_id bigint, run_id bigint, job_id bigint, slot integer, call_sid text, state text,
    disposition text, ended_now boolean, hangup_requested boolean
) LANGUAGE plpgsql
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_hashjoin = off
SET enable_mergejoin = off SET lock_timeout = '100ms' AS $$
#variable_conflict use_column
BEGIN
    PERFORM FROM outbound_call_attempts x WHERE x.id = ANY (p_attempts) ORDER BY x.id FOR NO KEY UPDATE;
    -- Whoever else is about to bind one of these SIDs comes before or after us, not beside us.
    PERFORM pg_advisory_xact_lock(hashtextextended('dialer:call:' || b.sid, 0))
    FROM (SELECT g.sid FROM unnest(p_attempts, p_call_sids) AS g (attempt, sid)
          JOIN outbound_call_attempts x ON x.id = g.attempt
          WHERE x.call_sid IS NULL ORDER BY g.sid) b;

    RETURN QUERY
    WITH given AS (
        SELECT g.*, row_number() OVER (PARTITION BY g.attempt ORDER BY g.n) AS turn,
               row_number() OVER (PARTITION BY g.sid ORDER BY g.n) AS sid_turn
        FROM unnest(p_attempts, p_call_sids, p_sources, p_sequences, p_statuses, p_at, p_durations, p_answered_by,
                    p_error_codes, p_error_messages) WITH ORDINALITY
             AS g (attempt, sid, source, sequence, status, at, duration, answered_by, error_code, error_message, n)
    ), plain AS MATERIALIZED (
        SELECT g.*, x.business_id, s.rank, s.state AS said,
               CASE WHEN s.disposition = 'answered' AND is_machine(x.answered_by) THEN 'machine'
                    ELSE s.disposition END AS ends_as,
               x.call_sid IS NULL AS binds,
               g.source <> 'fetch' OR coalesce(s.rank > x.carrier_rank, true) AS is_news
        FROM given g
        JOIN outbound_call_attempts x ON x.id = g.attempt
        LEFT JOIN carrier_statuses s ON s.status = g.status
        WHERE g.turn = 1 AND g.answered_by IS NULL AND x.ended_at IS NULL
          AND (x.call_sid = g.sid
               OR (x.call_sid IS NULL AND g.sid_turn = 1 AND s.state IS DISTINCT FROM 'ended'
                   AND NOT EXISTS (SELECT FROM outbound_call_attempts o WHERE o.call_sid = g.sid)))
    ), stored AS (
        INSERT INTO outbound_call_events (attempt_id, business_id, call_sid, sequence, status, source, at)
        SELECT p.attempt, p.business_id, p.sid, p.sequence, p.status, p.source, p.at FROM plain p
        ON CONFLICT DO NOTHING RETURNING attempt_id
    ), moved AS (
        UPDATE outbound_call_attempts x
        SET call_sid = p.sid,
            sid_source = CASE WHEN NOT p.binds THEN x.sid_source
                              WHEN p.source = 'fetch' THEN 'list' ELSE p.source END,
            state = CASE WHEN p.said = 'ended' OR p.rank > greatest(x.carrier_rank, p.binds::integer) THEN p.said
                         WHEN p.binds THEN 'requested' ELSE x.state END,
            carrier_rank = greatest(x.carrier_rank, p.binds::integer, p.rank),
            requested_at = coalesce(x.requested_at, now()),
            disposition = p.ends_as,
            ended_at = CASE WHEN p.said = 'ended' THEN now() END,
            answered_at = CASE WHEN p.ends_as IN ('answered', 'machine')
                               THEN coalesce(x.answered_at, now() - make_interval(secs => coalesce(p.duration, 0)))
                               WHEN p.ends_as IS NOT NULL THEN NULL
                               WHEN p.status = 'in-progress' THEN coalesce(x.answered_at, now())
                               ELSE x.answered_at END,
            error_code = CASE WHEN p.said = 'ended' THEN p.error_code ELSE x.error_code END,
            error_message = CASE WHEN p.said = 'ended' THEN p.error_message ELSE x.error_message END,
            last_news_at = CASE WHEN p.is_news OR p.said = 'ended' THEN now() ELSE x.last_news_at END,
            looks = CASE WHEN p.is_news AND p.said IS DISTINCT FROM 'ended' THEN 0 ELSE x.looks END,
            next_look_at = CASE WHEN p.is_news OR p.said = 'ended' THEN NULL ELSE x.next_look_at END
        FROM plain p WHERE x.id = p.attempt
        RETURNING p.n, p.binds, p.duration, x.id, x.business_id, x.run_id, x.job_id, x.slot, x.call_sid, x.state,
                  x.disposition, x.answered_at, x.ended_at, x.error_code, x.error_message, x.hangup_requested_at
    ), followed AS (
        UPDATE outbound_call_jobs j
        SET status = CASE WHEN m.ended_at IS NULL THEN 'calling'
                          WHEN m.disposition IN ('answered', 'machine') THEN 'completed' ELSE 'failed' END,
            twilio_call_sid = m.call_sid, disposition = m.disposition, ended_at = m.ended_at,
            answered_at = CASE WHEN m.ended_at IS NULL THEN j.answered_at ELSE m.answered_at END,
            duration_seconds = CASE WHEN m.ended_at IS NULL THEN j.duration_seconds ELSE m.duration END,
            error_code = CASE WHEN m.ended_at IS NULL THEN j.error_code ELSE m.error_code END,
            error_message = CASE WHEN m.ended_at IS NULL THEN j.error_message ELSE m.error_message END
        FROM moved m
        WHERE (m.binds OR m.ended_at IS NOT NULL)
          AND j.id = m.job_id AND j.dial_lock_token = m.id AND j.status IN ('dialing', 'calling')
    )
    SELECT m.n, CASE WHEN m.binds OR s.attempt_id IS NOT NULL THEN 'taken' ELSE 'repeat' END,
           m.business_id, m.run_id, m.job_id, m.slot, m.call_sid, m.state, m.disposition,
           m.ended_at IS NOT NULL, m.hangup_requested_at IS NOT NULL
    FROM moved m LEFT JOIN stored s ON s.attempt_id = m.id;
END $$;

-- As in 0005, but that nothing is asked of the jobs when no guess was overridden, which is nearly always.
CREATE OR REPLACE FUNCTION bind_call(p_attempt uuid, p_call_sid text, p_source text, p_ends boolean) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    v_robbed_job bigint;
BEGIN
    UPDATE outbound_call_attempts
    SET call_sid = NULL, sid_source = NULL, carrier_rank = 0, answered_at = NULL, next_look_at = now(),
        state = CASE WHEN state = 'ended' THEN 'ended' ELSE 'unknown' END
    WHERE call_sid = p_call_sid AND id <> p_attempt AND sid_source = 'list'
    RETURNING job_id INTO v_robbed_job;
    IF v_robbed_job IS NOT NULL THEN
        UPDATE outbound_call_jobs
        SET twilio_call_sid = NULL, status = CASE WHEN status = 'calling' THEN 'dialing' ELSE status END
        WHERE id = v_robbed_job;
    END IF;
    UPDATE outbound_call_attempts
    SET call_sid = p_call_sid, sid_source = p_source, carrier_rank = greatest(carrier_rank, 1::smallint),
        answered_at = NULL, requested_at = coalesce(requested_at, now()),
        state = CASE WHEN state IN ('intent', 'unknown') THEN 'requested' ELSE state END
    WHERE id = p_attempt;
    IF NOT p_ends THEN
        UPDATE outbound_call_jobs j SET status = 'calling', twilio_call_sid = p_call_sid
        FROM outbound_call_attempts a
        WHERE a.id = p_attempt AND j.id = a.job_id AND j.dial_lock_token = a.id
          AND j.status IN ('dialing', 'calling');
    END IF;
END $$;
