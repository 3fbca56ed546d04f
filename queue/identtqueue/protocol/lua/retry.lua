-- retry: running -> scheduled, after a failure; -> cancelled, if that was asked for. A suspect that
-- fails has not killed its worker, so it is no longer a suspect and its losses are forgiven
-- KEYS  1 inflight:<worker>  2 scheduled  3 stats  4 wake  5 blocked  6 ended  7 meta  8 info
--       9 packed_tasks
-- ARGV  1 task_prefix  2 worker  3 id  4 attempt  5 delay_ms  6 failure: encoded
--       7 running_prefix  8 unique_prefix  9 cancelled_error
-- Returns "ok" | "done" (a repeat) | "lost" | "missing"
-- include lib/now.lua
-- include lib/pending.lua
-- include lib/own.lua
-- include lib/slots.lua
-- include lib/end_cancelled.lua
-- include lib/history.lua
local at = {unique_prefix = unique_prefix, stats = stats, ended = ended, meta = meta,
  task_prefix = task_prefix, packed_tasks = packed_tasks}
local key = task_prefix .. id
local ack, task = own(at, id, worker, attempt, 'scheduled', true)
if ack == 'lost' and redis.call('HGET', key, 'retried') == attempt then
  return 'done'  -- the task has been promoted since, and perhaps claimed
end
if ack ~= 'ok' then return ack end
local now = now_ms()
redis.call('LREM', inflight, 1, id)
if task.slot then vacate(running_prefix, blocked, wake, key, id, task.slot) end
if redis.call('HEXISTS', key, 'cancel') == 1 then
  end_cancelled(at, key, id, cancelled_error, now, task.ttl)
  return ack
end
add_attempt(key, worker, pod_of(info, worker), 'failed', now, failure)
redis.call('ZADD', scheduled, now + tonumber(delay_ms), id)
redis.call('HSET', key, 'state', 'scheduled', 'error', failure, 'retried', attempt)
redis.call('HINCRBY', key, 'failures', 1)
if redis.call('HDEL', key, 'suspect') == 1 then redis.call('HDEL', key, 'losses') end
redis.call('HINCRBY', stats, 'retried', 1)
redis.call('HINCRBY', stats, 'run_ms', math.max(0, now - tonumber(task.started_at)))
if redis.call('ZRANK', scheduled, id) == 0 then ring_for_schedule(wake) end
return ack
