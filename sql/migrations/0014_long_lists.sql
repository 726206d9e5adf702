-- Long lists, and what grew with them.
--
-- A job belongs to a run that is there: found out once for each statement, no more for each row.
--
-- The foreign key looked for the run of every job by itself: half of what a list of a million cost. The trigger that
-- counts new jobs goes through them anyway. It finds each run once, and keeps it (FOR KEY SHARE) as the foreign key
-- did; so whoever deletes a run waits for imports that are under way, and then finds their jobs.

CREATE FUNCTION count_new_jobs() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    d record;
BEGIN
    FOR d IN
        SELECT n.run_id, count(*) FILTER (WHERE n.status = 'queued') AS queued
        FROM new_rows n GROUP BY n.run_id ORDER BY n.run_id
    LOOP
        PERFORM FROM outbound_call_runs r WHERE r.id = d.run_id FOR KEY SHARE;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'run % is not there', d.run_id
                USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'outbound_call_jobs_run_id_fkey',
                      TABLE = 'outbound_call_jobs';
        END IF;
        UPDATE outbound_call_run_counters c SET queued = c.queued + d.queued WHERE c.run_id = d.run_id;
    END LOOP;
    RETURN NULL;
END $$;
DROP TRIGGER count_jobs_inserted ON outbound_call_jobs;
CREATE TRIGGER count_jobs_inserted AFTER INSERT ON outbound_call_jobs
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION count_new_jobs();

CREATE FUNCTION keep_runs_of_jobs() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM outbound_call_jobs j WHERE j.run_id = OLD.id) THEN
        RAISE EXCEPTION 'run % has jobs', OLD.id
            USING ERRCODE = 'foreign_key_violation', CONSTRAINT = 'outbound_call_jobs_run_id_fkey',
                  TABLE = 'outbound_call_runs';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER keep_runs_of_jobs_deleted AFTER DELETE ON outbound_call_runs
    FOR EACH ROW EXECUTE FUNCTION keep_runs_of_jobs();
CREATE TRIGGER keep_runs_of_jobs_renamed AFTER UPDATE OF id ON outbound_call_runs
    FOR EACH ROW WHEN (NEW.id <> OLD.id) EXECUTE FUNCTION keep_runs_of_jobs();

CREATE FUNCTION keep_job_in_run() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'job % cannot go from run % to %', OLD.id, OLD.run_id, NEW.run_id
        USING ERRCODE = 'check_violation', CONSTRAINT = 'job_moves', TABLE = 'outbound_call_jobs';
END $$;
CREATE TRIGGER keep_job_in_run BEFORE UPDATE OF run_id ON outbound_call_jobs
    FOR EACH ROW WHEN (NEW.run_id <> OLD.run_id) EXECUTE FUNCTION keep_job_in_run();

ALTER TABLE outbound_call_jobs DROP CONSTRAINT outbound_call_jobs_run_id_fkey;

-- Whose a call is that a look-up found: without it every look went through all attempts there ever were.
CREATE INDEX outbound_call_attempts_late_sid ON outbound_call_attempts (late_call_sid) WHERE late_call_sid IS NOT NULL;
