-- Redis' own clock, in ms: hosts' clocks play no part in the protocol.
local function now_ms()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end
