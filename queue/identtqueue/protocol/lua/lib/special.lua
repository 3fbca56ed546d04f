-- include lib/held.lua
-- include lib/due_held.lua
-- include lib/slots.lua
-- include lib/lies_elsewhere.lua
-- include lib/sweep.lua
-- include lib/tombstones.lua
-- include lib/suspects.lua
-- include lib/shelf_names.lua
-- include lib/serve_shelf.lua
-- include lib/unpack_task.lua
-- include lib/packed_fields.lua
-- include lib/limits.lua
-- What a claim needs only for a queue that is limited, or has suspects, shelves or cancelled tasks.
-- `at` names the keys and prefixes, and what is known of the worker.

-- Adds to `left` the tasks that any worker may start now. Returns the sum, and the ms until
-- something is due.
local function count_left(at, now, next_due, left)
  local sum, ms = due_held(at.blocked, now, next_due, left)
  return sum + living(at.pending, at.tombstones, at.task_prefix), ms
end

-- Looks at a task that was popped from a list: at position `i` of the `ids`, and `dead` if it has a
-- tombstone. Returns whether it lies there, its job, and the job whose limits held it.
local function look_at(at, list, key, ids, i, dead)
  local job, slot, held = unpack(redis.call('HMGET', key, 'function', 'slot', 'held'))
  if dead and lies_elsewhere(at, list, job, ids, i) then return false end
  if slot then vacate(at.running_prefix, at.blocked, at.wake, key, ids[i], slot) end
  return true, job, held
end

-- Returns whether a packed task can start as if its queue had nothing special. Else it is unpacked.
local function keeps_packed(at, id, text, now)
  if not limit_of(at, fields_in(text)['function'], now) then return true end
  unpack_task(at, id)
  return false
end

-- Functions for those that are defined above this include.
local special_functions = {admit = admit, count_left = count_left, find_dead = find_dead,
  keeps_packed = keeps_packed, look_at = look_at, remove_tombstones = remove_tombstones}

-- Starts suspects, tasks on shelves and held tasks, which come before the tasks in pending. Returns
-- how many tasks the claim may start in all, the ms until something is due, and the number of tasks
-- that are left: suspects, and those on the shelves from which the worker may be given tasks.
local function serve_special(at, so_far, most, next_due, now, start)
  local suspects, on_shelves = 0, 0
  so_far.special = special_functions
  most, next_due, suspects = serve_suspects(at, most, next_due, now, so_far.news, start)
  tell_shelves(at.shelves, so_far.news)
  for _, shelf in ipairs(at.offered) do
    on_shelves = on_shelves + serve_shelf(at, shelf, most - so_far.claimed, so_far, now, start)
  end
  serve_held(at, so_far, now, function() return most - so_far.claimed end, start)
  so_far.looked = so_far.looked + sweep(at.pending, at.tombstones, at.task_prefix, 400)
  return most, next_due, suspects, on_shelves
end
