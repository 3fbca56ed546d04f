-- await: reads how a task ended, or registers who waits for it
-- KEYS  1 task:<id>
-- ARGV  1 reply channel, or empty: only look  2 size of a result that is not sent, or -1: any is
-- Returns {"missing"} | {state} | {"succeeded", result} | {"failed" | "cancelled", failure}; or
--         {state, nil, size} of a result that is larger
local task = redis.call('HMGET', KEYS[1], 'state', 'result', 'error', 'waiters')
local state, waiters = task[1], task[4]
if not state then return {'missing'} end
if state == 'succeeded' or state == 'failed' or state == 'cancelled' then
  local answer, most = task[state == 'succeeded' and 2 or 3] or '', tonumber(ARGV[2])
  if most >= 0 and #answer > most then return {state, false, #answer} end
  return {state, answer}
end
if ARGV[1] ~= '' and not (waiters and string.find(waiters, ARGV[1], 1, true)) then
  redis.call('HDEL', KEYS[1], 'waiters')  -- first: it is allowed at maxmemory
  redis.call('HSET', KEYS[1], 'waiters', waiters and waiters .. ' ' .. ARGV[1] or ARGV[1])
end
return {state}
