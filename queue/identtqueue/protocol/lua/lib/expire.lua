-- include lib/end_cancelled.lua
-- include lib/expiry.lua
-- include lib/unqueue.lua
-- include lib/shelves.lua
-- Ends a task that has expired: scheduled / pending -> cancelled. Returns whether it had expired.
-- `at` names the keys and prefixes. ZREM comes first: it is allowed at maxmemory.
local function expire(at, id, now)
  local key = at.task_prefix .. id
  local task = redis.call('HMGET', key, 'state', 'expires_at', 'attempt', 'ttl', 'held', 'shelf')
  if task[6] and not at.shelves then return false end  -- it is on a shelf: upkeep ends it
  redis.call('ZREM', at.expiring, id)
  if task[1] ~= 'pending' and task[1] ~= 'scheduled' then return false end
  if not has_expired(key, task[2], task[3], now) then return false end
  end_cancelled(key, id, at.reason, now, task[4], at.unique_prefix, at.stats)
  if task[1] == 'scheduled' then redis.call('ZREM', at.scheduled, id)
  elseif task[6] then
    redis.call('HDEL', key, 'shelf')
    take_off(at.shelves, at.served, at.shelf_prefix, task[6])
  else
    unqueue(at.pending, at.tombstones, at.blocked, at.held_prefix, at.task_prefix, id, task[5])
  end
  return true
end
