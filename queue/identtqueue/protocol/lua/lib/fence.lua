-- The fencing token that a job gets is the time of its start. So it grows even if a failover has
-- lost the number of the last attempt. If the clock has not moved on since the last start, the
-- token is one more than the last one. Only then it is stored in the hash and added to `news`.
local function fence(id, key, now, news)
  local started_at, last = unpack(redis.call('HMGET', key, 'started_at', 'fence'))
  local token = math.max(tonumber(started_at or 0), tonumber(last or 0)) + 1
  if token <= now then return end
  redis.call('HSET', key, 'fence', token)
  news[#news + 1], news[#news + 2] = 'fence ' .. id, token
end
