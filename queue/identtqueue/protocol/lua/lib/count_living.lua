-- Counts the ids of a list that are not dead. `tombstones` is false if there are none: then the
-- functions for them are not made. If no id lives, what is left of the dead ones is removed.
local function count_living(list, tombstones, task_prefix)
  if not tombstones then return redis.call('LLEN', list) end
  -- include lib/tombstones.lua
  -- include lib/sweep.lua
  local number = living(list, tombstones, task_prefix)
  if number == 0 then sweep(list, tombstones, task_prefix, 400) end
  return number
end
