-- Returns the time of Redis' own clock, in ms. The protocol never uses the clocks of hosts.
local function now_ms()
  local time = redis.call('TIME')
  local seconds, microseconds = time[1], time[2]
  return seconds * 1000 + math.floor(microseconds / 1000)
end
