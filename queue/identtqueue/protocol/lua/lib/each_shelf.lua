-- Calls `call` for each shelf, with its name, its number of tasks, and whether they can start. They
-- can if a worker that has not declined them was seen in the last 10 s. They count as able to start
-- if there is no worker at all, because the next worker may be able to run them.
local function each_shelf(shelves, served, now, workers, call)
  local found = redis.call('HGETALL', shelves)
  for i = 1, #found, 2 do
    local seen = tonumber(redis.call('HGET', served, found[i]) or 0)
    call(found[i], tonumber(found[i + 1]), workers == 0 or seen > now - 10000)
  end
end
