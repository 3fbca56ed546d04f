-- cancel: scheduled / pending -> cancelled; the owner of a running task is asked to cancel it
-- KEYS  1 pending  2 scheduled  3 stats  4 blocked  5 tombstones  6 suspects  7 wake
--       8 expiring  9 shelves  10 served  11 ended  12 meta  13 packed_tasks  14 answer:<call>
-- ARGV  1 task_prefix  2 unique_prefix  3 id  4 reason: encoded  5 control_prefix
--       6 held_prefix  7 running_prefix  8 shelf_prefix
-- Returns "missing" | "ended" | "asked" | "ok"
-- include lib/now.lua
-- include lib/once.lua
-- include lib/cancel_task.lua
local known = first_answer(answer)
if known then return known end
local at = {pending = pending, scheduled = scheduled, stats = stats, blocked = blocked,
  tombstones = tombstones, suspects = suspects, wake = wake, expiring = expiring,
  shelves = shelves, served = served, packed_tasks = packed_tasks, task_prefix = task_prefix,
  unique_prefix = unique_prefix, reason = reason, control_prefix = control_prefix,
  held_prefix = held_prefix, running_prefix = running_prefix, shelf_prefix = shelf_prefix,
  ended = ended, meta = meta}
local done = cancel_task(at, id, true, now_ms())
if done == 'asked before' then done = 'asked' end
if done == 'ok' or done == 'asked' then remember(answer, done) end
return done
