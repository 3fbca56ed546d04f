-- Takes ids that have ended out of a worker's list. If they are its first ones, which they are
-- while jobs end in the order in which they were claimed, that is one command. `ended` has them as
-- its keys.
local function let_go(inflight, ids, ended)
  if #ids == 1 then return redis.call('LREM', inflight, '1', ids[1]) end
  local first, gone, others = redis.call('LPOP', inflight, #ids) or {}, {}, {}
  for i = #first, 1, -1 do
    local id = first[i]
    if ended[id] then gone[id] = true else others[#others + 1] = id end
  end
  if #others > 0 then redis.call('LPUSH', inflight, unpack(others)) end
  for _, id in ipairs(ids) do
    if not gone[id] then redis.call('LREM', inflight, '1', id) end
  end
end
