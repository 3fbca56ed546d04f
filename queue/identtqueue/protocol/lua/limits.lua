-- limits: lists the limits of a queue's jobs and how far they are used, and the paused jobs; writes
-- nothing
-- KEYS  1 limits  2 blocked  3 rates  4 tombstones  5 paused_jobs
-- ARGV  1 held_prefix  2 running_prefix  3 task_prefix
-- Returns per job: name, its limits (msgpack, or empty: it has none), number of running tasks that
--         count towards max, number of held ones, ms until one more may start or -1 (when a running
--         one ends, or when the job is resumed), paused 0|1
-- include lib/now.lua
-- include lib/limits.lua
-- include lib/tombstones.lua
local now, names, reply = now_ms(), redis.call('HKEYS', limits), {}
local at = {limits = limits, rates = rates, paused_jobs = paused_jobs,
  running_prefix = running_prefix}
for _, job in ipairs(redis.call('ZRANGE', blocked, 0, -1)) do
  if redis.call('HEXISTS', limits, job) == 0 then names[#names + 1] = job end
end
for _, job in ipairs(redis.call('HKEYS', paused_jobs)) do
  local listed = redis.call('HEXISTS', limits, job) == 1 or redis.call('ZSCORE', blocked, job)
  if not listed then names[#names + 1] = job end
end
for _, job in ipairs(names) do
  local limit = limit_of(at, job, now)
  local _, again = allowance(limit, now)
  reply[#reply + 1] = job
  reply[#reply + 1] = redis.call('HGET', limits, job) or ''
  reply[#reply + 1] = limit and limit.running or 0
  reply[#reply + 1] = living(held_prefix .. job, tombstones .. ':' .. job, task_prefix)
  reply[#reply + 1] = again == '+inf' and -1 or again - now
  reply[#reply + 1] = limit and limit.paused and 1 or 0
end
return reply
