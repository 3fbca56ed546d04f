-- include lib/promote.lua
-- include lib/next_due.lua
-- Moves up to 100 due tasks to the end of pending. Returns the ms until the next one is due (-1:
-- there is none). `at` names the keys and prefixes.
local function promote_due(at, now)
  local due = redis.call('ZRANGEBYSCORE', at.scheduled, '-inf', now, 'LIMIT', '0', '100')
  if #due > 0 then promote(at, due, now) end
  return next_due_ms(at.scheduled, now)
end
