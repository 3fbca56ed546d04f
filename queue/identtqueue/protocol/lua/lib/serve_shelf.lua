-- include lib/shelves.lua
-- include lib/take.lua
-- include lib/limits.lua
-- Starts at most `number` tasks of a shelf, as far as its job's limits allow. `at` names the keys
-- and prefixes, `so_far.bytes` is the size of the reply up to now. Returns 1 if more of them may
-- start, else 0.
local function serve_shelf(at, shelf, number, so_far, now, start)
  local list, job = at.shelf_prefix .. shelf, string.match(shelf, ':(.*)$')
  local function free() return (allowance(limit_of(at, job, now), now)) end
  for _ = 1, math.min(number, free(), 200) do
    local id = so_far.bytes < MOST_BYTES and redis.call('LPOP', list)
    if not id then break end
    local key = at.task_prefix .. id
    if redis.call('HGET', key, 'shelf') == shelf then  -- else it was cancelled
      redis.call('RPUSH', at.inflight, id)
      redis.call('HDEL', key, 'shelf')
      take_off(at.shelves, at.served, at.shelf_prefix, shelf)
      if not start(list, {id}, 1) then redis.call('LREM', at.inflight, -1, id) end
    end
  end
  return free() > 0 and redis.call('EXISTS', list) or 0
end
