-- drain: tells workers to stop fetching, or calls them back
-- KEYS  1 workers  2 draining
-- ARGV  1 "drain" | "undrain"  2 control channel prefix  3.. workers
-- Returns the workers whose state changed
local changed = {}
for i = 3, #ARGV do
  local done = 0
  if ARGV[1] == 'undrain' then done = redis.call('SREM', KEYS[2], ARGV[i])
  elseif redis.call('ZSCORE', KEYS[1], ARGV[i]) and redis.call('SISMEMBER', KEYS[2], ARGV[i]) == 0 then
    redis.call('SREM', KEYS[2], ARGV[i])  -- first: it is allowed at maxmemory
    done = redis.call('SADD', KEYS[2], ARGV[i])
  end
  if done == 1 then
    changed[#changed + 1] = ARGV[i]
    redis.call('PUBLISH', ARGV[2] .. ARGV[i], ARGV[1])
  end
end
return changed
