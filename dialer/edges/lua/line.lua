-- The part that turn.lua and reconcile.lua share; the loader puts it before each of them.
--
-- State of one business (all keys carry the hash tag of the business, so a cluster keeps them together):
--   KEYS[1] held     hash: slot -> "attempt|since|expires" (times in ms of Redis's clock; expires 0: confirmed),
--                    and the field 'generation': without it the hash was lost and nothing may be granted
--   KEYS[2] line     sorted set: run -> its turn; the line of runs that wait for a slot
--   KEYS[3] tickets  hash: run -> {daemon, seen, ids}; ids are attempts that exist nowhere else yet
--   KEYS[4] turns    counter that gives out places in the line
-- A grant is only a name. Postgres referees when the intent is written, so losing all of this loses no promise.

local HELD, LINE, TICKETS, TURNS = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local ask = cjson.decode(ARGV[1])
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

local function member(attempt, since, expires)
    return attempt .. '|' .. since .. '|' .. expires
end

local function read_member(text)
    local attempt, since, expires = string.match(text, '^(.-)|(%d+)|(%d+)$')
    return attempt, tonumber(since), tonumber(expires)
end

-- slot -> {attempt, since, expires} of everybody; reservations that were never confirmed in time are dropped.
local function read_held()
    local held, flat = {}, redis.call('HGETALL', HELD)
    for i = 1, #flat, 2 do
        local slot = tonumber(flat[i])
        if slot then
            local attempt, since, expires = read_member(flat[i + 1])
            if expires > 0 and expires <= now then
                redis.call('HDEL', HELD, flat[i])
            else
                held[slot] = { attempt = attempt, since = since, expires = expires }
            end
        end
    end
    return held
end

local function put(held, slot, attempt, expires)
    held[slot] = { attempt = attempt, since = now, expires = expires }
    redis.call('HSET', HELD, slot, member(attempt, now, expires))
end

local function drop(held, slot)
    held[slot] = nil
    redis.call('HDEL', HELD, slot)
end

local function leave(run)
    redis.call('ZREM', LINE, run)
    redis.call('HDEL', TICKETS, run)
end

local function stand_last(run, ticket)
    redis.call('ZADD', LINE, redis.call('INCR', TURNS), run)
    redis.call('HSET', TICKETS, run, cjson.encode(ticket))
end

-- Give free slots to the line, one a turn: whoever wants another stands last again, so that runs alternate.
-- A ticket that its waiter did not refresh lately is passed over. Slots for the asking daemon are returned;
-- others are told to look again. Returns the grants, and the daemons to tell as {run, daemon}.
local function serve(held, limit, daemon)
    local granted, tell = {}, {}
    for slot = 1, limit do
        while not held[slot] do
            local run = redis.call('ZRANGE', LINE, 0, 0)[1]
            if not run then
                return granted, tell
            end
            local text = redis.call('HGET', TICKETS, run)
            local ticket = text and cjson.decode(text)
            if not ticket or #ticket.ids == 0 or ticket.seen + ask.fresh_ms < now then
                leave(run)
            else
                local attempt = table.remove(ticket.ids, 1)
                put(held, slot, attempt, now + ask.reserve_ms)
                if #ticket.ids > 0 then
                    stand_last(run, ticket)
                else
                    leave(run)
                end
                if ticket.daemon == daemon then
                    granted[#granted + 1] = { run, attempt, slot }
                else
                    tell[#tell + 1] = { run, ticket.daemon }
                end
            end
        end
    end
    return granted, tell
end

local function say_look_again(tell)
    for _, pair in ipairs(tell) do
        redis.call('PUBLISH', ask.channel, cjson.encode({
            kind = 'handed', business_id = ask.business, run_id = tonumber(pair[1]), to = pair[2] }))
    end
end

local function keep_alive()
    for i = 1, 4 do
        redis.call('PEXPIRE', KEYS[i], ask.forget_ms)
    end
end

local function count(held)
    local n = 0
    for _ in pairs(held) do
        n = n + 1
    end
    return n
end
