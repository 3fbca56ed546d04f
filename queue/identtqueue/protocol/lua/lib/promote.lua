-- include lib/pending.lua
-- Moves at most `limit` due tasks to the end of pending. ZREM comes first: it is allowed at
-- maxmemory, and after a first write Redis lets the script finish. `at` is the one of `left_out`.
-- Returns how many were moved, and the ms until the next one is due (-1: there is none).
local function promote(scheduled, pending, tombstones, wake, task_prefix, doorbell, now, limit, at)
  local due = redis.call('ZRANGEBYSCORE', scheduled, '-inf', now, 'LIMIT', 0, limit)
  if #due > 0 then
    -- include lib/tombstones.lua
    -- include lib/fire.lua
    local before = living(pending, tombstones, task_prefix)
    local left = left_out(at, scheduled, task_prefix, due, now)
    for i, id in ipairs(due) do
      redis.call('ZREM', scheduled, id)
      if left[i] then
        leave_out(at, task_prefix .. id, id, left[i], now)
      else
        redis.call('RPUSH', pending, id)
        redis.call('HSET', task_prefix .. id, 'state', 'pending', 'pending_since', now)
      end
    end
    ring(pending, wake, doorbell, before)
  end
  local head = redis.call('ZRANGE', scheduled, 0, 0, 'WITHSCORES')
  if #head == 0 then return #due, -1 end
  return #due, math.max(0, tonumber(head[2]) - now)
end
