-- remove: succeeded / cancelled -> (none), because the client has its result
-- KEYS  1 packed_tasks
-- ARGV  1 task_prefix  2 id  3 removable: the states of tasks that may be removed
-- Returns "ok" | "missing" | "stays"
-- include lib/fields_of.lua
local at = {packed_tasks = packed_tasks, task_prefix = task_prefix}
local state = fields_of(at, id, 'state')[1]
if not state then return 'missing' end
if not string.find(removable, state, 1, true) then return 'stays' end
redis.call('DEL', task_prefix .. id)
return 'ok'
