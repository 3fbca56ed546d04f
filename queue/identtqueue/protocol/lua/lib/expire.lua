-- include lib/end_cancelled.lua
-- include lib/expiry.lua
-- include lib/unqueue.lua
-- include lib/shelves.lua
-- Ends a task that has expired: scheduled / pending -> cancelled. Returns whether it had expired.
-- `at` names the keys and prefixes. ZREM comes first: it is allowed at maxmemory.
local function expire(at, id, now)
  local key = at.task_prefix .. id
  local state, expires_at, attempt, ttl, held, shelf = unpack(
    redis.call('HMGET', key, 'state', 'expires_at', 'attempt', 'ttl', 'held', 'shelf'))
  if shelf and not at.shelves then return false end  -- it is on a shelf: upkeep ends it
  redis.call('ZREM', at.expiring, id)
  if state ~= 'pending' and state ~= 'scheduled' then return false end
  if not has_expired(key, expires_at, attempt, now) then return false end
  end_cancelled(at, key, id, at.reason, now, ttl)
  if state == 'scheduled' then redis.call('ZREM', at.scheduled, id)
  elseif shelf then
    redis.call('HDEL', key, 'shelf')
    take_off(at.shelves, at.served, at.shelf_prefix, shelf)
  else
    unqueue(at.pending, at.tombstones, at.blocked, at.held_prefix, at.task_prefix, id, held)
  end
  return true
end
