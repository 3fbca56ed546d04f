-- include lib/tombstones.lua
-- Returns those of the first `most` ids of a list that are not dead.
local function first_ids(list, tombstones, most)
  local ids, found = redis.call('LRANGE', list, 0, most - 1), {}
  local some = tombstones and redis.call('EXISTS', tombstones) == 1
  local dead = some and find_dead(tombstones, ids) or {}
  for i, id in ipairs(ids) do
    if not dead[i] then found[#found + 1] = id end
  end
  return found
end
