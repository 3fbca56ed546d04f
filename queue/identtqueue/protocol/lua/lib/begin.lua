-- Begins a task's next attempt, and returns its number. `attempt` is the number of the last one.
local function begin(key, id, worker, attempt, now, news)
  if attempt then
    -- include lib/fence.lua
    fence(id, key, now, news)
  end
  local number = tonumber(attempt or 0) + 1
  redis.call('HSET', key, 'state', 'running', 'attempt', number, 'owner', worker,
    'started_at', now)
  return number
end

local function count_claims(stats, claimed, waited)
  redis.call('HINCRBY', stats, 'claimed', claimed)
  redis.call('HINCRBY', stats, 'wait_ms', waited)
end
