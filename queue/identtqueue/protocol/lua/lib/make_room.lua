-- Removes an ended task to make room for a new one of the same id. The attempt number and the last
-- fencing token are kept, since they must never decrease (see lib/fence.lua). HSET comes first: a
-- full Redis refuses it, as it refuses every enqueue, and then nothing is deleted.
local function make_room(dead, id, key)
  local old = redis.call('HMGET', key, 'attempt', 'started_at', 'fence')
  redis.call('HSET', key, 'state', 'pending')
  redis.call('DEL', key)
  if old[1] then
    local fence = math.max(tonumber(old[2] or 0), tonumber(old[3] or 0))
    redis.call('HSET', key, 'attempt', old[1], 'fence', fence)
  end
  redis.call('ZREM', dead, id)
end
