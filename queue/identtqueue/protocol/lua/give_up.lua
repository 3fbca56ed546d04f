-- give_up: pending -> failed, for tasks on shelves that no worker has been able to run for too long
-- KEYS  1 shelves  2 served  3 dead  4 stats
-- ARGV  1 task prefix  2 unique prefix  3 shelf prefix  4 how long (ms)
--       5 how long dead letters are kept (ms)  6.. shelves
-- Returns the ids of the tasks that are dead letters now, at most 100 per shelf
-- include lib/now.lua
-- include lib/shelves.lua
-- include lib/end_task.lua
local now, most, dead = now_ms(), tonumber(ARGV[4]), {}

local function bury(id, key, error, lines)
  local failure = cmsgpack.unpack(error)
  local why = string.format('no worker has been able to run it for %d s. It was declined by:%s',
    most / 1000, lines)
  redis.call('ZADD', KEYS[3], now, id)
  end_task(key, id, 'failed', 'error', cmsgpack.pack({failure[1], why, ''}), now, ARGV[5], ARGV[2])
  redis.call('HDEL', key, 'shelf')
  redis.call('HINCRBY', KEYS[4], 'failed', 1)
  dead[#dead + 1] = id
end

for i = 6, #ARGV do
  local shelf, list = ARGV[i], ARGV[3] .. ARGV[i]
  local served = tonumber(redis.call('HGET', KEYS[2], shelf) or 0)
  for _, id in ipairs(served + most <= now and redis.call('LRANGE', list, 0, 99) or {}) do
    local key = ARGV[1] .. id
    local task = redis.call('HMGET', key, 'state', 'shelf', 'declined_since', 'error', 'declines')
    local here = task[1] == 'pending' and task[2] == shelf
    if here and tonumber(task[3]) + most > now then break end
    redis.call('LPOP', list)
    if here then
      bury(id, key, task[4], task[5])
      take_off(KEYS[1], KEYS[2], ARGV[3], shelf)
    end
  end
end
return dead
