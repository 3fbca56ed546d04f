-- include lib/end_task.lua
-- Ends a task that was cancelled, or that expired before it started.
local function end_cancelled(key, id, reason, now, ttl, unique_prefix, stats)
  end_task(key, id, 'cancelled', 'error', reason, now, ttl or 3600000, unique_prefix)
  redis.call('HINCRBY', stats, 'cancelled', 1)
end
