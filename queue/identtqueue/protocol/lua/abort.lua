-- abort: running -> cancelled, reported by the owner, which was asked to cancel the task
-- KEYS  1 inflight:<worker>  2 stats  3 blocked  4 wake  5 ended  6 meta
--       7 packed_tasks
-- ARGV  1 task_prefix  2 unique_prefix  3 worker  4 id  5 attempt  6 reason: encoded
--       7 running_prefix
-- Returns "ok" | "done" (a repeat) | "lost" | "missing"
-- include lib/now.lua
-- include lib/own.lua
-- include lib/slots.lua
-- include lib/end_cancelled.lua
local at = {unique_prefix = unique_prefix, stats = stats, ended = ended, meta = meta,
  task_prefix = task_prefix, packed_tasks = packed_tasks}
local key = task_prefix .. id
local ack, task = own(at, id, worker, attempt, 'cancelled')
if ack ~= 'ok' then return ack end
redis.call('LREM', inflight, 1, id)
if task.slot then vacate(running_prefix, blocked, wake, key, id, task.slot) end
end_cancelled(at, key, id, reason, now_ms(), task.ttl)
return ack
