-- include lib/packed.lua
-- include lib/packed_fields.lua
-- Gives a task a HASH of its own, if it is packed. A script calls this before it changes a task.
-- Returns the key of the HASH, which may not exist, and the fields of a task that was packed. `at`
-- names `packed_tasks` and `task_prefix`; `text` is set if the caller has read it.
local function unpack_task(at, id, text)
  local key, words = at.task_prefix .. id, {}
  text = text or packed_text(at, id)
  if not text then return key end
  redis.call('HDEL', at.packed_tasks, short_id(id))  -- first: it is allowed at maxmemory
  local fields = fields_in(text)
  for name, value in pairs(fields) do
    if value then words[#words + 1], words[#words + 2] = name, value end
  end
  redis.call('HSET', key, unpack(words))
  return key, fields
end
