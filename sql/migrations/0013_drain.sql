-- A daemon is asked from afar to drain, as by SIGTERM. It is of one process: whoever keeps daemons running starts
-- another, which has a row of its own and was asked nothing.
ALTER TABLE dialer_daemons ADD COLUMN drain_requested_at timestamptz;
-- ended_at: it has given its leases back, and others count without it. left_at: nothing of it is on the wire any more,
-- and its process ends this moment.
ALTER TABLE dialer_daemons ADD COLUMN left_at timestamptz;
