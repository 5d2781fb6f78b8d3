load()
expire()
local me = members[a.id]
if not me or not me.secret or me.secret ~= a.secret then
    return finish({ error = 'unknown' })
end
if a.ack then
    if a.ack + 1 < me.first then
        return finish({ error = 'gone' })
    elseif a.ack >= me.next then
        return finish({ error = 'bad-message' })
    end
    trim(me, a.ack)
end
if me.session ~= a.session then
    send_out(me, 'moved')
    me.node, me.session = a.node, a.session
end
me.exp = now + a.lease
changed[me.id] = true
set_away(me, false)
-- What came by that is for others; what is for this one follows from the beginning.
read(me, me.first - 1)
local open = redis.call('HGET', room_key, 'open') == '1'
return finish({ received = me.received, first = me.first, name = me.name, open = open,
    capacity = tonumber(redis.call('HGET', room_key, 'capacity')) })
