-- One turn of one daemon for one business: give back what ended, keep what is on its way, ask for more.
--
-- Atomic, because freeing a slot and handing it to the next in line must be one act: between the two, somebody
-- who is not next could take it. Safe to repeat (the client library may): a release names its exact member,
-- and an attempt that holds a slot already is granted that same slot again.
--
-- ARGV[1] JSON: business, limit, daemon, channel, reserve_ms, fresh_ms, forget_ms,
--   release  [[slot, attempt]...]  exact members to free; twice frees nothing
--   confirm  [attempt...]          their intents are committed: theirs until released
--   renew    [attempt...]          named, waiting to be committed: do not let them expire
--   taken    [[slot, attempt]...]  Postgres knows a live call in this slot: hold it for the unknown owner
--   dropped  [attempt...]          asked for earlier, not wanted any more: free what was handed to them meanwhile
--   want     [[run, [attempt...]]...]  runs that want slots, one new attempt id for each
--   leave    [run...]              runs that want none any more
-- Returns JSON {generation: bool, granted: [[run, attempt, slot]...], freed, active, waiting}.

if redis.call('HEXISTS', HELD, 'generation') == 0 then
    return cjson.encode({ generation = false })
end
local held = read_held()
local slot_of = {}
for slot, m in pairs(held) do
    slot_of[m.attempt] = slot
end

local freed = 0
for _, pair in ipairs(ask.release) do
    local slot = pair[1]
    if held[slot] and held[slot].attempt == pair[2] then
        drop(held, slot)
        slot_of[pair[2]] = nil
        freed = freed + 1
    end
end
for _, attempt in ipairs(ask.confirm) do
    local slot = slot_of[attempt]
    if slot then
        put(held, slot, attempt, 0)
    end
end
for _, attempt in ipairs(ask.renew) do
    local slot = slot_of[attempt]
    if slot and held[slot].expires > 0 then
        put(held, slot, attempt, now + ask.reserve_ms)
    end
end
for _, pair in ipairs(ask.taken) do
    local slot = pair[1]
    if not held[slot] or held[slot].attempt == pair[2] then
        put(held, slot, 'taken', 0)
    end
end

for _, attempt in ipairs(ask.dropped) do
    local slot = slot_of[attempt]
    if slot and held[slot].expires > 0 then
        drop(held, slot)
    end
end

local granted = {}
for _, run in ipairs(ask.leave) do
    leave(run)
end
for _, wish in ipairs(ask.want) do
    local run, ids = wish[1], {}
    for _, attempt in ipairs(wish[2]) do
        local slot = slot_of[attempt]
        if slot then
            granted[#granted + 1] = { run, attempt, slot }
        else
            ids[#ids + 1] = attempt
        end
    end
    if #ids == 0 then
        leave(run)
    else
        local ticket = { daemon = ask.daemon, seen = now, ids = ids }
        if redis.call('ZSCORE', LINE, run) then
            redis.call('HSET', TICKETS, run, cjson.encode(ticket))
        else
            stand_last(run, ticket)
        end
    end
end

local more, tell = serve(held, ask.limit, ask.daemon)
for _, grant in ipairs(more) do
    granted[#granted + 1] = grant
end
say_look_again(tell)
keep_alive()
local answer = { generation = true, freed = freed, active = count(held), waiting = redis.call('ZCARD', LINE) }
if #granted > 0 then
    answer.granted = granted
end
return cjson.encode(answer)
