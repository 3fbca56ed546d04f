-- discard: failed -> (none), for many tasks
-- KEYS  1 dead  2 audit  3 packed_tasks  4 answer:<call>
-- ARGV  1 task_prefix  2 note: for the audit list, or empty  3.. ids
-- Returns per task, in order: "ok" | "missing" | "not dead"
-- include lib/now.lua
-- include lib/once.lua
-- include lib/add_up.lua
-- include lib/fields_of.lua
local known = first_answer(answer)
if known then return known end
local replies, changed = {}, 0
local at = {packed_tasks = packed_tasks, task_prefix = task_prefix}

local function discard(id)
  local key = task_prefix .. id
  local state = fields_of(at, id, 'state')[1]
  if not state then return 'missing' end
  if state ~= 'failed' then return 'not dead' end
  redis.call('ZREM', dead, id)
  redis.call('DEL', key)
  changed = changed + 1
  return 'ok'
end

for i = LIST_START, #ARGV do replies[#replies + 1] = discard(ARGV[i]) end
add_up(audit, note, #replies, changed, now_ms())
if changed > 0 or note ~= '' then remember(answer, replies) end
return replies
