load()
local missing = {}
for _, mine in ipairs(a.members) do
    local m = members[mine.id]
    if not m or m.session ~= mine.session then
        missing[#missing + 1] = mine.id
    else
        m.exp = now + a.lease
        changed[m.id] = true
        trim(m, mine.done)
        set_away(m, mine.away)
    end
end
expire()
for _, mine in ipairs(a.members) do
    local m = members[mine.id]
    if m and m.session == mine.session and m.next > mine.after + 1 then
        read(m, mine.after)
    end
end
return finish({ missing = #missing > 0 and missing or nil })
