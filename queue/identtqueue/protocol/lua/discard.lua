-- discard: failed -> (none)
-- KEYS  1 dead
-- ARGV  1 task prefix  2 id
-- Returns "ok" | "missing" | "not dead"
local key = ARGV[1] .. ARGV[2]
local state = redis.call('HGET', key, 'state')
if not state then return 'missing' end
if state ~= 'failed' then return 'not dead' end
redis.call('ZREM', KEYS[1], ARGV[2])
redis.call('DEL', key)
return 'ok'
