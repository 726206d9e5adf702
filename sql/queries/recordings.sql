-- Recordings, as the daemon fetches them. What control does with them is in recordings_api.sql.

-- name: claim_recordings
-- Take recordings to fetch (migration 0009 says which).
-- $1 worker  $2 how many at most  $3 how many at once of one business  $4 format: mp3 or wav
-- $5 lease, seconds  $6 how long a callback is awaited before the carrier's list is asked, seconds
SELECT * FROM claim_recordings($1::uuid, $2::integer, $3::integer, $4::text, $5::float8, $6::float8);

-- name: renew_recordings
-- Prolong the leases of what we fetch; those not returned are lost.  $1 worker  $2 recordings  $3 their epochs
UPDATE recording_runs r SET last_heartbeat_at = now()
FROM unnest($2::bigint[], $3::bigint[]) AS u (id, lease_epoch)
WHERE r.id = u.id AND r.status = 'running' AND r.locked_by_worker = $1::uuid AND r.lease_epoch = u.lease_epoch
RETURNING r.id AS recording_id;

-- name: complete_recording
-- The file is whole and safe. Said twice (the first answer was lost) is said once. No row: the lease was lost.
-- $1 recording  $2 epoch  $3 bytes  $4 sha256  $5 content type
UPDATE recording_runs r
SET status = 'completed', bytes = $3::bigint, sha256 = $4::text, content_type = $5::text,
    completed_at = coalesce(r.completed_at, now()), error_code = NULL, error_message = NULL
WHERE r.id = $1 AND r.lease_epoch = $2
  AND (r.status = 'running' OR (r.status = 'completed' AND r.sha256 = $4::text))
RETURNING r.id AS recording_id;

-- name: release_recording
-- Another try is wanted, not before the delay; at once when the carrier has named the recording meanwhile.
-- $1 recording  $2 epoch  $3 the SID that the holder knew of  $4 delay, seconds  $5 does it count as a failed try?
-- $6 error code  $7 error message (both null: as they were)
UPDATE recording_runs r
SET status = 'queued', retry_count = r.retry_count + $5::boolean::integer,
    not_before = CASE WHEN r.recording_sid IS NOT DISTINCT FROM $3::text AND $4::float8 > 0
                      THEN now() + make_interval(secs => $4::float8) END,
    error_code = coalesce($6::text, r.error_code), error_message = coalesce($7::text, r.error_message)
WHERE r.id = $1 AND r.lease_epoch = $2 AND r.status = 'running'
RETURNING r.id AS recording_id;

-- name: fail_recording
-- No other try will help. No row: the lease was lost, or the carrier has named the recording meanwhile.
-- $1 recording  $2 epoch  $3 the SID that the holder knew of  $4 error code  $5 error message
UPDATE recording_runs r
SET status = 'failed', retry_count = r.retry_count + 1, error_code = $4::text, error_message = $5::text
WHERE r.id = $1 AND r.lease_epoch = $2 AND r.status = 'running' AND r.recording_sid IS NOT DISTINCT FROM $3::text
RETURNING r.id AS recording_id;

-- name: take_recording
-- What the carrier says of a recording (migration 0009 says what becomes of it).
-- $1 attempt  $2 call SID  $3 recording SID  $4 completed, absent or failed  $5 duration, seconds  $6 channels
SELECT * FROM take_recording($1::uuid, $2::text, $3::text, $4::text, $5::integer, $6::integer);

-- name: take_expired_recordings
-- Files that have been kept long enough; each is put off, so that of many daemons one deletes it.
-- $1 kept for, days  $2 how many  $3 the next try after, seconds
WITH due AS MATERIALIZED (
    SELECT id FROM recording_runs
    WHERE completed_at < now() - make_interval(secs => $1::float8 * 86400) AND deleted_at IS NULL
      AND coalesce(tidy_at, '-infinity') <= now()
    ORDER BY completed_at LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE recording_runs r SET tidy_at = now() + make_interval(secs => $3::float8)
FROM due WHERE r.id = due.id RETURNING r.id AS recording_id, r.business_id, r.call_sid, r.file_name;

-- name: forget_recording
-- Its file has been deleted.  $1 recording
UPDATE recording_runs r
SET deleted_at = now(), tidy_at = NULL, file_name = NULL, content_type = NULL, bytes = NULL, sha256 = NULL
WHERE r.id = $1 AND r.status = 'completed' AND r.deleted_at IS NULL RETURNING r.id AS recording_id;

-- name: take_recordings_at_carrier
-- Recordings whose copy at the carrier is not wanted any more, as ours is safe. Put off likewise.
-- $1 account  $2 how many  $3 the next try after, seconds
WITH due AS MATERIALIZED (
    SELECT id FROM recording_runs
    WHERE completed_at IS NOT NULL AND carrier_deleted_at IS NULL AND account_sid = $1::text
      AND coalesce(tidy_at, '-infinity') <= now()
    ORDER BY completed_at LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE recording_runs r SET tidy_at = now() + make_interval(secs => $3::float8)
FROM due WHERE r.id = due.id RETURNING r.id AS recording_id, r.business_id, r.call_sid, r.recording_sid;

-- name: note_carrier_deleted
-- The carrier has no copy any more.  $1 recording
UPDATE recording_runs r SET carrier_deleted_at = now(), tidy_at = NULL
WHERE r.id = $1 AND r.status = 'completed' RETURNING r.id AS recording_id;
