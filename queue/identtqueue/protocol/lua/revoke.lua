-- revoke: scheduled / pending -> cancelled, for many tasks, by an administrator; if it says so, the
-- owners of running ones are asked to cancel them
-- KEYS  1 pending  2 scheduled  3 stats  4 blocked  5 tombstones  6 suspects  7 wake
--       8 expiring  9 shelves  10 served  11 ended  12 meta  13 audit
--       14 packed_tasks  15 answer:<call>
-- ARGV  1 task_prefix  2 unique_prefix  3 reason: encoded  4 control_prefix  5 held_prefix
--       6 running_prefix  7 shelf_prefix  8 asks: whether owners are asked: 0|1
--       9 note: for the audit list, or empty  10.. ids
-- Returns per task, in order: "missing" | "ended" | "running" | "asked" | "asked before" | "ok"
-- include lib/now.lua
-- include lib/once.lua
-- include lib/cancel_task.lua
-- include lib/add_up.lua
local known = first_answer(answer)
if known then return known end
local at = {pending = pending, scheduled = scheduled, stats = stats, blocked = blocked,
  tombstones = tombstones, suspects = suspects, wake = wake, expiring = expiring,
  shelves = shelves, served = served, packed_tasks = packed_tasks, task_prefix = task_prefix,
  unique_prefix = unique_prefix, reason = reason, control_prefix = control_prefix,
  held_prefix = held_prefix, running_prefix = running_prefix, shelf_prefix = shelf_prefix,
  ended = ended, meta = meta}
local now, replies, changed = now_ms(), {}, 0
for i = LIST_START, #ARGV do
  local done = cancel_task(at, ARGV[i], asks == '1', now)
  if done == 'ok' or done == 'asked' then changed = changed + 1 end
  replies[#replies + 1] = done
end
add_up(audit, note, #replies, changed, now)
if changed > 0 or note ~= '' then remember(answer, replies) end
return replies
