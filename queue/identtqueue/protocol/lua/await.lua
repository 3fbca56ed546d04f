-- await: reads how a task ended, or registers a client that waits for it. scheduled / pending ->
-- cancelled, for a task that expired before it ever started
-- KEYS  1 task:<id>  2 pending  3 scheduled  4 stats  5 blocked  6 tombstones  7 expiring
-- ARGV  1 reply channel, or empty: only look  2 largest result to send, or -1: no bound
--       3 task prefix  4 unique prefix  5 held prefix  6 id  7 error of an expired task
-- Returns {"missing"} | {state, ms until it expires or -1} | {"succeeded", result}
--         | {"failed" | "cancelled", failure}; or {state, nil, size} of a result that is larger
-- include lib/now.lua
-- include lib/expire.lua
-- include lib/waiters.lua
local task = redis.call('HMGET', KEYS[1], 'state', 'result', 'error', 'waiters', 'expires_at',
  'attempt')
local state, waiters, expires_in = task[1], task[4], -1
if not state then return {'missing'} end
if state == 'succeeded' or state == 'failed' or state == 'cancelled' then
  local answer, most = task[state == 'succeeded' and 2 or 3] or '', tonumber(ARGV[2])
  if most >= 0 and #answer > most then return {state, false, #answer} end
  return {state, answer}
end
if task[5] and state ~= 'running' then
  local now, id = now_ms(), ARGV[6]
  local at = {task_prefix = ARGV[3], unique_prefix = ARGV[4], held_prefix = ARGV[5],
    pending = KEYS[2], scheduled = KEYS[3], stats = KEYS[4], blocked = KEYS[5],
    tombstones = KEYS[6], expiring = KEYS[7], reason = ARGV[7]}
  if has_expired(KEYS[1], task[5], task[6], now) then
    expire(at, id, now)
    return {'cancelled', ARGV[7]}
  end
  expires_in = math.max(-1, tonumber(task[5]) - now)
end
local waits = waiters and string.find(waiters, ARGV[1], 1, true)
if ARGV[1] ~= '' and not (waits and #waiters < 16384) then
  redis.call('HDEL', KEYS[1], 'waiters')  -- first: a first write must be allowed at maxmemory
  redis.call('HSET', KEYS[1], 'waiters', waiters and with_waiter(waiters, ARGV[1]) or ARGV[1])
end
return {state, expires_in}
