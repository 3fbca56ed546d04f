-- include lib/limits.lua
-- Finds jobs whose held tasks wait for the end of a running task that does not run any more, and
-- lets them be claimed. Each call looks at other jobs, at most 20 of them and 400 ids. `at` names
-- the keys and prefixes.

-- Blocks the held tasks of paused jobs again. A slot that was given back, or a new limit, has
-- unblocked them, because the script that did it does not know what is paused.
local function block_paused(at, now)
  if redis.call('EXISTS', at.paused_jobs) == 0 then return end
  for _, job in ipairs(redis.call('ZRANGEBYSCORE', at.blocked, '-inf', now, 'LIMIT', 0, 50)) do
    if is_paused(at, job) then
      redis.call('ZREM', at.blocked, job)  -- first: it is allowed at maxmemory
      redis.call('ZADD', at.blocked, '+inf', job)
    end
  end
end

-- Removes ids that count towards max_running but do not run: their hash was removed by hand, or
-- they were recovered by a version that knows no limits.
local function strike_off(running, job, task_prefix, most)
  for _, id in ipairs(redis.call('SRANDMEMBER', running, most)) do
    local state, slot, suspect = unpack(
      redis.call('HMGET', task_prefix .. id, 'state', 'slot', 'suspect'))
    local counts = state == 'running' or (state == 'pending' and suspect)
    if not counts or slot ~= job then redis.call('SREM', running, id) end
  end
end

local function unblock(at, now)
  local number = redis.call('ZCOUNT', at.blocked, '+inf', '+inf')
  if number == 0 then return end
  local first = math.max(0, now % number - 19)  -- so that all jobs have their turn
  local jobs = redis.call('ZRANGEBYSCORE', at.blocked, '+inf', '+inf', 'LIMIT', first, 20)
  for _, job in ipairs(jobs) do
    strike_off(at.running_prefix .. job, job, at.task_prefix, math.floor(400 / #jobs))
    local _, again = allowance(limit_of(at, job, now), now)
    if again ~= '+inf' then
      redis.call('ZREM', at.blocked, job)  -- first: it is allowed at maxmemory
      redis.call('ZADD', at.blocked, 0, job)
    end
  end
end
