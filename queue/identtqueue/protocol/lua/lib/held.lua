-- include lib/sweep.lua
-- Held tasks: pending ones whose job is at a limit, in a list per job. `blocked` says of each job
-- that has some when the next may start: a time (in the past: now), or +inf: when one of the job's
-- tasks stops running.

-- Lets a task start and counts that; or holds it, and answers false.
local function admit(keys, blocked, held_prefix, key, id, job, now)
  local limit = job and limit_of(keys, job, now)
  if not limit then return true end
  local free, again = allowance(limit, now)
  if free <= 0 then
    redis.call('RPUSH', held_prefix .. job, id)
    redis.call('HSET', key, 'held', job)
    redis.call('ZADD', blocked, again, job)
    return false
  end
  if limit.max then
    limit.running = limit.running + redis.call('SADD', keys[3] .. job, id)
    redis.call('HSET', key, 'slot', job)
  end
  if limit.interval then
    limit.arrival = math.max(limit.arrival, now) + limit.interval
    redis.call('HSET', keys[2], job, limit.arrival)
  end
  return true
end

-- Jobs whose held tasks may start: the first 50. Served ones go to the end, see `note_held`.
local function due_jobs(blocked, now)
  return redis.call('ZRANGEBYSCORE', blocked, '-inf', now, 'LIMIT', 0, 50)
end

-- After tasks were taken from a job's list: when the next may start, if any is left.
-- ZREM comes first: it is allowed at maxmemory.
local function note_held(blocked, held_prefix, tombstones, task_prefix, job, again)
  sweep(held_prefix .. job, tombstones .. ':' .. job, task_prefix, 100)
  redis.call('ZREM', blocked, job)
  if redis.call('EXISTS', held_prefix .. job) == 1 then redis.call('ZADD', blocked, again, job) end
end
