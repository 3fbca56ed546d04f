-- Begins a task's next attempt. Returns what its worker has to know: id, number, failures, losses,
-- enqueued at, ms waited, payload.
local function begin(key, id, worker, expiring, task, now, news)
  -- A hash that was written by hand may lack its times. An error here would lose the popped ids.
  local number, enqueued = tonumber(task[2] or 0) + 1, task[5] or now
  local wait = math.max(0, now - tonumber(task[6] or enqueued))  -- Redis' clock may step back
  if task[2] then
    -- include lib/fence.lua
    fence(id, key, now, news)
  end
  redis.call('HSET', key, 'state', 'running', 'attempt', number, 'owner', worker,
    'started_at', now)
  if task[8] then redis.call('ZREM', expiring, id) end
  if task[13] then redis.call('HDEL', key, 'held') end
  return {id, number, task[3] or 0, task[4] or 0, enqueued, wait, task[7] or ''}
end

local function count_claims(stats, claimed, waited)
  redis.call('HINCRBY', stats, 'claimed', claimed)
  redis.call('HINCRBY', stats, 'wait_ms', waited)
end
