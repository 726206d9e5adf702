-- What people, and the reaper, do to a run as a whole: cancel, force-cancel, stop, pause, resume; stop a stale one.
--
-- Order of locks: counters, run (see 0004), and nothing after them. With the counters locked no intent, callback
-- or batch of the sweep of this run is half done: the figures read here are the ones that the answer promises.
-- FOR UPDATE on the run conflicts with an intent's FOR KEY SHARE, whatever becomes of the epoch.
-- With any number of queued jobs only the run's row is written: the jobs are shown where sweep_to says from the
-- commit on, and their rows follow.

-- That live calls are to be ended too. It stands at the run because whoever stops a run holds locks that come
-- after the attempts' own; the attempts are marked in a statement of its own (take_due_hangups), by whatever
-- control comes first.
ALTER TABLE outbound_call_runs ADD COLUMN hangup_requested_at timestamptz;

CREATE FUNCTION audit_run(
    p_run outbound_call_runs, p_action text, p_actor text, p_reason text, p_details jsonb
) RETURNS void LANGUAGE sql AS $$
    INSERT INTO audit_log (business_id, actor, action, run_id, reason, details)
    VALUES (p_run.business_id, p_actor, p_action, p_run.id, p_reason, p_details)
$$;

-- p_action: cancel (live calls end by themselves; until then the run is `running`), force_cancel, stop.
-- jobs: how many queued jobs this very statement has given up; 0 when an earlier one had.
-- A run that has ended, or whose cancel is under way, is left as it is: changed is false.
CREATE FUNCTION stop_run(p_run bigint, p_action text, p_actor text, p_reason text, p_hangup boolean)
RETURNS TABLE (changed boolean, status text, cancel_requested boolean, jobs integer) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    c         outbound_call_run_counters;
    r         outbound_call_runs;
    v_changed boolean;
    v_hangup  boolean;
    v_jobs    integer := 0;
BEGIN
    SELECT * INTO c FROM outbound_call_run_counters x WHERE x.run_id = p_run FOR NO KEY UPDATE;
    SELECT * INTO r FROM outbound_call_runs x WHERE x.id = p_run FOR UPDATE;
    v_changed := r.status IN ('pending', 'running', 'paused') AND NOT (p_action = 'cancel' AND r.cancel_requested);
    v_hangup := p_hangup AND r.hangup_requested_at IS NULL AND c.in_progress > 0;
    IF v_changed THEN
        v_jobs := CASE WHEN r.sweep_to IS NULL THEN c.queued ELSE 0 END;
        UPDATE outbound_call_runs x
        SET cancel_requested = x.cancel_requested OR p_action = 'cancel',
            status = CASE WHEN p_action = 'stop' THEN 'stopped'
                          WHEN p_action = 'cancel' AND c.in_progress > 0 THEN 'running'
                          ELSE 'cancelled' END,
            sweep_to = coalesce(x.sweep_to, CASE p_action WHEN 'force_cancel' THEN 'failed' ELSE 'cancelled' END)
        WHERE x.id = p_run RETURNING * INTO r;
    END IF;
    IF v_hangup THEN
        UPDATE outbound_call_runs x SET hangup_requested_at = now() WHERE x.id = p_run;
    END IF;
    IF v_changed OR v_hangup THEN
        PERFORM audit_run(r, p_action, p_actor, p_reason,
                          jsonb_build_object('status', r.status, 'jobs', v_jobs, 'hangup', v_hangup));
    END IF;
    RETURN QUERY SELECT v_changed OR v_hangup, r.status, r.cancel_requested, v_jobs;
END $$;

-- p_action: pause (nothing new is dialed; live calls end by themselves) or resume (wait for a daemon again).
-- Returns whether it was done, and what the run is now.
CREATE FUNCTION hold_run(p_run bigint, p_action text, p_actor text, p_reason text)
RETURNS TABLE (changed boolean, status text, cancel_requested boolean) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    r         outbound_call_runs;
    v_changed boolean;
BEGIN
    -- Intents stand in line here: behind them, and not beside them, it is our turn next.
    PERFORM FROM outbound_call_run_counters x WHERE x.run_id = p_run FOR NO KEY UPDATE;
    SELECT * INTO r FROM outbound_call_runs x WHERE x.id = p_run FOR UPDATE;
    v_changed := CASE p_action WHEN 'pause' THEN r.status IN ('pending', 'running') AND NOT r.cancel_requested
                               ELSE r.status = 'paused' END;
    IF v_changed THEN
        UPDATE outbound_call_runs x
        SET status = CASE p_action WHEN 'pause' THEN 'paused' ELSE 'pending' END,
            last_error = CASE p_action WHEN 'pause' THEN x.last_error END
        WHERE x.id = p_run RETURNING * INTO r;
        PERFORM audit_run(r, p_action, p_actor, p_reason, NULL);
    END IF;
    RETURN QUERY SELECT v_changed, r.status, r.cancel_requested;
END $$;

-- Stop a run that nobody has beaten for so long. No row: it was beaten, taken over or ended meanwhile, or
-- somebody is at work on it this very moment (who is at work is not dead, and nobody waits here for a neighbour).
-- A run whose cancel was asked for has no heartbeat: it ends by its callbacks.
CREATE FUNCTION stop_stale_run(
    p_run bigint, p_older_than_seconds double precision, p_action text, p_actor text, p_reason text
) RETURNS TABLE (business_id bigint, worker uuid, heartbeat_age_seconds double precision, jobs integer)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    c     outbound_call_run_counters;
    r     outbound_call_runs;
    v_age double precision;
BEGIN
    SELECT * INTO c FROM outbound_call_run_counters x WHERE x.run_id = p_run FOR NO KEY UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    SELECT * INTO r FROM outbound_call_runs x
    WHERE x.id = p_run AND x.status = 'running' AND NOT x.cancel_requested
      AND x.last_heartbeat_at < now() - make_interval(secs => p_older_than_seconds)
    FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    v_age := round(extract(epoch FROM now() - r.last_heartbeat_at)::numeric, 1);
    UPDATE outbound_call_runs x
    SET status = 'stopped', sweep_to = 'failed', last_error = format('stale: no heartbeat for %s s', v_age)
    WHERE x.id = p_run;
    PERFORM audit_run(r, p_action, p_actor, p_reason,
                      jsonb_build_object('jobs', c.queued, 'heartbeat_age_seconds', v_age,
                                         'worker', r.locked_by_worker));
    RETURN QUERY SELECT r.business_id, r.locked_by_worker, v_age, c.queued;
END $$;
