-- discard: failed -> (none)
-- KEYS  1 dead  2 answer:<call>
-- ARGV  1 task_prefix  2 id
-- Returns "ok" | "missing" | "not dead"
-- include lib/once.lua
local known = first_answer(answer)
if known then return known end
local key = task_prefix .. id
local state = redis.call('HGET', key, 'state')
if not state then return 'missing' end
if state ~= 'failed' then return 'not dead' end
redis.call('ZREM', dead, id)
redis.call('DEL', key)
return remember(answer, 'ok')
