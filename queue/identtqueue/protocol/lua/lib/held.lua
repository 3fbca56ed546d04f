-- include lib/limits.lua
-- include lib/sweep.lua
-- include lib/take.lua
-- Held tasks: pending tasks whose job is at a limit, in one list per job. For each job with held
-- tasks `blocked` says when the next one may start: a time (in the past: now), or +inf, which means
-- when one of the job's tasks stops running. `at` names the keys and prefixes.

-- Lets a task start and counts the start; or holds the task and returns false.
local function admit(at, key, id, job, now)
  local limit = job and limit_of(at, job, now)
  if not limit then return true end
  local free, again = allowance(limit, now)
  if free <= 0 then
    redis.call('RPUSH', at.held_prefix .. job, id)
    redis.call('HSET', key, 'held', job)
    redis.call('ZADD', at.blocked, again, job)
    return false
  end
  if limit.max then
    limit.running = limit.running + redis.call('SADD', at.running_prefix .. job, id)
    redis.call('HSET', key, 'slot', job)
  end
  if limit.interval then
    limit.arrival = math.max(limit.arrival, now) + limit.interval
    redis.call('HSET', at.rates, job, limit.arrival)
  end
  return true
end

-- Notes when the next task of a job may start, after some were taken from its list.
-- ZREM comes first: it is allowed at maxmemory.
local function note_held(at, job, again)
  local list = at.held_prefix .. job
  sweep(list, at.tombstones .. ':' .. job, at.task_prefix, 100)
  redis.call('ZREM', at.blocked, job)
  if redis.call('EXISTS', list) == 1 then redis.call('ZADD', at.blocked, again, job) end
end

-- Starts held tasks of the first 50 jobs, as far as the jobs' limits allow. Jobs that were served
-- go to the end. `so_far` is the one of `take`, and `room` returns how many more may start.
local function serve_held(at, so_far, now, room, start)
  for _, job in ipairs(redis.call('ZRANGEBYSCORE', at.blocked, '-inf', now, 'LIMIT', 0, 50)) do
    local list, dead = at.held_prefix .. job, at.tombstones .. ':' .. job
    local free, again
    repeat
      free, again = allowance(limit_of(at, job, now), now)
    until not take(so_far, list, dead, math.min(free, room()), start)
    note_held(at, job, again)
  end
end
