-- How much a business has going on.

-- name: counts
-- active: calls that may be live. waiting: jobs that may still be dialed, those of paused runs included. Both from
-- indexes and counters, whatever the length of the lists. No row: no such business.  $1 business
SELECT b.max_concurrent_calls AS "limit",
       (SELECT count(*) FROM outbound_call_attempts a
        WHERE a.business_id = b.id AND a.ended_at IS NULL) AS active,
       (SELECT coalesce(sum(c.queued), 0)::bigint
        FROM outbound_call_runs r JOIN outbound_call_run_counters c ON c.run_id = r.id
        WHERE r.business_id = b.id AND r.status IN ('pending', 'running', 'paused')
          AND r.sweep_to IS NULL) AS waiting
FROM businesses b WHERE b.id = $1;
