-- include lib/packed_fields.lua
-- Reads fields of a task, which may be packed. Returns what HMGET does: a list with false for what
-- it lacks, and for all of a task that does not exist. `at` names `packed_tasks` and `task_prefix`.
local function fields_of(at, id, ...)
  local text = packed_text(at, id)
  if not text then return redis.call('HMGET', at.task_prefix .. id, ...) end
  local fields, found = fields_in(text), {}
  for i, name in ipairs({...}) do found[i] = fields[name] or false end
  return found
end
