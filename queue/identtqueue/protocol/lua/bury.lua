-- bury: running -> failed (dead letter)
-- KEYS  1 inflight:<worker>  2 dead  3 stats  4 blocked  5 wake  6 ended  7 meta  8 info
--       9 packed_tasks
-- ARGV  1 task_prefix  2 unique_prefix  3 worker  4 id  5 attempt  6 failure: encoded
--       7 dead_ttl_ms: how long dead letters are kept  8 running_prefix
-- Returns "ok" | "done" (a repeat) | "lost" | "missing"
-- include lib/now.lua
-- include lib/own.lua
-- include lib/slots.lua
-- include lib/end_one.lua
-- include lib/history.lua
local at = {unique_prefix = unique_prefix, ended = ended, meta = meta, task_prefix = task_prefix,
  packed_tasks = packed_tasks}
local key = task_prefix .. id
local ack, task = own(at, id, worker, attempt, 'failed')
if ack ~= 'ok' then return ack end
local now = now_ms()
redis.call('LREM', inflight, 1, id)
if task.slot then vacate(running_prefix, blocked, wake, key, id, task.slot) end
add_attempt(key, worker, pod_of(info, worker), 'failed', now, failure)
redis.call('HINCRBY', key, 'failures', 1)
redis.call('ZADD', dead, now, id)
end_one(at, key, id, 'failed', 'error', failure, now, dead_ttl_ms, task)
redis.call('HINCRBY', stats, 'failed', 1)
redis.call('HINCRBY', stats, 'run_ms', math.max(0, now - tonumber(task.started_at)))
return ack
