-- pause: stops all claims of a queue, or resumes them
-- KEYS  1 paused  2 pending  3 wake
-- ARGV  1 "pause" | "resume"  2 doorbell
-- Returns 1 if that changed anything, else 0
-- include lib/pending.lua
if ARGV[1] == 'pause' then return redis.call('SETNX', KEYS[1], '1') end
local changed = redis.call('DEL', KEYS[1])
if changed == 1 and redis.call('LLEN', KEYS[2]) > 0 then ring(KEYS[2], KEYS[3], ARGV[2], 0) end
return changed
