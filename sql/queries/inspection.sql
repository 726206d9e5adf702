-- What a person asks who looks after all of it: `dialer doctor`, `dialer slots`. They only read.

-- name: businesses_at_work
-- Those with attempts that may have a call.
SELECT DISTINCT business_id FROM outbound_call_attempts WHERE ended_at IS NULL ORDER BY business_id;
