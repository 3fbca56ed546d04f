-- include lib/owned.lua
-- include lib/unpack_task.lua
-- include lib/packed_fields.lua
-- As `owned`, of a task that may be packed. With 'ok' it has a HASH of its own then. `at` names
-- `packed_tasks` and `task_prefix`.
local function own(at, id, worker, attempt, done_state, or_cancelled)
  local text = packed_text(at, id)
  local ack = text and owned_packed(text, worker, attempt)
  if ack and ack ~= 'ok' then return ack end
  return owned(unpack_task(at, id), worker, attempt, done_state, or_cancelled)
end
