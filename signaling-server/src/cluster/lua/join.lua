load()
expire()
local list = in_order()
local abandoned = {}
for _, m in ipairs(list) do
    if m.away and now - m.away >= a.hold then
        abandoned[#abandoned + 1] = m
    end
end
table.sort(abandoned, function(x, y) return x.away < y.away end)
local capacity = tonumber(redis.call('HGET', room_key, 'capacity'))
if #list == 0 then
    capacity = nil
elseif a.create == true and #abandoned == #list then
    for _, m in ipairs(abandoned) do
        remove(m, 'lost', 'lost')
    end
    capacity = nil
elseif a.create ~= true and #list >= capacity and #abandoned > 0 then
    remove(abandoned[1], 'lost', 'lost')
end
list = in_order()
if capacity and a.create == true then
    return finish({ error = 'room-taken' })
end
if not capacity then
    if a.create == false then
        return finish({ error = 'no-such-room' })
    elseif not a.may_create then
        return finish({ error = 'may-not-create' })
    end
    capacity = a.capacity
    redis.call('DEL', room_key)
    redis.call('HSET', room_key, 'epoch', string.format('%d%s', now, a.id), 'capacity', capacity,
        'open', a.create == nil and 1 or 0, 'order', 0, 'minute', now, 'joins', 0)
end
if #list >= capacity then
    return finish({ error = 'room-full', capacity = capacity })
end
if now - tonumber(redis.call('HGET', room_key, 'minute')) >= 60000 then
    redis.call('HSET', room_key, 'minute', now, 'joins', 0)
end
if redis.call('HINCRBY', room_key, 'joins', 1) > a.joins_per_minute then
    return finish({ error = 'rate-limited' })
end
if members[a.id] then
    return finish({ error = 'internal' })
end
local peers = {}
for i, m in ipairs(list) do
    peers[i] = { id = m.id, name = m.name, plain = m.plain, away = m.away ~= nil }
end
if a.joined then
    tell(a.joined, nil)
end
members[a.id] = {
    id = a.id, order = redis.call('HINCRBY', room_key, 'order', 1), node = a.node, session = a.session,
    secret = a.secret, name = a.name, plain = a.plain, exp = now + a.lease, received = 0, first = 1, next = 1,
    bytes = 0,
}
changed[a.id] = true
local open = redis.call('HGET', room_key, 'open') == '1'
return finish({ peers = #peers > 0 and peers or nil, capacity = capacity, open = open })
