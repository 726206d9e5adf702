-- Recordings, as control takes them in, shows and hands them out. How they are fetched is in recordings.sql.

-- name: take_recording_of_call
-- What a signed callback says of a recording. No row: the call is not this attempt's. One that turned up after the
-- attempt's end is, unless it is another's by now.
-- $1 attempt  $2 call SID  $3 recording SID  $4 status  $5 duration, seconds  $6 channels
SELECT t.result, t.business_id, t.run_id, t.job_id, t.status
FROM outbound_call_attempts a
CROSS JOIN LATERAL take_recording(a.id, $2::text, $3::text, $4::text, $5::integer, $6::integer) t
WHERE a.id = $1::uuid
  AND (a.call_sid = $2::text
       OR (a.late_call_sid = $2::text
           AND NOT EXISTS (SELECT FROM outbound_call_attempts x WHERE x.call_sid = $2::text)));

-- name: recording_file
-- The recording of a call: whose it is, where it lies, and when to ask again for one that is on its way. A call that
-- is recorded and has not ended yet has no row so far.  $1 call SID
SELECT business_id, status, error_code, deleted_at IS NOT NULL AS deleted, file_name, content_type, bytes, sha256,
       extract(epoch FROM not_before - now())::double precision AS due_in_seconds
FROM recording_runs WHERE call_sid = $1
UNION ALL
SELECT a.business_id, 'queued', NULL, false, NULL, NULL, NULL, NULL, NULL
FROM outbound_call_attempts a JOIN outbound_call_run_settings s ON s.run_id = a.run_id
WHERE a.call_sid = $1 AND a.ended_at IS NULL AND s.record
  AND NOT EXISTS (SELECT FROM recording_runs r WHERE r.call_sid = $1);

-- name: show_recording
-- $1 call SID
SELECT r.id AS recording_id, r.* FROM recording_runs r WHERE r.call_sid = $1;

-- name: page_of_recordings
-- Every business's, newest first.  $1 before this id, or null  $2 how many  $3 statuses
SELECT r.id AS recording_id, r.* FROM recording_runs r
WHERE r.status = ANY ($3::text[]) AND r.id < coalesce($1, 9223372036854775807) ORDER BY r.id DESC LIMIT $2;

-- name: page_of_recordings_of_business
-- $1 before this id, or null  $2 how many  $3 statuses  $4 business
SELECT r.id AS recording_id, r.* FROM recording_runs r
WHERE r.business_id = $4 AND r.status = ANY ($3::text[]) AND r.id < coalesce($1, 9223372036854775807)
ORDER BY r.id DESC LIMIT $2;

-- name: page_of_recordings_of_run
-- $1 before this id, or null  $2 how many  $3 statuses  $4 run
SELECT r.id AS recording_id, r.* FROM recording_runs r
WHERE r.run_id = $4 AND r.status = ANY ($3::text[]) AND r.id < coalesce($1, 9223372036854775807)
ORDER BY r.id DESC LIMIT $2;

-- name: retry_recording
-- Fetch it anew. No row: it has not failed.  $1 call SID  $2 business  $3 who  $4 why
WITH retried AS (
    UPDATE recording_runs
    SET status = 'queued', retry_count = 0, not_before = NULL, error_code = NULL, error_message = NULL
    WHERE call_sid = $1 AND business_id = $2 AND status IN ('failed', 'cancelled')
    RETURNING *
), audited AS (
    INSERT INTO audit_log (business_id, actor, action, run_id, reason, details)
    SELECT business_id, $3, 'retry_recording', run_id, $4, jsonb_build_object('call_sid', call_sid) FROM retried
)
SELECT r.id AS recording_id, r.* FROM retried r;
