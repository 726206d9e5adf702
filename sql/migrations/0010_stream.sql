-- Which calls ended a moment ago: streams of events ask every second while somebody listens, so that a call that
-- was refused between two looks is told too. An update that ends an attempt changes indexes anyway; no other update
-- touches these columns.
CREATE INDEX outbound_call_attempts_ended ON outbound_call_attempts (business_id, ended_at) WHERE ended_at IS NOT NULL;
