-- Calls for each shelf: its name, how many tasks it has, whether they can start. They can where a
-- worker is that has not declined them. Where there is no worker at all, the next one may be one.
local function each_shelf(shelves, served, now, workers, call)
  local found = redis.call('HGETALL', shelves)
  for i = 1, #found, 2 do
    local seen = tonumber(redis.call('HGET', served, found[i]) or 0)
    call(found[i], tonumber(found[i + 1]), workers == 0 or seen > now - 10000)
  end
end
