-- include lib/end_one.lua
-- include lib/defaults.lua
-- Ends a task that was cancelled, or that expired before it started. `at` names the keys.
local function end_cancelled(at, key, id, reason, now, ttl)
  end_one(at, key, id, 'cancelled', 'error', reason, now, ttl or DEFAULT_TTL)
  redis.call('HINCRBY', at.stats, 'cancelled', 1)
end
