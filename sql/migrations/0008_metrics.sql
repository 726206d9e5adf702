-- What a daemon has counted since its start, for control's /metrics: the daemon itself answers no requests.
-- It is replaced as a whole every few seconds and keeps its last figures when the daemon has ended.
ALTER TABLE dialer_daemons ADD COLUMN tally jsonb;
-- The row is rewritten by every beat: it must stay a HOT update though it has grown.
ALTER TABLE dialer_daemons SET (fillfactor = 50);
