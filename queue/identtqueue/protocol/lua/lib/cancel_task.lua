-- include lib/end_cancelled.lua
-- include lib/unqueue.lua
-- include lib/slots.lua
-- include lib/shelves.lua
-- include lib/unpack_task.lua
-- include lib/packed.lua
-- include lib/packed_fields.lua
-- Cancels a task that waits: scheduled / pending -> cancelled. If `asks`, the owner of a running
-- task is asked to cancel it. Returns 'ok', 'asked', 'asked before', 'running', 'ended', 'missing'.
-- `at` names the keys and prefixes, and the reason.
local function cancel_task(at, id, asks, now)
  local text = packed_text(at, id)
  if text and string.byte(text) == R and not asks then return 'running' end
  local key = unpack_task(at, id)
  local state, owner, attempt, ttl, held, suspect, slot, expires_at, shelf, cancel = unpack(
    redis.call('HMGET', key, 'state', 'owner', 'attempt', 'ttl', 'held', 'suspect', 'slot',
      'expires_at', 'shelf', 'cancel'))
  if not state then return 'missing' end
  if state == 'succeeded' or state == 'failed' or state == 'cancelled' then return 'ended' end
  if state == 'running' then
    if not asks then return 'running' end
    redis.call('HDEL', key, 'cancel')  -- first: it is allowed at maxmemory
    redis.call('HSET', key, 'cancel', '1')
    redis.call('PUBLISH', at.control_prefix .. owner, 'cancel ' .. id .. ' ' .. attempt)
    return cancel and 'asked before' or 'asked'  -- the message may have been lost
  end
  if expires_at then redis.call('ZREM', at.expiring, id) end
  end_cancelled(at, key, id, at.reason, now, ttl)
  -- A suspect keeps its slot of max_running while it waits.
  if slot then vacate(at.running_prefix, at.blocked, at.wake, key, id, slot) end
  if shelf then
    redis.call('HDEL', key, 'shelf')
    take_off(at.shelves, at.served, at.shelf_prefix, shelf)
  elseif suspect and state == 'pending' then redis.call('LREM', at.suspects, 1, id)
  elseif state == 'pending' then
    unqueue(at.pending, at.tombstones, at.blocked, at.held_prefix, at.task_prefix, id, held)
  else redis.call('ZREM', at.scheduled, id) end
  return 'ok'
end
