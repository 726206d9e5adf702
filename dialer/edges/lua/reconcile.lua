-- Make the slots of one business agree with Postgres: after a loss build them anew, else mend what drifted.
--
-- Atomic, because a slot that is found free must go to the line at once, and because a rebuild must not be
-- seen half done. Safe to repeat: the second finds nothing to do.
--
-- ARGV[1] JSON: business, limit, daemon, channel, reserve_ms, fresh_ms, forget_ms, grace_ms,
--   read_ms   Redis's clock before Postgres was read: what changed since is not judged
--   live      [[slot, attempt]...]  the attempts that may have a call, by Postgres
--   generation  a name for the new generation, should there be none
-- Returns JSON {rebuilt: bool, removed, added, active, granted: [[run, attempt, slot]...]}.

local rebuilt = redis.call('HSETNX', HELD, 'generation', ask.generation) == 1
local held = read_held()
local live, removed, added = {}, 0, 0
for _, pair in ipairs(ask.live) do
    live[pair[1]] = pair[2]
end
local settled = ask.read_ms - ask.grace_ms
for slot, m in pairs(held) do
    if live[slot] ~= m.attempt and m.expires == 0 and m.since < settled then
        drop(held, slot)
        removed = removed + 1
    end
end
for slot, attempt in pairs(live) do
    if not held[slot] then
        put(held, slot, attempt, 0)
        added = added + 1
    elseif held[slot].attempt == attempt and held[slot].expires > 0 then
        put(held, slot, attempt, 0)
    end
end
local granted, tell = serve(held, ask.limit, ask.daemon)
say_look_again(tell)
keep_alive()
local answer = { rebuilt = rebuilt, removed = removed, added = added, active = count(held) }
if #granted > 0 then
    answer.granted = granted
end
return cjson.encode(answer)
