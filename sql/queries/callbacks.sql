-- Callbacks, beyond take_carrier_event.

-- name: twiml_of_attempt
-- What the call of this attempt is to do; null when the run left that to a URL of its own.  $1 attempt
SELECT s.twiml FROM outbound_call_attempts a JOIN outbound_call_run_settings s ON s.run_id = a.run_id
WHERE a.id = $1::uuid;
