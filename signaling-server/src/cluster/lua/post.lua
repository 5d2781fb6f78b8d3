if a.until_ and now > a.until_ then
    -- Its sender was told that it did not get through.
    return cjson.encode({ error = 'late', now = now })
end
load()
local me = members[a.from]
if not me or me.session ~= a.session then
    return finish({ error = 'gone' })
end
local waits = redis.call('HMGET', room_key, 'awaited', 'awaited_until')
if waits[1] and now < tonumber(waits[2]) then
    return finish({ error = 'gone' })
end
if a.seq then
    if a.seq <= me.received then
        return finish({})
    end
    me.received = a.seq
    changed[me.id] = true
end
if a.to == a.from and a.echo then
    push(me, frame)
elseif a.to then
    local m = members[a.to]
    if not m then
        return finish({ error = 'no-such-peer' })
    elseif m.plain and a.joined_only then
        return finish({ error = 'no-such-peer' })
    end
    push(m, frame)
else
    for _, m in ipairs(in_order()) do
        if m.id ~= a.from and members[m.id] and not (m.plain and a.joined_only) then
            push(m, frame)
        end
    end
end
return finish({})
