-- promote: scheduled -> pending, for tasks that are due; forgets dead letters that have expired;
-- looks after held tasks, so that none waits for what will not come
-- KEYS  1 scheduled  2 pending  3 wake  4 dead  5 blocked  6 limits  7 rates
--       8 tombstones  9 suspects
-- ARGV  1 task prefix  2 doorbell  3 limit  4 how long dead letters are kept (ms)  5 running prefix
-- Returns {number moved, ms until the next is due or -1, Redis time in ms}
-- include lib/now.lua
-- include lib/promote.lua
-- include lib/due_held.lua
-- include lib/limits.lua
-- include lib/sweep.lua
local now = now_ms()
local moved, next_due = promote(KEYS[1], KEYS[2], KEYS[8], KEYS[3], ARGV[1], ARGV[2], now,
  tonumber(ARGV[3]))
sweep(KEYS[2], KEYS[8], ARGV[1], 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[4], '-inf', now - tonumber(ARGV[4]))

-- Who counts towards max_running but does not run: its hash was removed by hand, or it was
-- recovered by a version that knows no limits.
local function strike_off(job)
  for _, id in ipairs(redis.call('SRANDMEMBER', ARGV[5] .. job, 100)) do
    local task = redis.call('HMGET', ARGV[1] .. id, 'state', 'slot', 'suspect')
    local counts = task[1] == 'running' or (task[1] == 'pending' and task[3])
    if not counts or task[2] ~= job then redis.call('SREM', ARGV[5] .. job, id) end
  end
end

for _, job in ipairs(redis.call('ZRANGEBYSCORE', KEYS[5], '+inf', '+inf', 'LIMIT', 0, 100)) do
  strike_off(job)
  local limit = limit_of({KEYS[6], KEYS[7], ARGV[5]}, job, now)
  if not (limit and limit.max and limit.running >= limit.max) then
    redis.call('ZREM', KEYS[5], job)  -- first: it is allowed at maxmemory
    redis.call('ZADD', KEYS[5], 0, job)
  end
end
if redis.call('EXISTS', KEYS[9]) == 1 or due_held(KEYS[5], now) > 0 then wake_one(KEYS[3]) end
return {moved, next_due, now}
