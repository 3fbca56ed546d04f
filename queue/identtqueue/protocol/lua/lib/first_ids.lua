-- include lib/tombstones.lua
-- The first ids of a list that are not dead. Those behind many dead ones are not seen.
local function first_ids(list, tombstones, most)
  local ids, found = redis.call('LRANGE', list, 0, most - 1), {}
  local some = tombstones and redis.call('EXISTS', tombstones) == 1
  local dead = some and find_dead(tombstones, ids) or {}
  for i, id in ipairs(ids) do
    if not dead[i] then found[#found + 1] = id end
  end
  return found
end
