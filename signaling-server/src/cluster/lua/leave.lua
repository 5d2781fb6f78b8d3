load()
local me = members[a.id]
if me and me.session == a.session then
    remove(me, a.reason, nil)
end
return finish({})
