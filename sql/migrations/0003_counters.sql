-- The counters of a run follow its jobs in the same transaction, and the update that brings them to the end
-- ends the run. Two last callbacks that commit together meet at the counter row: the second waits, then sees
-- the first's figures; so exactly one of them completes the run, which "no job is left" could not promise.

CREATE FUNCTION count_jobs() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        UPDATE outbound_call_run_counters c SET queued = c.queued + d.queued
        FROM (SELECT run_id, count(*) AS queued FROM new_rows WHERE status = 'queued' GROUP BY run_id) d
        WHERE c.run_id = d.run_id;
        RETURN NULL;
    END IF;
    UPDATE outbound_call_run_counters c
    SET queued = c.queued + d.queued,
        in_progress = c.in_progress + d.in_progress,
        completed = c.completed + d.completed,
        failed = c.failed + d.failed,
        cancelled = c.cancelled + d.cancelled,
        answered = c.answered + d.answered,
        machine = c.machine + d.machine,
        busy = c.busy + d.busy,
        no_answer = c.no_answer + d.no_answer,
        call_failed = c.call_failed + d.call_failed,
        canceled = c.canceled + d.canceled,
        invalid_number = c.invalid_number + d.invalid_number,
        not_dialed = c.not_dialed + d.not_dialed,
        unknown = c.unknown + d.unknown
    FROM (
        SELECT run_id,
               sum(n) FILTER (WHERE status = 'queued') AS queued,
               sum(n) FILTER (WHERE status IN ('dialing', 'calling')) AS in_progress,
               sum(n) FILTER (WHERE status = 'completed') AS completed,
               sum(n) FILTER (WHERE status = 'failed') AS failed,
               sum(n) FILTER (WHERE status = 'cancelled') AS cancelled,
               sum(n) FILTER (WHERE disposition = 'answered') AS answered,
               sum(n) FILTER (WHERE disposition = 'machine') AS machine,
               sum(n) FILTER (WHERE disposition = 'busy') AS busy,
               sum(n) FILTER (WHERE disposition = 'no_answer') AS no_answer,
               sum(n) FILTER (WHERE disposition = 'failed') AS call_failed,
               sum(n) FILTER (WHERE disposition = 'canceled') AS canceled,
               sum(n) FILTER (WHERE disposition = 'invalid_number') AS invalid_number,
               sum(n) FILTER (WHERE disposition = 'not_dialed') AS not_dialed,
               sum(n) FILTER (WHERE disposition = 'unknown') AS unknown
        FROM (SELECT run_id, status, disposition, 1 AS n FROM new_rows
              UNION ALL
              SELECT run_id, status, disposition, -1 FROM old_rows
              -- A delta for each column even where only one moved: without these zeros a sum would be null.
              UNION ALL
              SELECT r.run_id, s.status, s.disposition, 0
              FROM (SELECT DISTINCT run_id FROM new_rows) r,
                   (VALUES ('queued', 'answered'), ('dialing', 'machine'), ('completed', 'busy'),
                           ('failed', 'no_answer'), ('cancelled', 'failed'), (NULL, 'canceled'),
                           (NULL, 'invalid_number'), (NULL, 'not_dialed'), (NULL, 'unknown')) s (status, disposition)
             ) moved
        GROUP BY run_id
    ) d
    WHERE c.run_id = d.run_id
      -- dialing -> calling moves no counter: leave the row, and whoever waits for it, alone.
      AND (d.queued, d.in_progress, d.completed, d.failed, d.cancelled, d.answered, d.machine)
          IS DISTINCT FROM (0, 0, 0, 0, 0, 0, 0);
    RETURN NULL;
END $$;

CREATE TRIGGER count_jobs_inserted AFTER INSERT ON outbound_call_jobs
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION count_jobs();
CREATE TRIGGER count_jobs_updated AFTER UPDATE ON outbound_call_jobs
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION count_jobs();

-- A run whose queued jobs are spoken for (sweep_to) waits only for its live calls, not for the sweep.
CREATE FUNCTION end_run_when_done() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE outbound_call_runs
    SET status = CASE WHEN cancel_requested THEN 'cancelled' ELSE 'completed' END
    WHERE id = NEW.run_id AND status IN ('pending', 'running', 'paused')
      AND (NEW.queued = 0 OR sweep_to IS NOT NULL);
    RETURN NULL;
END $$;

CREATE TRIGGER end_run_when_done AFTER UPDATE ON outbound_call_run_counters
    FOR EACH ROW
    WHEN (NEW.in_progress = 0 AND (OLD.in_progress > 0 OR (NEW.queued = 0 AND OLD.queued > 0)))
    EXECUTE FUNCTION end_run_when_done();
