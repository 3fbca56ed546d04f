-- include lib/owned.lua
-- include lib/packed_fields.lua
-- include lib/unpack_task.lua
-- As `owned`, of a task that may be packed. With 'ok' it has a HASH of its own then. `at` names
-- `packed_tasks` and `task_prefix`.
local function own(at, id, worker, attempt, done_state, or_cancelled)
  local text = packed_text(at, id)
  if not text then
    return owned(at.task_prefix .. id, worker, attempt, done_state, or_cancelled)
  end
  local ack, task = owned_packed(text, worker, attempt)
  if ack ~= 'ok' then return ack end
  local _, fields = unpack_task(at, id, text)
  task.waiters = fields.waiters or nil
  return ack, task
end
