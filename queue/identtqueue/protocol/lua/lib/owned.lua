-- include lib/packed.lua
-- The fence: checks that a task runs under this attempt number and that this worker owns it.
-- Returns 'ok' (it does), 'done' (the same report arrived before: a repeat after a lost reply),
-- 'lost' (recovered, perhaps running elsewhere) or 'missing'. With 'ok' it also returns what it has
-- read of the task: `started_at`, `ttl`, `slot`, `waiters` and `unique`.
local function owned(key, worker, attempt, done_state, or_cancelled)
  local state, number, owner, started_at, ttl, slot, waiters, unique = unpack(
    redis.call('HMGET', key, 'state', 'attempt', 'owner', 'started_at', 'ttl', 'slot', 'waiters',
      'unique'))
  if not state then return 'missing' end
  if number ~= attempt then return 'lost' end
  if state == 'running' and owner == worker then
    local task = {started_at = started_at, ttl = ttl, slot = slot}
    if waiters then task.waiters = waiters end  -- seldom: a table of three costs half of five
    if unique then task.unique = unique end
    return 'ok', task
  end
  local done = state == done_state
  if or_cancelled and state == 'cancelled' then  -- the first report ended it, as was asked for
    done = redis.call('HEXISTS', key, 'cancel') == 1
  end
  return done and owner == worker and 'done' or 'lost'
end

-- As `owned`, for a packed task. With 'ok' it returns when the task has started, and where the text
-- begins that it had before.
local function owned_packed(text, worker, attempt)
  local last = 14 + #worker
  local is_owner = string.byte(text, last + 1) == SPACE and string.sub(text, 15, last) == worker
  if string.byte(text) ~= R or not is_owner or attempt ~= '1' then return 'lost' end
  return 'ok', {started_at = string.sub(text, 2, 14), first = last + 2}
end
