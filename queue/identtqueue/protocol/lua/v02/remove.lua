-- remove: succeeded / cancelled -> (none), because the client has its result
-- KEYS  1 task:<id>
-- ARGV  1 removable: the states of tasks that may be removed
-- Returns "ok" | "missing" | "stays"
local state = redis.call('HGET', task, 'state')
if not state then return 'missing' end
if not string.find(removable, state, 1, true) then return 'stays' end
redis.call('DEL', task)
return 'ok'
