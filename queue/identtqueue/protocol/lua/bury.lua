-- bury: running -> failed (dead letter)
-- KEYS  1 inflight:<worker>  2 dead  3 stats  4 blocked  5 wake
-- ARGV  1 task prefix  2 unique prefix  3 worker  4 id  5 attempt  6 encoded failure
--       7 how long dead letters are kept (ms)  8 running prefix
-- Returns "ok" | "done" (a repeat) | "lost" | "missing"
-- include lib/now.lua
-- include lib/owned.lua
-- include lib/slots.lua
-- include lib/end_task.lua
local id, key = ARGV[4], ARGV[1] .. ARGV[4]
local ack, task = owned(key, ARGV[3], ARGV[5], 'failed')
if ack ~= 'ok' then return ack end
local now = now_ms()
redis.call('LREM', KEYS[1], 1, id)
if task[8] then vacate(ARGV[8], KEYS[4], KEYS[5], key, id, task[8]) end
redis.call('HINCRBY', key, 'failures', 1)
redis.call('ZADD', KEYS[2], now, id)
end_task(key, id, 'failed', 'error', ARGV[6], now, ARGV[7], ARGV[2])
redis.call('HINCRBY', KEYS[3], 'failed', 1)
redis.call('HINCRBY', KEYS[3], 'run_ms', math.max(0, now - tonumber(task[4])))
return ack
