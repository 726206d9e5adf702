-- Recordings: one row for each recorded call, from the call's end on. Fetching is a lease of its own kind, apart
-- from that of runs: nothing here ever waits for dialing, nor dialing for it.
--
-- Order of locks: attempts (key share, by the foreign key), then recordings. Claims lock recordings with SKIP
-- LOCKED alone, under an advisory lock of the business that nobody waits for; so no two statements wait in a ring.

CREATE TABLE recording_runs (
    id                 bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    business_id        bigint NOT NULL,
    run_id             bigint NOT NULL,
    job_id             bigint NOT NULL,
    attempt_id         uuid NOT NULL REFERENCES outbound_call_attempts (id),
    account_sid        text NOT NULL,
    -- Files are named after it: what is not letters and digits cannot be a path.
    call_sid           text NOT NULL UNIQUE CHECK (call_sid ~ '^CA[0-9A-Za-z]{1,64}$'),
    -- Null until the carrier has named it: by its callback or, should that be lost, in its list.
    recording_sid      text UNIQUE CHECK (recording_sid ~ '^RE[0-9A-Za-z]{1,64}$'),
    status             text NOT NULL DEFAULT 'queued'
        CHECK (status IN ('queued', 'running', 'completed', 'failed', 'cancelled')),
    duration_seconds   integer CHECK (duration_seconds >= 0),
    channels           integer CHECK (channels >= 1),
    -- Where it lies, below the store's root; fixed by the first claim.
    file_name          text CHECK (file_name ~ '^[0-9]+/[0-9A-Za-z]{1,2}/CA[0-9A-Za-z]{1,64}\.(mp3|wav)$'),
    content_type       text,
    bytes              bigint CHECK (bytes > 0),
    sha256             text CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    -- Tries that failed, and looks that showed nothing yet.
    retry_count        integer NOT NULL DEFAULT 0 CHECK (retry_count >= 0),
    -- Not to be claimed before; null: at once, or without a SID when the callback has been awaited long enough.
    not_before         timestamptz,
    -- Why not, in a word for programs and a sentence for people: of the last try, or of the end.
    error_code         text CHECK (error_code ~ '^[a-z_]+$'),
    error_message      text CHECK (length(error_message) <= 200),
    locked_by_worker   uuid,
    lease_epoch        bigint NOT NULL DEFAULT 0,
    last_heartbeat_at  timestamptz,
    claimed_at         timestamptz,
    created_at         timestamptz NOT NULL DEFAULT now(),
    completed_at       timestamptz,
    -- When our file, and when the carrier's, was deleted. The next try to do so is not before tidy_at.
    deleted_at         timestamptz,
    carrier_deleted_at timestamptz,
    tidy_at            timestamptz,
    CHECK ((locked_by_worker IS NOT NULL) = (status = 'running')),
    CHECK ((locked_by_worker IS NULL) = (last_heartbeat_at IS NULL)),
    CHECK ((completed_at IS NOT NULL) = (status = 'completed')),
    CHECK (deleted_at IS NULL OR status = 'completed'),
    CHECK (carrier_deleted_at IS NULL OR status = 'completed'),
    -- A file is known exactly while it is there and whole.
    CHECK ((status = 'completed' AND deleted_at IS NULL) = (sha256 IS NOT NULL)),
    CHECK ((sha256 IS NULL) = (bytes IS NULL) AND (sha256 IS NULL) = (content_type IS NULL)),
    CHECK (sha256 IS NULL OR (file_name IS NOT NULL AND recording_sid IS NOT NULL)),
    CHECK (status <> 'failed' OR (error_code IS NOT NULL AND error_message IS NOT NULL))
) WITH (fillfactor = 70);

CREATE INDEX recording_runs_claim ON recording_runs (business_id, coalesce(not_before, created_at), id)
    WHERE status = 'queued';
CREATE INDEX recording_runs_running ON recording_runs (business_id) WHERE status = 'running';
CREATE INDEX recording_runs_of_business ON recording_runs (business_id, id);
CREATE INDEX recording_runs_of_run ON recording_runs (run_id, id);
CREATE INDEX recording_runs_of_attempt ON recording_runs (attempt_id);
CREATE INDEX recording_runs_to_expire ON recording_runs (completed_at)
    WHERE deleted_at IS NULL AND completed_at IS NOT NULL;
CREATE INDEX recording_runs_at_carrier ON recording_runs (completed_at)
    WHERE carrier_deleted_at IS NULL AND completed_at IS NOT NULL;

CREATE TABLE recording_moves (
    from_status text NOT NULL,
    to_status   text NOT NULL,
    meaning     text NOT NULL,
    PRIMARY KEY (from_status, to_status)
);
INSERT INTO recording_moves VALUES
    ('queued',    'running',   'claimed by a daemon'),
    ('queued',    'failed',    'the carrier says that there is none'),
    ('queued',    'cancelled', 'not wanted any more'),
    ('running',   'queued',    'a try that failed and may be repeated, or given back by a daemon that drains'),
    ('running',   'completed', 'whole, hashed and safe'),
    ('running',   'failed',    'no other try will help'),
    ('running',   'cancelled', 'not wanted any more'),
    ('failed',    'queued',    'somebody asked for another try, or it turned up after all'),
    ('cancelled', 'queued',    'somebody asked for another try');

-- Whoever writes, by hand too: only these moves, and nobody holds what is not running. A holder's later writes
-- name status and epoch, and find no row.
CREATE FUNCTION guard_recording_state() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM recording_moves m WHERE m.from_status = OLD.status AND m.to_status = NEW.status) THEN
        RAISE EXCEPTION 'recording % cannot go from % to %', OLD.id, OLD.status, NEW.status
            USING ERRCODE = 'check_violation', CONSTRAINT = 'recording_moves';
    END IF;
    IF NEW.status <> 'running' THEN
        NEW.locked_by_worker := NULL;
        NEW.last_heartbeat_at := NULL;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER guard_recording_state BEFORE UPDATE OF status ON recording_runs
    FOR EACH ROW WHEN (OLD.status IS DISTINCT FROM NEW.status) EXECUTE FUNCTION guard_recording_state();

-- An answered call of a run that records has ended: its recording is expected from now on, whether or not a
-- callback ever tells of it. A SID that was a guess may be named by two attempts; the later knows better.
CREATE FUNCTION expect_recording() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO recording_runs AS x (business_id, run_id, job_id, attempt_id, account_sid, call_sid)
    SELECT NEW.business_id, NEW.run_id, NEW.job_id, NEW.id, NEW.account_sid, NEW.call_sid
    FROM outbound_call_run_settings s WHERE s.run_id = NEW.run_id AND s.record
    ON CONFLICT (call_sid) DO UPDATE
    SET business_id = excluded.business_id, run_id = excluded.run_id, job_id = excluded.job_id,
        attempt_id = excluded.attempt_id
    WHERE x.attempt_id <> excluded.attempt_id AND x.file_name IS NULL;
    RETURN NULL;
END $$;
CREATE TRIGGER expect_recording AFTER UPDATE OF state ON outbound_call_attempts
    FOR EACH ROW WHEN (OLD.state <> 'ended' AND NEW.state = 'ended' AND NEW.disposition IN ('answered', 'machine')
                       AND NEW.call_sid ~ '^CA[0-9A-Za-z]{1,64}$')
    EXECUTE FUNCTION expect_recording();

-- What the carrier says of a recording, by callback or in its list; any number of times, in any order.
-- p_status: completed, absent or failed; others (in-progress, processing) are no news.
-- result:
--   taken    it was news
--   repeat   we had it, or knew better
--   another  a second recording of the call: not fetched, somebody should know
--   orphan   no such attempt; kept aside
CREATE FUNCTION take_recording(
    p_attempt uuid, p_call_sid text, p_recording_sid text, p_status text, p_duration integer, p_channels integer
) RETURNS TABLE (
    result text, business_id bigint, run_id bigint, job_id bigint, recording_id bigint, status text
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    a        outbound_call_attempts;
    r        recording_runs;
    v_new    boolean;
    v_result text := 'repeat';
BEGIN
    SELECT * INTO a FROM outbound_call_attempts x WHERE x.id = p_attempt FOR KEY SHARE;
    IF NOT FOUND THEN
        INSERT INTO orphan_callbacks (attempt_id, call_sid, status)
        VALUES (p_attempt, p_call_sid, 'recording ' || p_status) ON CONFLICT DO NOTHING;
        RETURN QUERY SELECT 'orphan', NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint, NULL;
        RETURN;
    END IF;
    IF p_status NOT IN ('completed', 'absent', 'failed') THEN
        RETURN QUERY SELECT 'repeat', a.business_id, a.run_id, a.job_id, NULL::bigint, NULL;
        RETURN;
    END IF;
    INSERT INTO recording_runs (business_id, run_id, job_id, attempt_id, account_sid, call_sid)
    VALUES (a.business_id, a.run_id, a.job_id, a.id, a.account_sid, p_call_sid)
    ON CONFLICT DO NOTHING;
    SELECT * INTO r FROM recording_runs x WHERE x.call_sid = p_call_sid FOR NO KEY UPDATE;
    IF r.recording_sid <> p_recording_sid
       OR EXISTS (SELECT FROM recording_runs x WHERE x.recording_sid = p_recording_sid AND x.id <> r.id) THEN
        v_result := 'another';
    ELSIF p_status <> 'completed' THEN
        -- What has been named cannot be taken back; and a daemon that is at work finds out by itself.
        IF r.status = 'queued' AND r.recording_sid IS NULL THEN
            UPDATE recording_runs x
            SET status = 'failed', recording_sid = p_recording_sid,
                error_code = CASE p_status WHEN 'absent' THEN 'absent' ELSE 'carrier_failed' END,
                error_message = CASE p_status WHEN 'absent' THEN 'the carrier made no recording of this call'
                                              ELSE 'the carrier could not make the recording' END
            WHERE x.id = r.id;
            v_result := 'taken';
        END IF;
    ELSIF r.recording_sid IS NULL OR r.error_code IN ('absent', 'carrier_failed') THEN
        IF r.status <> 'completed' THEN
            UPDATE recording_runs x
            SET recording_sid = p_recording_sid,
                status = CASE WHEN x.status = 'failed' THEN 'queued' ELSE x.status END,
                duration_seconds = p_duration, channels = p_channels,
                retry_count = 0, not_before = NULL, error_code = NULL, error_message = NULL,
                -- Signed and named by us: a better witness than a guess from the list of calls.
                business_id = CASE WHEN x.file_name IS NULL THEN a.business_id ELSE x.business_id END,
                run_id = a.run_id, job_id = a.job_id, attempt_id = a.id
            WHERE x.id = r.id;
            v_result := 'taken';
        END IF;
    END IF;
    RETURN QUERY SELECT v_result, x.business_id, x.run_id, x.job_id, x.id, x.status
                 FROM recording_runs x WHERE x.id = r.id;
END $$;

-- Take recordings to fetch: p_count at most, and never more than p_limit of one business at once over all daemons.
-- Two claims of one business come one after the other (the advisory lock); one that finds it taken goes on to the
-- next business, and looks again later. What a daemon that went away has left comes first and needs no new place.
-- Fair: of each business first the one that would be its first, then those that would be its second, and so on.
CREATE FUNCTION claim_recordings(
    p_worker uuid, p_count integer, p_limit integer, p_format text, p_lease_seconds double precision,
    p_silent_seconds double precision
) RETURNS TABLE (
    recording_id bigint, business_id bigint, run_id bigint, job_id bigint, attempt_id uuid, account_sid text,
    call_sid text, recording_sid text, file_name text, lease_epoch bigint, retry_count integer, taken_over boolean,
    age_seconds double precision
) LANGUAGE plpgsql
-- Along the indexes, whatever the statistics say just now: an import of a hundred thousand must not be read.
SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
#variable_conflict use_column
DECLARE
    v_lapsed timestamptz := now() - make_interval(secs => p_lease_seconds);
    v_silent interval := make_interval(secs => p_silent_seconds);
    b        record;
    v_live   integer;
    v_all    integer;
    v_left   bigint[];
    v_due    bigint[];
BEGIN
    -- Right after a start of Postgres every heartbeat is old: holders get the time to beat.
    IF pg_postmaster_start_time() > v_lapsed THEN
        v_lapsed := '-infinity';
    END IF;
    FOR b IN
        WITH RECURSIVE waiting AS (
            -- From business to business along the index, however many recordings each has waiting.
            (SELECT r.business_id FROM recording_runs r WHERE r.status = 'queued'
             ORDER BY r.business_id, coalesce(r.not_before, r.created_at) LIMIT 1)
            UNION ALL
            SELECT (SELECT r.business_id FROM recording_runs r
                    WHERE r.status = 'queued' AND r.business_id > w.business_id
                    ORDER BY r.business_id, coalesce(r.not_before, r.created_at) LIMIT 1)
            FROM waiting w WHERE w.business_id IS NOT NULL
        ), held AS (
            SELECT r.business_id, count(*) FILTER (WHERE r.last_heartbeat_at >= v_lapsed)::integer AS live,
                   count(*) FILTER (WHERE r.last_heartbeat_at < v_lapsed)::integer AS lapsed
            FROM recording_runs r WHERE r.status = 'running' GROUP BY r.business_id
        ), known AS (
            SELECT business_id, coalesce(h.live, 0) AS live, coalesce(h.lapsed, 0) AS lapsed
            FROM (SELECT w.business_id FROM waiting w WHERE w.business_id IS NOT NULL) w
            FULL JOIN held h USING (business_id)
        ), ranked AS (
            SELECT k.business_id, n.place FROM known k
            CROSS JOIN LATERAL (
                SELECT k.live + row_number() OVER (ORDER BY d.due_at) AS place FROM (
                    (SELECT '-infinity'::timestamptz AS due_at FROM generate_series(1, k.lapsed))
                    UNION ALL
                    (SELECT coalesce(r.not_before, r.created_at) FROM recording_runs r
                     WHERE r.status = 'queued' AND r.business_id = k.business_id
                       AND (CASE WHEN r.not_before IS NULL AND r.recording_sid IS NULL THEN r.created_at + v_silent
                                 ELSE coalesce(r.not_before, r.created_at) END) <= now()
                     ORDER BY coalesce(r.not_before, r.created_at), r.id
                     LIMIT greatest(p_limit - k.live - k.lapsed, 0))
                ) d LIMIT greatest(p_limit - k.live, 0)
            ) n
            ORDER BY n.place, random() LIMIT p_count
        )
        SELECT k.business_id, count(*)::integer AS wanted FROM ranked k GROUP BY k.business_id ORDER BY min(k.place)
    LOOP
        CONTINUE WHEN NOT pg_try_advisory_xact_lock(hashtextextended('dialer:recordings:' || b.business_id, 0));
        SELECT count(*) FILTER (WHERE r.last_heartbeat_at >= v_lapsed), count(*) INTO v_live, v_all
        FROM recording_runs r WHERE r.status = 'running' AND r.business_id = b.business_id;
        v_left := ARRAY(
            SELECT r.id FROM recording_runs r
            WHERE r.status = 'running' AND r.business_id = b.business_id AND r.last_heartbeat_at < v_lapsed
            LIMIT greatest(least(b.wanted, p_limit - v_live), 0) FOR NO KEY UPDATE SKIP LOCKED
        );
        v_due := ARRAY(
            SELECT r.id FROM recording_runs r
            WHERE r.status = 'queued' AND r.business_id = b.business_id
              AND (CASE WHEN r.not_before IS NULL AND r.recording_sid IS NULL THEN r.created_at + v_silent
                        ELSE coalesce(r.not_before, r.created_at) END) <= now()
            ORDER BY coalesce(r.not_before, r.created_at), r.id
            LIMIT greatest(least(b.wanted - cardinality(v_left), p_limit - v_all), 0)
            FOR NO KEY UPDATE SKIP LOCKED
        );
        RETURN QUERY
        UPDATE recording_runs r
        SET status = 'running', locked_by_worker = p_worker, lease_epoch = r.lease_epoch + 1,
            last_heartbeat_at = now(), claimed_at = now(), not_before = NULL,
            -- One that takes its daemon with it each time must come to an end, too.
            retry_count = r.retry_count + (r.id = ANY (v_left))::integer,
            file_name = coalesce(r.file_name, r.business_id || '/' || substr(r.call_sid, 3, 2) || '/' || r.call_sid
                                              || '.' || p_format)
        WHERE r.id = ANY (v_left || v_due)
        RETURNING r.id, r.business_id, r.run_id, r.job_id, r.attempt_id, r.account_sid, r.call_sid, r.recording_sid,
                  r.file_name, r.lease_epoch, r.retry_count, r.id = ANY (v_left),
                  extract(epoch FROM now() - r.created_at)::double precision;
    END LOOP;
END $$;
