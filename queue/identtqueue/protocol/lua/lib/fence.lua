-- The fencing token that jobs get is the time of the start. So it grows also when a failover has
-- lost the number of the last attempt. If the clock has not moved on since the last start, it is one
-- more than the last token, and stored.
-- `news` gets it then.
local function fence(id, key, now, news)
  local last = redis.call('HMGET', key, 'started_at', 'fence')
  local token = math.max(tonumber(last[1] or 0), tonumber(last[2] or 0)) + 1
  if token <= now then return end
  redis.call('HSET', key, 'fence', token)
  news[#news + 1], news[#news + 2] = 'fence ' .. id, token
end
