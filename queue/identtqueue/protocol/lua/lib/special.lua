-- include lib/job_of.lua
-- include lib/held.lua
-- include lib/due_held.lua
-- include lib/slots.lua
-- include lib/suspects.lua
-- include lib/shelf_names.lua
-- include lib/serve_shelf.lua
-- include lib/unpack_task.lua
-- include lib/limits.lua
-- What a claim needs only for a queue that is limited, or has suspects or shelves. `at` names the
-- keys and prefixes, and what is known of the worker.

-- Looks at a task that was popped from a list, and gives back the slot that it may have. Returns its
-- job, and the job whose limits held it.
local function look_at(at, key, id)
  local job, slot, held = unpack(redis.call('HMGET', key, 'function', 'slot', 'held'))
  if slot then vacate(at.running_prefix, at.blocked, at.wake, key, id, slot) end
  return job, held
end

-- Returns whether a packed task can start as if its queue had nothing special. Else it is unpacked.
local function keeps_packed(at, id, text, now)
  if not limit_of(at, job_of(text), now) then return true end
  unpack_task(at, id)
  return false
end

-- Functions for those that are defined above this include.
local special_functions = {admit = admit, due_held = due_held, keeps_packed = keeps_packed,
  look_at = look_at}

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
  return most, next_due, suspects, on_shelves
end
