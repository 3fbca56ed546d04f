-- wake: wakes one idle worker if tasks may start. A worker that was woken but may not claim (it
-- drains, or its lease is lost) calls this to wake another one
-- KEYS  1 pending  2 wake  3 blocked  4 tombstones  5 suspects
-- ARGV  1 task prefix
-- Returns the number of tasks that may start (of held ones: one per job)
-- include lib/now.lua
-- include lib/pending.lua
-- include lib/due_held.lua
-- include lib/tombstones.lua
local startable = living(KEYS[1], KEYS[4], ARGV[1]) + redis.call('LLEN', KEYS[5])
  + due_held(KEYS[3], now_ms())
if startable > 0 then wake_one(KEYS[2]) end
return startable
