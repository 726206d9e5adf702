-- Facts about calls: accepted from anybody, at any time, in any order, any number of times.
-- Permission to make a call is guarded by lease and epoch (0004); what is true of a call is not.
--
-- Order of locks: attempts (by id), job, counters, run.

-- What each word of the carrier means for an attempt. A lower rank never overwrites a higher.
CREATE TABLE carrier_statuses (
    status      text PRIMARY KEY,
    rank        smallint NOT NULL,
    state       text NOT NULL CHECK (state IN ('requested', 'live', 'ended')),
    disposition text,
    CHECK ((state = 'ended') = (disposition IS NOT NULL))
);
INSERT INTO carrier_statuses VALUES
    ('queued',      1, 'requested', NULL),
    ('initiated',   2, 'live',      NULL),
    ('ringing',     3, 'live',      NULL),
    ('in-progress', 4, 'live',      NULL),
    ('completed',   9, 'ended',     'answered'),
    ('busy',        9, 'ended',     'busy'),
    ('no-answer',   9, 'ended',     'no_answer'),
    ('failed',      9, 'ended',     'failed'),
    ('canceled',    9, 'ended',     'canceled');

-- Ended is final, and states only rise: the last line of defence behind the functions below.
CREATE FUNCTION guard_attempt_state() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.state = 'ended' OR (OLD.state IN ('live', 'requested') AND NEW.state = 'intent')
       OR (OLD.state = 'live' AND NEW.state = 'requested') OR (OLD.state = 'unknown' AND NEW.state = 'intent') THEN
        RAISE EXCEPTION 'attempt % cannot go from % to %', OLD.id, OLD.state, NEW.state
            USING ERRCODE = 'check_violation', CONSTRAINT = 'attempt_moves';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER guard_attempt_state BEFORE UPDATE OF state ON outbound_call_attempts
    FOR EACH ROW WHEN (OLD.state IS DISTINCT FROM NEW.state) EXECUTE FUNCTION guard_attempt_state();

-- End an attempt (locked by the caller, not ended) and its job with it.
CREATE FUNCTION end_attempt(
    p_attempt uuid, p_disposition text, p_error_code integer, p_error_message text, p_duration integer
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    a outbound_call_attempts;
BEGIN
    UPDATE outbound_call_attempts
    SET state = 'ended', disposition = p_disposition, ended_at = now(), last_news_at = now(), next_look_at = NULL,
        carrier_rank = 9, error_code = p_error_code, error_message = p_error_message,
        answered_at = CASE WHEN p_disposition IN ('answered', 'machine')
                           THEN coalesce(answered_at, now() - make_interval(secs => coalesce(p_duration, 0))) END
    WHERE id = p_attempt AND ended_at IS NULL
    RETURNING * INTO a;
    UPDATE outbound_call_jobs
    SET status = CASE WHEN p_disposition IN ('answered', 'machine') THEN 'completed' ELSE 'failed' END,
        disposition = p_disposition, ended_at = now(), twilio_call_sid = a.call_sid,
        answered_at = a.answered_at, duration_seconds = p_duration,
        error_code = p_error_code, error_message = p_error_message
    WHERE id = a.job_id AND dial_lock_token = a.id AND status IN ('dialing', 'calling');
END $$;

-- Give the SID to the attempt that a signed callback or the create's own answer names. An attempt that had
-- it by a guess from the carrier's list goes back to unknown; one that the guess has ended keeps its end.
-- With news of the call's end the job is left to end_attempt: a row that is updated twice in one transaction has
-- its foreign key looked up, and that lock on the run would come before the counters'.
CREATE FUNCTION bind_call(p_attempt uuid, p_call_sid text, p_source text, p_ends boolean) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    v_robbed_job bigint;
BEGIN
    UPDATE outbound_call_attempts
    SET call_sid = NULL, sid_source = NULL, carrier_rank = 0, answered_at = NULL, next_look_at = now(),
        state = CASE WHEN state = 'ended' THEN 'ended' ELSE 'unknown' END
    WHERE call_sid = p_call_sid AND id <> p_attempt AND sid_source = 'list'
    RETURNING job_id INTO v_robbed_job;
    UPDATE outbound_call_jobs
    SET twilio_call_sid = NULL, status = CASE WHEN status = 'calling' THEN 'dialing' ELSE status END
    WHERE id = v_robbed_job;
    UPDATE outbound_call_attempts
    SET call_sid = p_call_sid, sid_source = p_source, carrier_rank = greatest(carrier_rank, 1::smallint),
        answered_at = NULL, requested_at = coalesce(requested_at, now()),
        state = CASE WHEN state IN ('intent', 'unknown') THEN 'requested' ELSE state END
    WHERE id = p_attempt;
    UPDATE outbound_call_jobs j SET status = 'calling', twilio_call_sid = p_call_sid
    FROM outbound_call_attempts a
    WHERE NOT p_ends AND a.id = p_attempt AND j.id = a.job_id AND j.dial_lock_token = a.id
      AND j.status IN ('dialing', 'calling');
END $$;

-- Take in what the carrier said of a call: the create's answer ('queued'), a callback, or a look-up.
-- result:
--   taken      it was news
--   repeat     we had it
--   orphan     no such attempt; kept aside
--   late_call  a call turned up for an attempt that has ended without one, or a second call for one attempt:
--              stored beside it; somebody must know
--   not_owner  the list showed a SID that another attempt owns
-- ended_now tells whether this very statement ended the attempt: its slot is free.
CREATE FUNCTION take_carrier_event(
    p_attempt uuid, p_call_sid text, p_source text, p_sequence integer, p_status text, p_at timestamptz,
    p_duration integer, p_answered_by text, p_error_code integer, p_error_message text
) RETURNS TABLE (
    result text, business_id bigint, run_id bigint, job_id bigint, slot integer, call_sid text, state text,
    disposition text, ended_now boolean, hangup_requested boolean
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    a        outbound_call_attempts;
    s        carrier_statuses;
    v_result text := 'taken';
    v_ended  boolean := false;
    v_news   boolean;
    v_stored bigint;
BEGIN
    -- The attempt and, should a guess have given it away, the present owner of the SID: in one order, always.
    PERFORM FROM outbound_call_attempts x WHERE x.id = p_attempt OR x.call_sid = p_call_sid
    ORDER BY x.id FOR NO KEY UPDATE;
    SELECT * INTO a FROM outbound_call_attempts x WHERE x.id = p_attempt;
    IF NOT FOUND THEN
        INSERT INTO orphan_callbacks (attempt_id, call_sid, sequence, status, at)
        VALUES (p_attempt, p_call_sid, p_sequence, p_status, p_at) ON CONFLICT DO NOTHING;
        RETURN QUERY SELECT 'orphan', NULL::bigint, NULL::bigint, NULL::bigint, NULL::integer, p_call_sid,
                            NULL, NULL, false, false;
        RETURN;
    END IF;
    SELECT * INTO s FROM carrier_statuses c WHERE c.status = p_status;

    INSERT INTO outbound_call_events (attempt_id, business_id, call_sid, sequence, status, source, at)
    VALUES (a.id, a.business_id, p_call_sid, p_sequence, p_status, p_source, p_at)
    ON CONFLICT DO NOTHING RETURNING id INTO v_stored;

    IF a.call_sid IS DISTINCT FROM p_call_sid THEN
        -- Whoever else is about to bind this SID to another attempt comes before or after us, not beside us.
        PERFORM pg_advisory_xact_lock(hashtextextended('dialer:call:' || p_call_sid, 0));
        IF a.ended_at IS NOT NULL OR (a.call_sid IS NOT NULL AND (a.sid_source <> 'list' OR p_source = 'list')) THEN
            v_result := CASE WHEN v_stored IS NULL THEN 'repeat' ELSE 'late_call' END;
            UPDATE outbound_call_attempts SET late_call_sid = p_call_sid WHERE id = a.id;
        ELSIF EXISTS (SELECT FROM outbound_call_attempts x
                      WHERE x.call_sid = p_call_sid AND (x.sid_source <> 'list' OR p_source IN ('list', 'fetch'))) THEN
            v_result := 'not_owner';
        ELSE
            PERFORM bind_call(a.id, p_call_sid, CASE p_source WHEN 'fetch' THEN 'list' ELSE p_source END,
                              s.state IS NOT DISTINCT FROM 'ended');
        END IF;
    ELSIF v_stored IS NULL THEN
        v_result := 'repeat';
    END IF;

    IF v_result IN ('taken', 'repeat') AND a.ended_at IS NULL THEN
        IF s.state = 'ended' THEN
            PERFORM end_attempt(
                a.id,
                CASE WHEN s.disposition = 'answered' AND coalesce(p_answered_by, a.answered_by, '') ~ '^(machine|fax)'
                     THEN 'machine' ELSE s.disposition END,
                p_error_code, p_error_message, p_duration);
            v_ended := true;
        ELSE
            v_news := p_source <> 'fetch' OR coalesce(s.rank > a.carrier_rank, true);
            UPDATE outbound_call_attempts
            SET state = CASE WHEN s.rank > carrier_rank THEN s.state ELSE state END,
                carrier_rank = greatest(carrier_rank, s.rank),
                requested_at = coalesce(requested_at, now()),
                answered_at = CASE WHEN s.status = 'in-progress' THEN coalesce(answered_at, now()) ELSE answered_at END,
                answered_by = coalesce(p_answered_by, answered_by),
                -- A look-up that shows what we knew is no news: the next one is further away.
                last_news_at = CASE WHEN v_news THEN now() ELSE last_news_at END,
                looks = CASE WHEN v_news THEN 0 ELSE looks END,
                next_look_at = CASE WHEN v_news THEN NULL ELSE next_look_at END
            WHERE id = a.id;
        END IF;
    END IF;

    RETURN QUERY SELECT v_result, x.business_id, x.run_id, x.job_id, x.slot, x.call_sid, x.state, x.disposition,
                        v_ended, x.hangup_requested_at IS NOT NULL
                 FROM outbound_call_attempts x WHERE x.id = p_attempt;
END $$;

-- The create was not processed: certainly no call. The job goes back to the queue and costs nothing; if its
-- run may no longer be dialed it goes where that run's queued jobs went.
-- Returns returned | swept | too_late (a call is known by now, or the attempt has ended).
CREATE FUNCTION return_attempt(
    p_attempt uuid, p_delay_seconds double precision, p_error_code integer, p_error_message text
) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    a       outbound_call_attempts;
    v_sweep text;
BEGIN
    UPDATE outbound_call_attempts
    SET state = 'ended', disposition = 'not_dialed', ended_at = now(),
        error_code = p_error_code, error_message = p_error_message, next_look_at = NULL
    WHERE id = p_attempt AND state IN ('intent', 'unknown')
    RETURNING * INTO a;
    IF NOT FOUND THEN
        -- Said twice (the first answer was lost) is said once.
        RETURN coalesce(
            (SELECT CASE WHEN j.disposition = 'not_dialed' THEN 'swept' ELSE 'returned' END
             FROM outbound_call_attempts x JOIN outbound_call_jobs j ON j.id = x.job_id
             WHERE x.id = p_attempt AND x.disposition = 'not_dialed'),
            'too_late');
    END IF;
    SELECT r.sweep_to INTO v_sweep FROM outbound_call_runs r WHERE r.id = a.run_id;
    IF v_sweep IS NULL THEN
        UPDATE outbound_call_jobs
        SET status = 'queued', attempts_made = attempts_made - 1, dial_started_at = NULL,
            not_before = CASE WHEN p_delay_seconds > 0 THEN now() + make_interval(secs => p_delay_seconds) END
        WHERE id = a.job_id AND dial_lock_token = a.id AND status IN ('dialing', 'calling');
        RETURN 'returned';
    END IF;
    UPDATE outbound_call_jobs
    SET status = v_sweep, disposition = 'not_dialed', ended_at = now(), attempts_made = attempts_made - 1
    WHERE id = a.job_id AND dial_lock_token = a.id AND status IN ('dialing', 'calling');
    RETURN 'swept';
END $$;

-- The carrier refused the create: no call, and no reason to ask again. Returns whether it was written.
CREATE FUNCTION refuse_attempt(
    p_attempt uuid, p_disposition text, p_error_code integer, p_error_message text
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM outbound_call_attempts
    WHERE id = p_attempt AND state IN ('intent', 'unknown') FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN EXISTS (SELECT FROM outbound_call_attempts
                       WHERE id = p_attempt AND disposition = p_disposition
                         AND error_code IS NOT DISTINCT FROM p_error_code AND call_sid IS NULL);
    END IF;
    PERFORM end_attempt(p_attempt, p_disposition, p_error_code, p_error_message, NULL);
    RETURN true;
END $$;

-- Nobody can tell whether there is a call, and look-ups have shown none for long enough (or failed for as long
-- as a call can last): say so, free the slot, never dial it again by itself. Guarded by the news that the
-- look-up started from: a callback that came while it was under way wins, and its call keeps its slot.
-- Returns the freed slot or nothing.
CREATE FUNCTION end_unknown(p_attempt uuid, p_last_news_at timestamptz) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    a outbound_call_attempts;
BEGIN
    SELECT * INTO a FROM outbound_call_attempts
    WHERE id = p_attempt AND ended_at IS NULL AND last_news_at = p_last_news_at FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    PERFORM end_attempt(p_attempt, 'unknown', a.error_code, a.error_message, NULL);
    RETURN a.slot;
END $$;
