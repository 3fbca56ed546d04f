-- include lib/limits.lua
-- Jobs whose held tasks wait for the end of a running one: whether that can still come. Looks at 20
-- jobs and 400 ids at most, at others each time. `keys` is that of `limit_of`.

-- Who counts towards max_running but does not run: its hash was removed by hand, or it was
-- recovered by a version that knows no limits.
local function strike_off(running, job, task_prefix, most)
  for _, id in ipairs(redis.call('SRANDMEMBER', running, most)) do
    local task = redis.call('HMGET', task_prefix .. id, 'state', 'slot', 'suspect')
    local counts = task[1] == 'running' or (task[1] == 'pending' and task[3])
    if not counts or task[2] ~= job then redis.call('SREM', running, id) end
  end
end

local function unblock(blocked, keys, task_prefix, now)
  local number = redis.call('ZCOUNT', blocked, '+inf', '+inf')
  if number == 0 then return end
  local first = math.max(0, now % number - 19)  -- also those at the end come first at times
  local jobs = redis.call('ZRANGEBYSCORE', blocked, '+inf', '+inf', 'LIMIT', first, 20)
  for _, job in ipairs(jobs) do
    strike_off(keys[3] .. job, job, task_prefix, math.floor(400 / #jobs))
    local limit = limit_of(keys, job, now)
    if not (limit and limit.max and limit.running >= limit.max) then
      redis.call('ZREM', blocked, job)  -- first: it is allowed at maxmemory
      redis.call('ZADD', blocked, 0, job)
    end
  end
end
