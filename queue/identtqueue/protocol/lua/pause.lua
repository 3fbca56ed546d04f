-- pause: stops all claims from a queue, or resumes them
-- KEYS  1 paused  2 pending  3 wake  4 blocked  5 suspects  6 answer:<call>
-- ARGV  1 order: "pause" | "resume"  2 doorbell
-- Returns 1 if that changed anything, else 0
-- include lib/pending.lua
-- include lib/once.lua
local known = first_answer(answer)
if known then return known end
local before = redis.call('EXISTS', paused)
if order == 'pause' then
  if before == 1 then return 0 end
  redis.call('DEL', paused)  -- first: it is allowed at maxmemory
  redis.call('SETNX', paused, '1')  -- not SET, which the ACLs of other roles allow as well
  return remember(answer, 1)
end
redis.call('DEL', paused)
if before == 1 and redis.call('EXISTS', pending, blocked, suspects) > 0 then
  ring(pending, wake, doorbell, 0)
end
return before == 1 and remember(answer, 1) or 0
