-- await: reads how a task ended, or registers who waits for it
-- KEYS  1 task:<id>
-- ARGV  1 reply channel, or empty: only look
-- Returns {"missing"} | {state} | {"succeeded", result} | {"failed" | "cancelled", failure}
local task = redis.call('HMGET', KEYS[1], 'state', 'result', 'error', 'waiters')
local state, waiters = task[1], task[4]
if not state then return {'missing'} end
if state == 'succeeded' then return {state, task[2] or ''} end
if state == 'failed' or state == 'cancelled' then return {state, task[3] or ''} end
if ARGV[1] ~= '' and not (waiters and string.find(waiters, ARGV[1], 1, true)) then
  redis.call('HDEL', KEYS[1], 'waiters')  -- first: it is allowed at maxmemory
  redis.call('HSET', KEYS[1], 'waiters', waiters and waiters .. ' ' .. ARGV[1] or ARGV[1])
end
return {state}
