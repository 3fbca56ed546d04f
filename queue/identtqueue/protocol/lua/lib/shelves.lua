-- Shelves: pending tasks that some workers have declined, since they know no such job, or take
-- other arguments. A shelf is named `<signatures that declined>:<job>`; `shelves` says how many tasks it
-- has, its list may hold ids that were cancelled meanwhile. `served` says when a worker was last
-- there that has not declined what is on it.

-- One task less is on the shelf.
local function take_off(shelves, served, prefix, shelf)
  if redis.call('HINCRBY', shelves, shelf, -1) > 0 then return end
  redis.call('HDEL', shelves, shelf)
  redis.call('HDEL', served, shelf)
  redis.call('DEL', prefix .. shelf)
end
