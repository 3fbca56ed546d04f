-- Puts a task that had started back to the head of pending. If its job has held tasks, it goes to
-- the head of these, since they were enqueued after it. If the key `suspects` is given, the task is
-- a suspect and goes to the head of that list.
local function put_back(pending, held_prefix, blocked, task_key, id, job, suspects)
  if suspects then return redis.call('LPUSH', suspects, id) end
  local held = job and redis.call('ZSCORE', blocked, job)
  redis.call('LPUSH', held and held_prefix .. job or pending, id)
  if held then redis.call('HSET', task_key, 'held', job) end
end
