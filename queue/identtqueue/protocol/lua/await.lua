-- await: reads how a task ended, or registers a client that waits for it. scheduled / pending ->
-- cancelled, for a task that expired before it ever started
-- KEYS  1 pending  2 scheduled  3 stats  4 blocked  5 tombstones  6 expiring
--       7 ended  8 meta  9 packed_tasks
-- ARGV  1 channel: the client's reply channel, or empty: only look
--       2 most_bytes: largest result to send, or -1: no bound
--       3 task_prefix  4 unique_prefix  5 held_prefix  6 id  7 expired_error
-- Returns {"missing"} | {state, ms until it expires or -1} | {"succeeded", result}
--         | {"failed" | "cancelled", failure}; or {state, nil, size} of a result that is larger
-- include lib/now.lua
-- include lib/expire.lua
-- include lib/expiry.lua
-- include lib/waiters.lua
-- include lib/packed.lua
-- include lib/packed_fields.lua
local function wait_for_packed(text)
  local fields, short = fields_in(text), short_id(id)
  local waiters, head = fields.waiters or '', 'p' .. fields.enqueued_at
  if fields.owner then head = 'r' .. fields.started_at .. fields.owner .. ' ' .. head end
  if must_add(waiters, channel) then
    redis.call('HDEL', packed_tasks, short)  -- first: a first write must be allowed at maxmemory
    redis.call('HSET', packed_tasks, short,
      head .. ' ' .. with_waiter(waiters, channel) .. '\n' .. fields.payload)
  end
  return {fields.state, -1}
end

local task, text = task_prefix .. id, packed_text({packed_tasks = packed_tasks}, id)
if text then return wait_for_packed(text) end
local state, result, failure, waiters, expires_at, attempt = unpack(
  redis.call('HMGET', task, 'state', 'result', 'error', 'waiters', 'expires_at', 'attempt'))
local expires_in = -1
if not state then return {'missing'} end
if state == 'succeeded' or state == 'failed' or state == 'cancelled' then
  local answer, most = failure or '', tonumber(most_bytes)
  if state == 'succeeded' then answer = result or '' end
  if most >= 0 and #answer > most then return {state, false, #answer} end
  return {state, answer}
end
if expires_at and state ~= 'running' then
  local now = now_ms()
  local at = {task_prefix = task_prefix, unique_prefix = unique_prefix, held_prefix = held_prefix,
    pending = pending, scheduled = scheduled, stats = stats, blocked = blocked,
    tombstones = tombstones, expiring = expiring, ended = ended, meta = meta,
    reason = expired_error}
  if has_expired(task, expires_at, attempt, now) then
    expire(at, id, now)
    return {'cancelled', expired_error}
  end
  expires_in = math.max(-1, tonumber(expires_at) - now)
end
if must_add(waiters or '', channel) then
  redis.call('HDEL', task, 'waiters')  -- first: a first write must be allowed at maxmemory
  redis.call('HSET', task, 'waiters', with_waiter(waiters or '', channel))
end
return {state, expires_in}
