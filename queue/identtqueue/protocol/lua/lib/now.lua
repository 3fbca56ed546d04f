-- Returns the time of Redis' own clock, in ms. The protocol never uses the clocks of hosts.
local function now_ms()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end
