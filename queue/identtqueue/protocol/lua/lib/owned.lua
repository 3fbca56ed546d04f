-- The fence: checks that a task runs under this attempt number and that this worker owns it.
-- Returns 'ok' (it does), 'done' (the same report arrived before: a repeat after a lost reply),
-- 'lost' (recovered, perhaps running elsewhere) or 'missing'. The second value is what it has read:
-- {state, attempt, owner, started_at, ttl, waiters, unique, slot}.
local function owned(task_key, worker, attempt, done_state, or_cancelled)
  local task = redis.call('HMGET', task_key, 'state', 'attempt', 'owner', 'started_at', 'ttl',
    'waiters', 'unique', 'slot')
  if not task[1] then return 'missing', task end
  if task[2] ~= attempt then return 'lost', task end
  if task[1] == 'running' and task[3] == worker then return 'ok', task end
  local done = task[1] == done_state
  if or_cancelled and task[1] == 'cancelled' then  -- the first report ended it, as was asked for
    done = redis.call('HEXISTS', task_key, 'cancel') == 1
  end
  if done and task[3] == worker then return 'done', task end
  return 'lost', task
end
