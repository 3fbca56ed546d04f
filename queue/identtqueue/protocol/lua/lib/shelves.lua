-- Shelves: pending tasks that some workers have declined, because they have no such job or their
-- job takes other arguments. The name of a shelf is `<signatures that declined>:<job>`. `shelves`
-- holds the number of its tasks; its list may also hold ids that were cancelled meanwhile. `served`
-- says when a worker that can run its tasks was last seen.

-- Counts one task less on a shelf, and removes the shelf after the last one.
local function take_off(shelves, served, prefix, shelf)
  if redis.call('HINCRBY', shelves, shelf, -1) > 0 then return end
  redis.call('HDEL', shelves, shelf)
  redis.call('HDEL', served, shelf)
  redis.call('DEL', prefix .. shelf)
end
