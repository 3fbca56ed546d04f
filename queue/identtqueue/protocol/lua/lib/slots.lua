-- include lib/pending.lua
-- Gives back the slot of a task that counts towards its job's max_running. Such a task has `slot`
-- (the job's name) in its hash, and is in the job's `running` set. A script that takes a task out
-- of the state running must give its slot back, whatever the limits are by then. Then one of the
-- tasks that are held because of max_running may start.
local function vacate(running_prefix, blocked, wake, key, id, job)
  redis.call('HDEL', key, 'slot')
  redis.call('SREM', running_prefix .. job, id)
  if tonumber(redis.call('ZSCORE', blocked, job) or 0) == math.huge then
    redis.call('ZADD', blocked, 0, job)
    wake_one(wake)
  end
end
