-- include lib/pending.lua
-- include lib/tombstones.lua
-- Moves due tasks to the end of pending, at most `limit`. ZREM comes first: it is allowed at
-- maxmemory, and after a first write Redis lets the script finish.
-- Returns how many moved, and the ms until the next one is due (-1: none waits).
local function promote(scheduled, pending, tombstones, wake, task_prefix, doorbell, now, limit)
  local due = redis.call('ZRANGEBYSCORE', scheduled, '-inf', now, 'LIMIT', 0, limit)
  if #due > 0 then
    local before = living(pending, tombstones, task_prefix)
    for _, id in ipairs(due) do
      redis.call('ZREM', scheduled, id)
      redis.call('RPUSH', pending, id)
      redis.call('HSET', task_prefix .. id, 'state', 'pending', 'pending_since', now)
    end
    ring(pending, wake, doorbell, before)
  end
  local head = redis.call('ZRANGE', scheduled, 0, 0, 'WITHSCORES')
  if #head == 0 then return #due, -1 end
  return #due, math.max(0, tonumber(head[2]) - now)
end
