-- Who answered: a person, or a machine (voicemail, fax). The carrier's verdict comes by a callback of its own, which
-- may overtake, or be overtaken by, the news of the call's end; the end may tell it too.
--
-- An end is told once and never taken back: state, end, slot and status stay. But "answered" is all that an end
-- without a verdict can know, and a verdict that comes later makes it more exact: answered -> machine, never back,
-- with the counters, in one transaction. So callbacks in any order leave the same rows. Of several verdicts the
-- strongest stands, for the same reason.
--
-- Order of locks as in 0005: attempts, job, counters.

CREATE FUNCTION is_machine(p_verdict text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(p_verdict ~ '^(machine|fax)', false)
$$;

-- Whichever way round they come. What is no machine and no person is a word for not knowing.
CREATE FUNCTION stronger_verdict(p_one text, p_other text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT v FROM (VALUES (p_one), (p_other)) AS verdicts (v) WHERE v IS NOT NULL
    ORDER BY is_machine(v) DESC, (v = 'human') DESC, v COLLATE "C" LIMIT 1
$$;

-- Note who answered the call of an attempt (locked by the caller). Returns the verdict that stands.
CREATE FUNCTION hear_verdict(p_attempt uuid, p_verdict text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    a outbound_call_attempts;
BEGIN
    UPDATE outbound_call_attempts
    SET answered_by = stronger_verdict(answered_by, p_verdict),
        disposition = CASE WHEN disposition = 'answered' AND is_machine(stronger_verdict(answered_by, p_verdict))
                           THEN 'machine' ELSE disposition END
    WHERE id = p_attempt AND answered_by IS DISTINCT FROM stronger_verdict(answered_by, p_verdict)
    RETURNING * INTO a;
    IF NOT FOUND THEN
        RETURN (SELECT answered_by FROM outbound_call_attempts WHERE id = p_attempt);
    END IF;
    UPDATE outbound_call_jobs SET disposition = 'machine'
    WHERE a.disposition = 'machine' AND id = a.job_id AND dial_lock_token = a.id AND disposition = 'answered';
    RETURN a.answered_by;
END $$;

-- How something ended is told once; a verdict alone makes it more exact. Whoever writes, by hand too.
CREATE FUNCTION guard_disposition() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% % cannot go from % to %', TG_TABLE_NAME, OLD.id, OLD.disposition, NEW.disposition
        USING ERRCODE = 'check_violation', CONSTRAINT = 'disposition_moves';
END $$;
CREATE TRIGGER guard_disposition BEFORE UPDATE OF disposition ON outbound_call_attempts FOR EACH ROW
    WHEN (OLD.disposition IS DISTINCT FROM NEW.disposition AND OLD.disposition IS NOT NULL
          AND (OLD.disposition, NEW.disposition) IS DISTINCT FROM ('answered', 'machine'))
    EXECUTE FUNCTION guard_disposition();
CREATE TRIGGER guard_disposition BEFORE UPDATE OF disposition ON outbound_call_jobs FOR EACH ROW
    WHEN (OLD.disposition IS DISTINCT FROM NEW.disposition AND OLD.disposition IS NOT NULL
          AND (OLD.disposition, NEW.disposition) IS DISTINCT FROM ('answered', 'machine'))
    EXECUTE FUNCTION guard_disposition();

-- As in 0005 (see there what the results mean), but for the verdict; and a repeat of what was said of a second call
-- for the attempt does nothing to the first: it ended that, and freed its slot.
CREATE OR REPLACE FUNCTION take_carrier_event(
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
    v_other  boolean := false;  -- news of another call than the attempt's own
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
            v_other := true;
            UPDATE outbound_call_attempts SET late_call_sid = p_call_sid WHERE id = a.id;
        ELSIF EXISTS (SELECT FROM outbound_call_attempts x
                      WHERE x.call_sid = p_call_sid AND (x.sid_source <> 'list' OR p_source IN ('list', 'fetch'))) THEN
            v_result := 'not_owner';
            v_other := true;
        ELSE
            PERFORM bind_call(a.id, p_call_sid, CASE p_source WHEN 'fetch' THEN 'list' ELSE p_source END,
                              s.state IS NOT DISTINCT FROM 'ended');
        END IF;
    ELSIF v_stored IS NULL THEN
        v_result := 'repeat';
    END IF;

    -- Before the end, which asks for it; and after the end, which it may refine.
    IF NOT v_other AND p_answered_by IS NOT NULL THEN
        a.answered_by := hear_verdict(a.id, p_answered_by);
    END IF;
    IF NOT v_other AND a.ended_at IS NULL THEN
        IF s.state = 'ended' THEN
            PERFORM end_attempt(
                a.id,
                CASE WHEN s.disposition = 'answered' AND is_machine(a.answered_by) THEN 'machine' ELSE s.disposition END,
                p_error_code, p_error_message, p_duration);
            v_ended := true;
        ELSE
            v_news := p_source <> 'fetch' OR coalesce(s.rank > a.carrier_rank, true);
            UPDATE outbound_call_attempts
            SET state = CASE WHEN s.rank > carrier_rank THEN s.state ELSE state END,
                carrier_rank = greatest(carrier_rank, s.rank),
                requested_at = coalesce(requested_at, now()),
                answered_at = CASE WHEN s.status = 'in-progress' THEN coalesce(answered_at, now()) ELSE answered_at END,
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
