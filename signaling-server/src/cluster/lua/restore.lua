load()
local epoch = redis.call('HGET', room_key, 'epoch')
if epoch and epoch ~= a.epoch then
    return finish({ error = 'epoch' })
end
if a.alone then
    -- What went on while Redis could not be reached went on here, if nobody else was let in.
    for _, m in ipairs(in_order()) do
        if m.node ~= a.node then
            return finish({ error = 'epoch' })
        end
    end
    for _, m in ipairs(in_order()) do
        members[m.id] = nil
        redis.call('HDEL', members_key, m.id)
        redis.call('DEL', streams .. m.id)
    end
end
if not epoch then
    redis.call('HSET', room_key, 'epoch', a.epoch, 'capacity', a.capacity, 'open', a.open and 1 or 0,
        'order', 1000000, 'minute', now, 'joins', 0)
end
-- What is said before the other nodes have brought their members back would not reach them.
local awaited = cjson.decode(redis.call('HGET', room_key, 'awaited') or '{}')
if not epoch then
    for _, node in ipairs(a.nodes) do
        awaited[node] = true
    end
    redis.call('HSET', room_key, 'awaited_until', now + a.patience)
end
awaited[a.node] = nil
if next(awaited) then
    redis.call('HSET', room_key, 'awaited', cjson.encode(awaited))
else
    redis.call('HDEL', room_key, 'awaited')
end
local missing = {}
for _, mine in ipairs(a.members) do
    local m = members[mine.id]
    if m and m.session ~= mine.session then
        missing[#missing + 1] = mine.id
    elseif not m then
        local texts = mine.texts or {}
        mine.texts = nil
        if not mine.away then
            mine.away = nil
        else
            mine.away = now
        end
        mine.node, mine.exp, mine.bytes, mine.next = a.node, now + a.lease, 0, mine.first
        redis.call('DEL', streams .. mine.id)
        members[mine.id] = mine
        for _, text in ipairs(texts) do
            redis.call('XADD', streams .. mine.id, string.format('%d-0', mine.next), 'm', text)
            mine.bytes = mine.bytes + #text + 64
            mine.next = mine.next + 1
        end
        changed[mine.id] = true
    end
end
return finish({ missing = #missing > 0 and missing or nil })
