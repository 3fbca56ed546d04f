-- A task that had started goes back to the head: of those of its job that are held, if there are
-- any, as they were enqueued behind it. A suspect goes to the head of the suspects, whose key is
-- given then.
local function put_back(pending, held_prefix, blocked, task_key, id, job, suspects)
  if suspects then return redis.call('LPUSH', suspects, id) end
  local held = job and redis.call('ZSCORE', blocked, job)
  redis.call('LPUSH', held and held_prefix .. job or pending, id)
  if held then redis.call('HSET', task_key, 'held', job) end
end
