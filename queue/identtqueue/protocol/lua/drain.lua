-- drain: asks workers to stop fetching, or calls them back
-- KEYS  1 workers  2 draining  3 answer:<call>
-- ARGV  1 "drain" | "undrain"  2 control channel prefix  3.. workers
-- Returns the workers whose state changed
-- include lib/once.lua
local known = first_answer(KEYS[3])
if known then return known end
local changed = {}
for i = 3, #ARGV do
  local worker, done = ARGV[i], 0
  local drains = redis.call('SISMEMBER', KEYS[2], worker) == 1
  if ARGV[1] == 'undrain' then
    done = redis.call('SREM', KEYS[2], worker)
  elseif not drains and redis.call('ZSCORE', KEYS[1], worker) then
    redis.call('SREM', KEYS[2], worker)  -- first: it is allowed at maxmemory
    done = redis.call('SADD', KEYS[2], worker)
  end
  if done == 1 then
    changed[#changed + 1] = worker
    redis.call('PUBLISH', ARGV[2] .. worker, ARGV[1])
  end
end
return #changed > 0 and remember(KEYS[3], changed) or changed
