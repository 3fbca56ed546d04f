-- wake: rings for one idle worker when tasks are pending; a worker that was woken and may not
-- claim (it drains, its lease is lost) passes the call on
-- KEYS  1 pending  2 wake
-- ARGV  none
-- Returns the number of tasks pending
local pending = redis.call('LLEN', KEYS[1])
if pending > 0 and redis.call('EXISTS', KEYS[2]) == 0 then redis.call('RPUSH', KEYS[2], '1') end
return pending
