-- The fence: an attempt is ours while the task runs under its number and this worker owns it.
-- Returns 'ok' (ours), 'done' (the same report arrived before: a repeat after a lost reply),
-- 'lost' (recovered; perhaps running elsewhere) or 'missing'.
local function owned(task_key, worker, attempt, done_state)
  local task = redis.call('HMGET', task_key, 'state', 'attempt', 'owner')
  if not task[1] then return 'missing' end
  if task[2] ~= attempt then return 'lost' end
  if task[1] == 'running' and task[3] == worker then return 'ok' end
  if task[1] == done_state and task[3] == worker then return 'done' end
  return 'lost'
end
