-- The state machine of a run: a table of legal moves that the database enforces, whoever writes.

CREATE TABLE run_moves (
    from_status text NOT NULL,
    to_status   text NOT NULL,
    meaning     text NOT NULL,
    PRIMARY KEY (from_status, to_status)
);
INSERT INTO run_moves VALUES
    ('pending', 'running',   'claimed by a daemon'),
    ('pending', 'paused',    'paused before anybody claimed it'),
    ('pending', 'completed', 'its last call ended while nobody held it'),
    ('pending', 'stopped',   'stop'),
    ('pending', 'cancelled', 'cancel'),
    ('pending', 'failed',    'it cannot be dialed'),
    ('running', 'pending',   'handed over by a daemon that drains'),
    ('running', 'paused',    'pause, or five refusals in a row'),
    ('running', 'completed', 'its last job ended'),
    ('running', 'stopped',   'stop, or stale'),
    ('running', 'cancelled', 'cancel, once no call is live'),
    ('running', 'failed',    'it cannot be dialed'),
    ('paused',  'pending',   'resume'),
    ('paused',  'running',   'a soft cancel that waits for its live calls'),
    ('paused',  'completed', 'its last call ended'),
    ('paused',  'stopped',   'stop'),
    ('paused',  'cancelled', 'cancel'),
    ('paused',  'failed',    'it cannot be dialed');

-- Fires on any statement that names status or cancel_requested, an operator's by hand included; a beat names
-- neither and pays nothing. A run that may no longer be dialed by its holder loses its lock fields, and its
-- epoch grows: the holder's next intent finds no row.
CREATE FUNCTION guard_run_state() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.status <> OLD.status THEN
        IF NOT EXISTS (SELECT FROM run_moves m WHERE m.from_status = OLD.status AND m.to_status = NEW.status) THEN
            RAISE EXCEPTION 'run % cannot go from % to %', OLD.id, OLD.status, NEW.status
                USING ERRCODE = 'check_violation', CONSTRAINT = 'run_moves';
        END IF;
    END IF;
    IF NEW.status IN ('completed', 'stopped', 'cancelled', 'failed') THEN
        -- An ended run keeps the moment of its end, however often it is stopped again.
        NEW.ended_at := coalesce(OLD.ended_at, NEW.ended_at, now());
    END IF;
    IF OLD.status = 'running' AND NOT OLD.cancel_requested
       AND (NEW.status <> 'running' OR NEW.cancel_requested) THEN
        NEW.locked_by_worker := NULL;
        NEW.lock_ts := NULL;
        NEW.last_heartbeat_at := NULL;
        NEW.lease_epoch := OLD.lease_epoch + 1;
    END IF;
    IF NEW.sweep_to IS NULL
       AND (NEW.status IN ('stopped', 'cancelled', 'failed') OR NEW.cancel_requested) AND NEW.status <> 'completed' THEN
        NEW.sweep_to := CASE WHEN NEW.status = 'failed' THEN 'failed' ELSE 'cancelled' END;
    END IF;
    NEW.updated_at := now();
    RETURN NEW;
END $$;

CREATE TRIGGER guard_run_state BEFORE UPDATE OF status, cancel_requested ON outbound_call_runs
    FOR EACH ROW EXECUTE FUNCTION guard_run_state();
