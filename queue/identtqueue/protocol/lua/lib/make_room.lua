-- An ended task makes room for a new one of the same id.
-- What never falls stays: the attempt number, and the last fencing token (see lib/fence.lua). HSET
-- comes first: a full Redis refuses it, as it refuses every enqueue, and nothing is deleted.
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
