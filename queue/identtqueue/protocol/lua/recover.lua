-- recover: running -> pending (head) / failed / cancelled, for all tasks of a lost worker. Tasks
-- whose job has held tasks go to the head of these. A task that has lost two workers, or one less
-- than the limit if that is fewer, becomes a suspect. Only a task that ran alone is buried: of
-- several it would not be certain which one is to blame
-- KEYS  1 inflight:<worker>  2 workers  3 info  4 draining  5 pending  6 wake  7 dead  8 stats
--       9 blocked  10 tombstones  11 suspects
-- ARGV  1 task prefix  2 unique prefix  3 worker  4 doorbell  5 "waive" (its death is certain) or
--       "expired" (its lease must have run out)  6 losses allowed before a task is buried
--       7 encoded failure of a buried task  8 encoded reason of a cancelled one
--       9 how long dead letters are kept (ms)  10 held prefix  11 running prefix
-- Returns {"unknown"} | {"alive"} | {"ok" | "more" (call again for the rest), then pairs: id,
--         "pending" | "suspect" (which is pending, too) | "failed" | "cancelled"}
-- include lib/now.lua
-- include lib/slots.lua
-- include lib/put_back.lua
-- include lib/end_cancelled.lua
-- include lib/tombstones.lua
local now, worker = now_ms(), ARGV[3]
local lease = redis.call('ZSCORE', KEYS[2], worker)
if not lease then return {'unknown'} end
if ARGV[5] ~= 'waive' and tonumber(lease) > now then return {'alive'} end

-- A long list is taken part by part, from its end. The first part sets the lease to 0, so that the
-- worker gets the answer `lost` from then on.
local length, part = redis.call('LLEN', KEYS[1]), 100
local alone, most = length == 1 and tonumber(lease) > 0, tonumber(ARGV[6])
local ids = redis.call('LRANGE', KEYS[1], -part, -1)
local before, requeued, reply = living(KEYS[5], KEYS[10], ARGV[1]), 0, {'ok'}
redis.call('LTRIM', KEYS[1], 0, -part - 1)
redis.call('ZREM', KEYS[2], worker)
if length > part then
  reply[1] = 'more'
  redis.call('ZADD', KEYS[2], 0, worker)
else
  redis.call('HDEL', KEYS[3], worker)
  redis.call('SREM', KEYS[4], worker)
end

local suspects = {}
local function fate(id, key)
  local losses = redis.call('HINCRBY', key, 'losses', 1)
  local task = redis.call('HMGET', key, 'cancel', 'ttl', 'slot', 'function', 'suspect')
  local guilty = alone and task[5] and losses >= most
  local suspect = not task[1] and not guilty and (task[5] or losses >= math.min(2, most - 1))
  if task[3] and not suspect then vacate(ARGV[11], KEYS[9], KEYS[6], key, id, task[3]) end
  if task[1] then
    end_cancelled(key, id, ARGV[8], now, task[2], ARGV[2], KEYS[8])
    return 'cancelled'
  end
  if guilty then
    redis.call('ZADD', KEYS[7], now, id)
    end_task(key, id, 'failed', 'error', ARGV[7], now, ARGV[9], ARGV[2])
    redis.call('HINCRBY', KEYS[8], 'failed', 1)
    return 'failed'
  end
  if suspect then
    table.insert(suspects, 1, id)
    redis.call('HSET', key, 'suspect', 1)
  else
    put_back(KEYS[5], ARGV[10], KEYS[9], key, id, task[4])
  end
  redis.call('HSET', key, 'state', 'pending', 'pending_since', now)
  redis.call('HDEL', key, 'owner')  -- so that the worker's late release gets `lost`, not `done`
  requeued = requeued + 1
  return suspect and 'suspect' or 'pending'
end

for i = #ids, 1, -1 do  -- from the last, so that LPUSH keeps their order
  local key = ARGV[1] .. ids[i]
  if redis.call('HGET', key, 'state') == 'running' then
    reply[#reply + 1] = ids[i]
    reply[#reply + 1] = fate(ids[i], key)
  end
end
for _, id in ipairs(suspects) do redis.call('RPUSH', KEYS[11], id) end
if requeued > 0 then
  redis.call('HINCRBY', KEYS[8], 'recovered', requeued)
  ring(KEYS[5], KEYS[6], ARGV[4], before)
end
return reply
