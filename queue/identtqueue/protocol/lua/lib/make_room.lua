-- Removes an ended task to make room for a new one of the same id. The attempt number and the last
-- fencing token are kept, since they must never decrease (see lib/fence.lua). HSET comes first: a
-- full Redis refuses it, as it refuses every enqueue, and then nothing is deleted.
local function make_room(dead, id, key)
  local attempt, started_at, token = unpack(
    redis.call('HMGET', key, 'attempt', 'started_at', 'fence'))
  redis.call('HSET', key, 'state', 'pending')
  redis.call('DEL', key)
  if attempt then
    token = math.max(tonumber(started_at or 0), tonumber(token or 0))
    redis.call('HSET', key, 'attempt', attempt, 'fence', token)
  end
  redis.call('ZREM', dead, id)
end
