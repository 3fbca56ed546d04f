-- wake: wakes one idle worker if tasks may start. A worker that was woken but may not claim (it
-- drains, or its lease is lost) calls this to wake another one
-- KEYS  1 pending  2 wake  3 blocked  4 tombstones  5 suspects
-- ARGV  1 task_prefix
-- Returns the number of tasks that may start (of held ones: one per job)
-- include lib/now.lua
-- include lib/pending.lua
-- include lib/due_held.lua
-- include lib/tombstones.lua
local startable = living(pending, tombstones, task_prefix) + redis.call('LLEN', suspects)
  + due_held(blocked, now_ms())
if startable > 0 then wake_one(wake) end
return startable
