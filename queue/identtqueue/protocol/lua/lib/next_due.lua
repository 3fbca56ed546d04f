-- Returns the ms until the next scheduled task is due (-1: there is none).
local function next_due_ms(scheduled, now)
  local _, due = unpack(redis.call('ZRANGE', scheduled, '0', '0', 'WITHSCORES'))
  return due and math.max(0, tonumber(due) - now) or -1
end
