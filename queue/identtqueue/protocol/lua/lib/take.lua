-- include lib/packed.lua
-- Upper bound for the payloads in a reply, unless a single one is larger: other replies wait for
-- it.
local MOST_BYTES = 1048576

-- Takes at most `number` ids from a list, and starts those that may start. `so_far` counts
-- what the claim has `looked` at and the `bytes` of its reply, and has the `inflight` list and the
-- `packed` tasks. `tombstones` is false if there are none for the list. Returns whether to go on.
-- The number of ids looked at is bounded, for the case that few of them start.
local function take(so_far, list, tombstones, number, start)
  local ids = number > 0 and so_far.looked < 200 and redis.call('LPOP', list, number) or {}
  if #ids == 0 then return false end
  so_far.looked = so_far.looked + #ids
  redis.call('RPUSH', so_far.inflight, unpack(ids))
  local gone, shorts, dead = {}, {}, {}
  for i, id in ipairs(ids) do shorts[i] = short_id(id) end
  local texts = redis.call('HMGET', so_far.packed, unpack(shorts))
  if tombstones then
    -- include lib/tombstones.lua
    dead = find_dead(tombstones, ids, texts)
  end
  for i, id in ipairs(ids) do
    if so_far.bytes >= MOST_BYTES then
      -- include lib/return_rest.lua
      so_far.looked = 200
      return_rest(list, so_far.inflight, ids, i)
      break
    end
    if dead[i] then gone[#gone + 1] = id end
    local starts = start(list, ids, i, dead[i], texts[i])
    if not starts then redis.call('LREM', so_far.inflight, -1, id) end
  end
  if #gone > 0 then
    -- include lib/sweep.lua
    remove_tombstones(list, tombstones, gone)
    if not so_far.swept then  -- once: it may look at many ids and find few
      so_far.looked = so_far.looked + sweep(list, tombstones, so_far.task_prefix, 400)
      so_far.swept = true
    end
  end
  return true
end
