-- reschedule: changes when scheduled tasks are due. The first claim or promotion after that time
-- starts them
-- KEYS  1 scheduled  2 wake  3 audit  4 packed_tasks  5 answer:<call>
-- ARGV  1 task_prefix  2 doorbell  3 note: for the audit list, or empty
--       4.. pairs: id, when it is due (ms), or 0: now, unless it is already
-- Returns per task, in order: "ok" | "missing" | "not scheduled"
-- include lib/now.lua
-- include lib/pending.lua
-- include lib/once.lua
-- include lib/add_up.lua
-- include lib/fields_of.lua
local known = first_answer(answer)
if known then return known end
local now, replies, changed = now_ms(), {}, 0
local at = {packed_tasks = packed_tasks, task_prefix = task_prefix}

local function reschedule(id, due)
  local state = fields_of(at, id, 'state')[1]
  if not state then return 'missing' end
  if state ~= 'scheduled' then return 'not scheduled' end
  if due == 0 then due = math.min(now, tonumber(redis.call('ZSCORE', scheduled, id) or now)) end
  redis.call('ZREM', scheduled, id)  -- first: it is allowed at maxmemory
  redis.call('ZADD', scheduled, due, id)
  changed = changed + 1
  return 'ok'
end

for i = LIST_START, #ARGV, 2 do
  replies[#replies + 1] = reschedule(ARGV[i], tonumber(ARGV[i + 1]))
end
if changed > 0 then ring_for_schedule(wake, doorbell) end
add_up(audit, note, #replies, changed, now)
if changed > 0 or note ~= '' then remember(answer, replies) end
return replies
