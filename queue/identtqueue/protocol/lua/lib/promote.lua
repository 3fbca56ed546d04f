-- include lib/pending.lua
-- include lib/tombstones.lua
-- include lib/fire.lua
-- Moves due tasks to the end of pending. ZREM comes first: it is allowed at maxmemory, and after a
-- first write Redis lets the script finish. `at` names the keys and prefixes.
local function promote(at, due, now)
  local before = living(at.pending, at.tombstones, at.task_prefix)
  local left, fired = left_out(at, due, now)
  for i, id in ipairs(due) do
    redis.call('ZREM', at.scheduled, id)
    if left[i] then
      leave_out(at, id, left[i], now)
    else
      redis.call('RPUSH', at.pending, id)
      redis.call('HSET', at.task_prefix .. id, 'state', 'pending', 'pending_since', now)
    end
  end
  for name, fires in pairs(fired) do redis.call('HSET', at.cron, 'last:' .. name, fires) end
  ring(at.pending, at.wake, at.doorbell, before)
end
