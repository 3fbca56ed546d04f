-- cancel: scheduled / pending -> cancelled; the owner of a running task is asked to cancel it
-- KEYS  1 pending  2 scheduled  3 stats  4 blocked  5 tombstones  6 suspects  7 wake
--       8 expiring  9 shelves  10 served  11 answer:<call>
-- ARGV  1 task prefix  2 unique prefix  3 id  4 encoded reason  5 control channel prefix
--       6 held prefix  7 running prefix  8 shelf prefix
-- Returns "missing" | "ended" | "asked" | "ok"
-- include lib/now.lua
-- include lib/end_cancelled.lua
-- include lib/unqueue.lua
-- include lib/slots.lua
-- include lib/shelves.lua
-- include lib/once.lua
local known = first_answer(KEYS[11])
if known then return known end
local id, key = ARGV[3], ARGV[1] .. ARGV[3]
local task = redis.call('HMGET', key, 'state', 'owner', 'attempt', 'ttl', 'held', 'suspect', 'slot',
  'expires_at', 'shelf')
local state = task[1]
if not state then return 'missing' end
if state == 'succeeded' or state == 'failed' or state == 'cancelled' then return 'ended' end
if state == 'running' then
  redis.call('HDEL', key, 'cancel')  -- first: it is allowed at maxmemory
  redis.call('HSET', key, 'cancel', '1')
  redis.call('PUBLISH', ARGV[5] .. task[2], 'cancel ' .. id .. ' ' .. task[3])
  return remember(KEYS[11], 'asked')
end
if task[8] then redis.call('ZREM', KEYS[8], id) end
end_cancelled(key, id, ARGV[4], now_ms(), task[4], ARGV[2], KEYS[3])
-- A suspect keeps its slot of max_running while it waits.
if task[7] then vacate(ARGV[7], KEYS[4], KEYS[7], key, id, task[7]) end
if task[9] then
  redis.call('HDEL', key, 'shelf')
  take_off(KEYS[9], KEYS[10], ARGV[8], task[9])
elseif task[6] and state == 'pending' then redis.call('LREM', KEYS[6], 1, id)
elseif state == 'pending' then unqueue(KEYS[1], KEYS[5], KEYS[4], ARGV[6], ARGV[1], id, task[5])
else redis.call('ZREM', KEYS[2], id) end
return remember(KEYS[11], 'ok')
