-- wake: wakes one idle worker if tasks may start, or if none looks when the next one becomes due. A
-- worker that was to look but may not claim (it is busy, drains, or its lease is lost) calls this
-- KEYS  1 pending  2 wake  3 blocked  4 tombstones  5 suspects  6 scheduled  7 alarm
-- ARGV  1 task_prefix  2 promised: when the caller would have looked (ms), or 0: it takes that back
-- Returns the number of tasks that may start (of held ones: one per job)
-- include lib/now.lua
-- include lib/next_due.lua
-- include lib/alarm.lua
-- include lib/pending.lua
-- include lib/due_held.lua
-- include lib/tombstones.lua
local now = now_ms()
if promised ~= '0' and redis.call('GET', alarm) == promised then redis.call('DEL', alarm) end
local startable, next_due = due_held(blocked, now, next_due_ms(scheduled, now),
  living(pending, tombstones, task_prefix) + redis.call('LLEN', suspects))
if startable > 0 or is_unattended(alarm, now, next_due) then wake_one(wake) end
return startable
