-- give_up: pending -> failed, for tasks on shelves that no worker has been able to run for too long
-- KEYS  1 shelves  2 served  3 dead  4 stats  5 ended  6 meta
-- ARGV  1 task_prefix  2 unique_prefix  3 shelf_prefix  4 after_ms: how long
--       5 dead_ttl_ms: how long dead letters are kept  6 minute_prefix  7 hour_prefix
--       8.. shelves
-- Returns the ids of the tasks that are dead letters now, at most 100 per shelf
-- include lib/now.lua
-- include lib/shelves.lua
-- include lib/end_one.lua
-- include lib/count_fate.lua
local now, most, buried = now_ms(), tonumber(after_ms), {}
local at = {unique_prefix = unique_prefix, ended = ended, meta = meta}

local function bury(id, key, failure, lines)
  local kind = cmsgpack.unpack(failure)[1]
  local why = string.format('no worker has been able to run it for %d s. It was declined by:%s',
    most / 1000, lines)
  redis.call('ZADD', dead, now, id)
  local new = cmsgpack.pack({kind, why, ''})
  end_one(at, key, id, 'failed', 'error', new, now, dead_ttl_ms)
  redis.call('HDEL', key, 'shelf')
  redis.call('HINCRBY', stats, 'failed', 1)
  count_fate(minute_prefix, hour_prefix, 'd:', redis.call('HGET', key, 'function') or '', now)
  buried[#buried + 1] = id
end

for i = LIST_START, #ARGV do
  local name, list = ARGV[i], shelf_prefix .. ARGV[i]
  local last_served = tonumber(redis.call('HGET', served, name) or 0)
  local ids = last_served + most <= now and redis.call('LRANGE', list, 0, 99) or {}
  for _, id in ipairs(ids) do
    local key = task_prefix .. id
    local state, shelf, since, failure, lines = unpack(
      redis.call('HMGET', key, 'state', 'shelf', 'declined_since', 'error', 'declines'))
    local here = state == 'pending' and shelf == name
    if here and tonumber(since) + most > now then break end
    redis.call('LPOP', list)
    if here then
      bury(id, key, failure, lines)
      take_off(shelves, served, shelf_prefix, name)
    end
  end
end
return buried
