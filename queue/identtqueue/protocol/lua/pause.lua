-- pause: stops all claims from a queue, or resumes them
-- KEYS  1 paused  2 pending  3 wake  4 blocked  5 suspects  6 audit  7 answer:<call>
-- ARGV  1 order: "pause" | "resume"  2 doorbell  3 note: for the audit list, or empty
-- Returns 1 if that changed anything, else 0
-- include lib/now.lua
-- include lib/pending.lua
-- include lib/once.lua
-- include lib/log_act.lua
local known = first_answer(answer)
if known then return known end
local stops, stopped = order == 'pause', redis.call('EXISTS', paused) == 1
if stops == stopped then return 0 end
redis.call('DEL', paused)  -- first: it is allowed at maxmemory
if stops then
  redis.call('SETNX', paused, now_ms())  -- not SET, which the ACLs of other roles allow as well
elseif redis.call('EXISTS', pending, blocked, suspects) > 0 then
  ring(pending, wake, doorbell, 0)
end
log_act(audit, note, 1, 1, now_ms())
return remember(answer, 1)
