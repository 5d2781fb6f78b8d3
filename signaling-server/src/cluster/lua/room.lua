-- What every operation on a room begins with. KEYS[1] is the room, KEYS[2] its members; the streams of
-- members have names that begin with ARGV[1], in the same slot. ARGV[2] is the call, ARGV[3] a message.
local room_key, members_key, streams = KEYS[1], KEYS[2], ARGV[1]
local a = cjson.decode(ARGV[2])
local frame = ARGV[3]
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local members, changed = {}, {}
-- For this node: what its members were sent, and which of them are out. For others: whom to look at.
local told, out, woken = {}, {}, {}

local function load()
    local flat = redis.call('HGETALL', members_key)
    for i = 1, #flat, 2 do
        members[flat[i]] = cjson.decode(flat[i + 1])
    end
end

local function in_order()
    local list = {}
    for _, m in pairs(members) do
        list[#list + 1] = m
    end
    table.sort(list, function(x, y) return x.order < y.order end)
    return list
end

local function wake(node)
    woken[node] = woken[node] or { room = a.room }
    return woken[node]
end

local function send_out(m, why)
    if m.node == a.node then
        out[#out + 1] = { m.id, m.session, why }
    else
        local call = wake(m.node)
        call.out = call.out or {}
        call.out[#call.out + 1] = { m.id, m.session, why }
    end
end

local remove

local function push(m, text)
    local cost = #text + 64
    if m.bytes + cost > a.outbox then
        remove(m, 'kicked', 'slow')
        return
    end
    m.bytes = m.bytes + cost
    redis.call('XADD', streams .. m.id, string.format('%d-0', m.next), 'm', text)
    if m.node == a.node then
        told[#told + 1] = { m.id, m.next, text ~= frame and text or nil }
    else
        wake(m.node)
    end
    m.next = m.next + 1
    changed[m.id] = true
end

-- To everybody who sent `join`, but for one.
local function tell(text, but)
    for _, m in ipairs(in_order()) do
        if m.id ~= but and not m.plain and members[m.id] then
            push(m, text)
        end
    end
end

remove = function(m, reason, why)
    members[m.id] = nil
    changed[m.id] = nil
    redis.call('HDEL', members_key, m.id)
    redis.call('DEL', streams .. m.id)
    if why then
        send_out(m, why)
    end
    tell(string.format('{"type":"peer-left","peer":"%s","reason":"%s"}', m.id, reason), m.id)
end

-- Takes what a member acknowledges out of its stream.
local function trim(m, done)
    done = math.min(done, m.next - 1)
    if done < m.first then
        return
    end
    local to = string.format('%d-0', done)
    for _, entry in ipairs(redis.call('XRANGE', streams .. m.id, '-', to)) do
        m.bytes = m.bytes - #entry[2][2] - 64
    end
    m.first = done + 1
    redis.call('XTRIM', streams .. m.id, 'MINID', string.format('%d-0', m.first))
    changed[m.id] = true
end

local function set_away(m, away)
    if (m.away ~= nil) == away then
        return
    end
    changed[m.id] = true
    if away then
        m.away = now
        tell(string.format('{"type":"peer-away","peer":"%s"}', m.id), m.id)
    else
        m.away = nil
        tell(string.format('{"type":"peer-back","peer":"%s"}', m.id), m.id)
    end
end

-- Members whose node is gone are away; who is away for too long, or cannot come back, is lost. Not while
-- nodes may have had no chance to say that they are there.
local function expire()
    if not a.expire then
        return
    end
    local dead = {}
    for _, node in ipairs(a.dead or {}) do
        dead[node] = true
    end
    for _, m in ipairs(in_order()) do
        if (m.exp < now or dead[m.node]) and members[m.id] then
            if not m.secret then
                remove(m, 'lost', 'lost')
            else
                set_away(m, true)
            end
        end
        if m.away and now - m.away > a.window and members[m.id] then
            remove(m, 'lost', 'lost')
        end
    end
end

local function read(m, after)
    local from = string.format('%d-0', math.max(after + 1, m.first))
    local number = math.max(after + 1, m.first)
    for _, entry in ipairs(redis.call('XRANGE', streams .. m.id, from, '+')) do
        told[#told + 1] = { m.id, number, entry[2][2] }
        number = number + 1
    end
end

-- Writes what has changed, wakes other nodes, and answers.
local function finish(answer)
    local ttl, others, empty = a.window + 60000, {}, true
    local elsewhere = false
    for id, m in pairs(members) do
        empty = false
        if m.node ~= a.node and not m.away then
            others[m.node] = true
        end
        elsewhere = elsewhere or m.node ~= a.node
        if changed[id] then
            redis.call('HSET', members_key, id, cjson.encode(m))
            redis.call('PEXPIRE', streams .. id, ttl)
        end
    end
    if empty then
        redis.call('DEL', room_key, members_key)
    else
        redis.call('PEXPIRE', room_key, ttl)
        redis.call('PEXPIRE', members_key, ttl)
        answer.epoch = redis.call('HGET', room_key, 'epoch')
    end
    for node, call in pairs(woken) do
        redis.call('PUBLISH', a.channel .. node, cjson.encode(call))
    end
    answer.elsewhere = elsewhere
    answer.now = now
    for node in pairs(others) do
        answer.nodes = answer.nodes or {}
        answer.nodes[#answer.nodes + 1] = node
    end
    if #told > 0 then
        answer.told = told
    end
    if #out > 0 then
        answer.out = out
    end
    return cjson.encode(answer)
end
