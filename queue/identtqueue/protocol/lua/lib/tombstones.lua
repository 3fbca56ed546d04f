-- Tombstones: a cancelled task stays in its list, since removing it would have to walk the list.
-- The HASH `tombstones` counts how often each id lies dead in `pending`, and under '' the sum of
-- all (`tombstones:<job>` does so for a job's held tasks). Every reader skips the dead ids.
--
-- A tombstone alone never keeps a task from starting: the task's hash must agree. Workers of a
-- version without tombstones remove dead ids without counting them, and an id may be enqueued
-- again.

-- Counts the ids of the list that are not dead; `tombstones` is false if there are none.
local function living(list, tombstones, task_prefix)
  local length = redis.call('LLEN', list)
  local dead = tombstones and length > 0 and tonumber(redis.call('HGET', tombstones, '') or 0) or 0
  if length > dead or length == 0 then return length - dead end
  local head = redis.call('LINDEX', list, 0)
  local lives = redis.call('HEXISTS', tombstones, head) == 0
    or redis.call('HGET', task_prefix .. head, 'state') == 'pending'
  return lives and 1 or 0
end

-- Returns which of the ids have a tombstone, by position. An id that occurs twice needs two. `texts`
-- has the packed tasks among them, by position. They have none, so Redis does not search for it.
local function find_dead(tombstones, ids, texts)
  local asked, left, dead = {}, {}, {}
  for i, id in ipairs(ids) do
    if not (texts and texts[i]) then asked[#asked + 1] = id end
  end
  if #asked == 0 then return dead end
  for i, number in ipairs(redis.call('HMGET', tombstones, unpack(asked))) do
    left[asked[i]] = tonumber(number or 0)
  end
  for i, id in ipairs(ids) do
    if left[id] then
      left[id] = left[id] - 1
      dead[i] = left[id] >= 0
    end
  end
  return dead
end
