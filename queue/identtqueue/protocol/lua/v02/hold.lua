-- hold: keeps the direction in which requests of a queue go, for all bridges of that direction
-- KEYS  1 direction
-- ARGV  1 wanted  2 lease_ms
-- Returns "ok", or the other direction, which another bridge holds
local held = redis.call('GET', direction)
if held and held ~= wanted then return held end
-- A full Redis refuses a SET, and lets what is held be renewed.
if held then redis.call('PEXPIRE', direction, lease_ms)
else redis.call('SET', direction, wanted, 'PX', lease_ms) end
return 'ok'
