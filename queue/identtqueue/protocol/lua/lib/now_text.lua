-- Returns the time of Redis' own clock, in ms, as text. In a script that runs often, words of a
-- command are texts: Redis takes longer to write out a number than to look up a field.
local function now_text()
  local time = redis.call('TIME')
  local seconds, microseconds = time[1], time[2]
  return seconds .. string.sub('00000' .. microseconds, -6, -4)
end
