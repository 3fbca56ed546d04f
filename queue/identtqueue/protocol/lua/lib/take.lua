-- Upper bound for the payloads in a reply, unless a single one is larger: other replies wait for
-- it.
local MOST_BYTES = 1048576

-- Takes at most `number` ids from a list, and starts those that may start. `at` is {inflight,
-- special, looked, bytes}; `special` has the functions for tombstones, if the queue may have some.
-- Returns whether to go on. The number of ids looked at is bounded, for the case that few of them
-- start.
local function take(at, list, tombstones, number, start)
  local ids = number > 0 and at.looked < 200 and redis.call('LPOP', list, number) or {}
  if #ids > 0 then
    at.looked = at.looked + #ids
    redis.call('RPUSH', at.inflight, unpack(ids))
  end
  local special, gone = at.special, {}
  local dead = special and special.find_dead(tombstones, ids) or gone
  for i, id in ipairs(ids) do
    if at.bytes >= MOST_BYTES then
      -- include lib/return_rest.lua
      at.looked = 200
      return_rest(list, at.inflight, ids, i)
      break
    end
    if dead[i] then gone[#gone + 1] = id end
    if not start(list, ids, i, dead[i]) then redis.call('LREM', at.inflight, -1, id) end
  end
  if special then special.remove_tombstones(list, tombstones, gone) end
  return #ids > 0
end
