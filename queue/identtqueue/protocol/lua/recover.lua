-- recover: running -> pending (head) / failed / cancelled, for all tasks of a lost worker. Tasks
-- whose job has held tasks go to the head of these. A task that has lost two workers, or one less
-- than the limit if that is fewer, becomes a suspect. Only a task that ran alone is buried: of
-- several it would not be certain which one is to blame
-- KEYS  1 inflight:<worker>  2 workers  3 info  4 draining  5 pending  6 wake  7 dead  8 stats
--       9 blocked  10 tombstones  11 suspects  12 counted  13 ended  14 meta
--       15 packed_tasks
-- ARGV  1 task_prefix  2 unique_prefix  3 worker  4 doorbell
--       5 evidence: "waive" (its death is certain) or "expired" (its lease must have run out)
--       6 most_losses: allowed before a task is buried  7 failure: encoded, of a buried task
--       8 cancelled_error  9 dead_ttl_ms: how long dead letters are kept  10 held_prefix
--       11 running_prefix  12 minute_prefix  13 hour_prefix
-- Returns {"unknown"} | {"alive"} | {"ok" | "more" (call again for the rest), then pairs: id,
--         "pending" | "suspect" (which is pending, too) | "failed" | "cancelled"}
-- include lib/now.lua
-- include lib/pending.lua
-- include lib/slots.lua
-- include lib/put_back.lua
-- include lib/end_one.lua
-- include lib/end_cancelled.lua
-- include lib/history.lua
-- include lib/tombstones.lua
-- include lib/count_fate.lua
-- include lib/forget_worker.lua
-- include lib/unpack_task.lua
local now, lease = now_ms(), redis.call('ZSCORE', workers, worker)
if not lease then return {'unknown'} end
if evidence ~= 'waive' and tonumber(lease) > now then return {'alive'} end

-- A long list is taken part by part, from its end. The first part sets the lease to 0, so that the
-- worker gets the answer `lost` from then on.
local length, part = redis.call('LLEN', inflight), 50
local alone, most = length == 1 and tonumber(lease) > 0, tonumber(most_losses)
local ids, pod = redis.call('LRANGE', inflight, -part, -1), pod_of(info, worker)
local before, requeued, reply = living(pending, tombstones, task_prefix), 0, {'ok'}
redis.call('LTRIM', inflight, 0, -part - 1)
redis.call('ZREM', workers, worker)
if length > part then
  reply[1] = 'more'
  redis.call('ZADD', workers, 0, worker)
else
  forget_worker(info, draining, counted, worker)
end

local new_suspects, at = {}, {unique_prefix = unique_prefix, stats = stats, ended = ended,
  meta = meta, task_prefix = task_prefix, packed_tasks = packed_tasks}
local function fate(id, key)
  local losses = redis.call('HINCRBY', key, 'losses', 1)
  local cancel, ttl, slot, job, suspect = unpack(
    redis.call('HMGET', key, 'cancel', 'ttl', 'slot', 'function', 'suspect'))
  add_attempt(key, worker, pod, 'lost', now)
  local guilty = alone and suspect and losses >= most
  suspect = not cancel and not guilty and (suspect or losses >= math.min(2, most - 1))
  if slot and not suspect then vacate(running_prefix, blocked, wake, key, id, slot) end
  if cancel then
    end_cancelled(at, key, id, cancelled_error, now, ttl)
    return 'cancelled'
  end
  if guilty then
    redis.call('ZADD', dead, now, id)
    end_one(at, key, id, 'failed', 'error', failure, now, dead_ttl_ms)
    redis.call('HINCRBY', stats, 'failed', 1)
    count_fate(minute_prefix, hour_prefix, 'd:', job or '', now)
    return 'failed'
  end
  if suspect then
    table.insert(new_suspects, 1, id)
    redis.call('HSET', key, 'suspect', 1)
  else
    put_back(pending, held_prefix, blocked, key, id, job)
  end
  redis.call('HSET', key, 'state', 'pending', 'pending_since', now)
  redis.call('HDEL', key, 'owner')  -- so that the worker's late release gets `lost`, not `done`
  requeued = requeued + 1
  count_fate(minute_prefix, hour_prefix, 'r:', job or '', now)
  return suspect and 'suspect' or 'pending'
end

for i = #ids, 1, -1 do  -- from the last, so that LPUSH keeps their order
  local key = unpack_task(at, ids[i])
  if redis.call('HGET', key, 'state') == 'running' then
    reply[#reply + 1], reply[#reply + 2] = ids[i], fate(ids[i], key)
  end
end
for _, id in ipairs(new_suspects) do redis.call('RPUSH', suspects, id) end
if requeued > 0 then
  redis.call('HINCRBY', stats, 'recovered', requeued)
  ring(pending, wake, doorbell, before)
end
return reply
