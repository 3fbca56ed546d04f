-- cancel: scheduled / pending -> cancelled; the owner of a running task is asked to cancel it
-- KEYS  1 pending  2 scheduled  3 stats  4 blocked  5 tombstones  6 suspects  7 wake
--       8 expiring  9 shelves  10 served  11 answer:<call>
-- ARGV  1 task_prefix  2 unique_prefix  3 id  4 reason: encoded  5 control_prefix
--       6 held_prefix  7 running_prefix  8 shelf_prefix
-- Returns "missing" | "ended" | "asked" | "ok"
-- include lib/now.lua
-- include lib/end_cancelled.lua
-- include lib/unqueue.lua
-- include lib/slots.lua
-- include lib/shelves.lua
-- include lib/once.lua
local known = first_answer(answer)
if known then return known end
local key = task_prefix .. id
local state, owner, attempt, ttl, held, suspect, slot, expires_at, shelf = unpack(
  redis.call('HMGET', key, 'state', 'owner', 'attempt', 'ttl', 'held', 'suspect', 'slot',
    'expires_at', 'shelf'))
if not state then return 'missing' end
if state == 'succeeded' or state == 'failed' or state == 'cancelled' then return 'ended' end
if state == 'running' then
  redis.call('HDEL', key, 'cancel')  -- first: it is allowed at maxmemory
  redis.call('HSET', key, 'cancel', '1')
  redis.call('PUBLISH', control_prefix .. owner, 'cancel ' .. id .. ' ' .. attempt)
  return remember(answer, 'asked')
end
if expires_at then redis.call('ZREM', expiring, id) end
end_cancelled(key, id, reason, now_ms(), ttl, unique_prefix, stats)
-- A suspect keeps its slot of max_running while it waits.
if slot then vacate(running_prefix, blocked, wake, key, id, slot) end
if shelf then
  redis.call('HDEL', key, 'shelf')
  take_off(shelves, served, shelf_prefix, shelf)
elseif suspect and state == 'pending' then redis.call('LREM', suspects, 1, id)
elseif state == 'pending' then
  unqueue(pending, tombstones, blocked, held_prefix, task_prefix, id, held)
else redis.call('ZREM', scheduled, id) end
return remember(answer, 'ok')
