-- abort: running -> cancelled, reported by the owner, which was asked to cancel the task
-- KEYS  1 inflight:<worker>  2 stats  3 blocked  4 wake
-- ARGV  1 task_prefix  2 unique_prefix  3 worker  4 id  5 attempt  6 reason: encoded
--       7 running_prefix
-- Returns "ok" | "done" (a repeat) | "lost" | "missing"
-- include lib/now.lua
-- include lib/owned.lua
-- include lib/slots.lua
-- include lib/end_cancelled.lua
local key = task_prefix .. id
local ack, task = owned(key, worker, attempt, 'cancelled')
if ack ~= 'ok' then return ack end
redis.call('LREM', inflight, 1, id)
if task.slot then vacate(running_prefix, blocked, wake, key, id, task.slot) end
end_cancelled(key, id, reason, now_ms(), task.ttl, unique_prefix, stats)
return ack
