-- pause: stops all claims from a queue, or resumes them
-- KEYS  1 paused  2 pending  3 wake  4 blocked  5 suspects  6 answer:<call>
-- ARGV  1 "pause" | "resume"  2 doorbell
-- Returns 1 if that changed anything, else 0
-- include lib/pending.lua
-- include lib/once.lua
local known = first_answer(KEYS[6])
if known then return known end
local paused = redis.call('EXISTS', KEYS[1])
if ARGV[1] == 'pause' then
  if paused == 1 then return 0 end
  redis.call('DEL', KEYS[1])  -- first: it is allowed at maxmemory
  redis.call('SETNX', KEYS[1], '1')  -- not SET, which the ACLs of other roles allow as well
  return remember(KEYS[6], 1)
end
redis.call('DEL', KEYS[1])
if paused == 1 and redis.call('EXISTS', KEYS[2], KEYS[4], KEYS[5]) > 0 then
  ring(KEYS[2], KEYS[3], ARGV[2], 0)
end
return paused == 1 and remember(KEYS[6], 1) or 0
