-- include lib/pending.lua
-- A task that counts towards its job's max_running says so in `slot` (the job's name), and is in
-- the job's `running` set. Whoever takes it out of `running` gives the slot back, whatever the
-- limits are by then; and one of those that are held for want of it may start.
local function vacate(running_prefix, blocked, wake, key, id, job)
  redis.call('HDEL', key, 'slot')
  redis.call('SREM', running_prefix .. job, id)
  if tonumber(redis.call('ZSCORE', blocked, job) or 0) == math.huge then
    redis.call('ZADD', blocked, 0, job)
    wake_one(wake)
  end
end
