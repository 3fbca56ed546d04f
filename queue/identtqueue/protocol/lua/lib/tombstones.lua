-- Tombstones: a cancelled task stays in its list, since taking it out would walk the list. The HASH
-- `tombstones` of `pending` (`tombstones:<job>` of a job's held tasks) says how often an id lies
-- there dead, and under '' how many dead ids lie there in all. Every reader passes over them.
--
-- A tombstone alone never keeps a task from starting: the task's hash must agree. Workers of a
-- version without tombstones take dead ids out uncounted, and an id may be enqueued again.

-- How many tasks of the list are not dead; `tombstones` is false if there are none.
local function living(list, tombstones, task_prefix)
  local length = redis.call('LLEN', list)
  local dead = tombstones and length > 0 and tonumber(redis.call('HGET', tombstones, '') or 0) or 0
  if length > dead or length == 0 then return length - dead end
  local head = redis.call('LINDEX', list, 0)
  local lives = redis.call('HEXISTS', tombstones, head) == 0
    or redis.call('HGET', task_prefix .. head, 'state') == 'pending'
  return lives and 1 or 0
end

-- Which of the ids have a tombstone, by position; one that is named twice needs two.
local function find_dead(tombstones, ids)
  local left, dead = {}, {}
  if #ids == 0 then return dead end
  for i, number in ipairs(redis.call('HMGET', tombstones, unpack(ids))) do
    local id = ids[i]
    left[id] = (left[id] or tonumber(number or 0)) - 1
    dead[i] = left[id] >= 0
  end
  return dead
end
