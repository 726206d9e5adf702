-- Permits for create requests of one account, evenly spaced over all daemons: a bucket that holds one.
--
-- Atomic, because two daemons that read the same next moment would both use it. A repeat by the client library
-- takes a second permit that nobody uses: slower for one interval, never faster.
--
-- KEYS[1]  the moment from which the next create may be sent, in microseconds of Redis's clock
-- ARGV[1] interval between creates, microseconds   ARGV[2] how many are wanted
-- ARGV[3] how far ahead a permit may lie, microseconds
-- Returns {granted, wait}: the first of the granted permits may be used after `wait` microseconds, the others
-- an interval later each; with granted 0, ask again after `wait`.

local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local interval, wanted, horizon = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local next_at = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now)
if next_at > now + horizon then
    return { 0, next_at - now - horizon }
end
local granted = math.min(wanted, math.floor((now + horizon - next_at) / interval) + 1)
redis.call('SET', KEYS[1], string.format('%.0f', next_at + granted * interval), 'PX',
    math.ceil((next_at + granted * interval - now) / 1000) + 1000)
return { granted, next_at - now }
