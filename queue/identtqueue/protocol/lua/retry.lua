-- retry: running -> scheduled, after a failure; -> cancelled, if that was asked for. A suspect that
-- fails has not killed its worker, so it is no longer a suspect and its losses are forgiven
-- KEYS  1 inflight:<worker>  2 scheduled  3 stats  4 wake  5 blocked
-- ARGV  1 task prefix  2 worker  3 id  4 attempt  5 delay (ms)  6 encoded failure
--       7 running prefix  8 unique prefix  9 encoded reason of a cancelled task
-- Returns "ok" | "done" (a repeat) | "lost" | "missing"
-- include lib/now.lua
-- include lib/owned.lua
-- include lib/slots.lua
-- include lib/end_cancelled.lua
local id, key = ARGV[3], ARGV[1] .. ARGV[3]
local ack, task = owned(key, ARGV[2], ARGV[4], 'scheduled', true)
if ack == 'lost' and redis.call('HGET', key, 'retried') == ARGV[4] then
  return 'done'  -- the task has been promoted since, and perhaps claimed
end
if ack ~= 'ok' then return ack end
local now = now_ms()
redis.call('LREM', KEYS[1], 1, id)
if task[8] then vacate(ARGV[7], KEYS[5], KEYS[4], key, id, task[8]) end
if redis.call('HEXISTS', key, 'cancel') == 1 then
  end_cancelled(key, id, ARGV[9], now, task[5], ARGV[8], KEYS[3])
  return ack
end
redis.call('ZADD', KEYS[2], now + tonumber(ARGV[5]), id)
redis.call('HSET', key, 'state', 'scheduled', 'error', ARGV[6], 'retried', ARGV[4])
redis.call('HINCRBY', key, 'failures', 1)
if redis.call('HDEL', key, 'suspect') == 1 then redis.call('HDEL', key, 'losses') end
redis.call('HINCRBY', KEYS[3], 'retried', 1)
redis.call('HINCRBY', KEYS[3], 'run_ms', math.max(0, now - tonumber(task[4])))
if redis.call('ZRANK', KEYS[2], id) == 0 then ring_for_schedule(KEYS[4]) end
return ack
