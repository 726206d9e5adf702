-- Facts about calls: accepted from anybody. See the functions in migration 0005.

-- name: take_carrier_event
-- $1 attempt  $2 call sid  $3 source  $4 sequence  $5 status  $6 at  $7 duration  $8 answered by  $9 code  $10 message
SELECT * FROM take_carrier_event($1::uuid, $2, $3, $4, $5, $6, $7, $8, $9, $10);

-- name: take_plain_events
-- Many at once; those without a row in the answer are for take_carrier_event. See the function in migration 0012.
-- $1 attempts  $2 call sids  $3 sources  $4 sequences  $5 statuses  $6 at  $7 durations  $8 answered by  $9 codes
-- $10 messages
SELECT * FROM take_plain_events($1::uuid[], $2::text[], $3::text[], $4::integer[], $5::text[], $6::timestamptz[],
                                $7::integer[], $8::text[], $9::integer[], $10::text[]);

-- name: return_attempt
-- $1 attempt  $2 delay in seconds before it may be dialed again  $3 error code  $4 message
SELECT return_attempt($1::uuid, $2, $3, $4) AS result;

-- name: refuse_attempt
-- $1 attempt  $2 disposition  $3 error code  $4 message
SELECT refuse_attempt($1::uuid, $2, $3, $4) AS written;

-- name: doubt_attempt
-- The create may or may not have made a call: hold the slot, reconcile, never resend.
-- $1 attempt  $2 error code  $3 what happened
UPDATE outbound_call_attempts SET state = 'unknown', error_code = $2, error_message = $3
WHERE id = $1::uuid AND state = 'intent' RETURNING id AS attempt_id;

-- name: end_unknown
-- $1 attempt  $2 its last news when the look-up began
SELECT end_unknown($1::uuid, $2) AS slot;
