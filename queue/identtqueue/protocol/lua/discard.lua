-- discard: failed -> (none)
-- KEYS  1 dead  2 answer:<call>
-- ARGV  1 task prefix  2 id
-- Returns "ok" | "missing" | "not dead"
-- include lib/once.lua
local known = first_answer(KEYS[2])
if known then return known end
local key = ARGV[1] .. ARGV[2]
local state = redis.call('HGET', key, 'state')
if not state then return 'missing' end
if state ~= 'failed' then return 'not dead' end
redis.call('ZREM', KEYS[1], ARGV[2])
redis.call('DEL', key)
return remember(KEYS[2], 'ok')
