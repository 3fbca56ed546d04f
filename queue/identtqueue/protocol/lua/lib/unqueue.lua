-- include lib/sweep.lua
-- Takes a pending task out of its list: `pending`, or the list of held tasks of the job that its
-- hash names in `held`. Unless it is the last one, its id stays in the list under a tombstone.
local function unqueue(pending, tombstones, blocked, held_prefix, task_prefix, id, held)
  local list = held and held_prefix .. held or pending
  local dead = held and tombstones .. ':' .. held or tombstones
  if redis.call('LINDEX', list, -1) == id then
    redis.call('RPOP', list)
  else
    redis.call('HINCRBY', dead, id, 1)
    redis.call('HINCRBY', dead, '', 1)
  end
  sweep(list, dead, task_prefix, 10)
  if held and redis.call('EXISTS', list) == 0 then redis.call('ZREM', blocked, held) end
end
