-- abort: running -> cancelled, reported by the owner, which was asked to cancel the task
-- KEYS  1 inflight:<worker>  2 stats  3 blocked  4 wake
-- ARGV  1 task prefix  2 unique prefix  3 worker  4 id  5 attempt  6 encoded reason
--       7 running prefix
-- Returns "ok" | "done" (a repeat) | "lost" | "missing"
-- include lib/now.lua
-- include lib/owned.lua
-- include lib/slots.lua
-- include lib/end_cancelled.lua
local id, key = ARGV[4], ARGV[1] .. ARGV[4]
local ack, task = owned(key, ARGV[3], ARGV[5], 'cancelled')
if ack ~= 'ok' then return ack end
redis.call('LREM', KEYS[1], 1, id)
if task[8] then vacate(ARGV[7], KEYS[3], KEYS[4], key, id, task[8]) end
end_cancelled(key, id, ARGV[6], now_ms(), task[5], ARGV[2], KEYS[2])
return ack
