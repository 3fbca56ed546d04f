-- include lib/packed.lua
-- include lib/packed_fields.lua
-- Gives a task a HASH of its own, if it is packed. A script calls this before it changes a task.
-- Returns the key of the HASH, which may not exist. `at` names `packed_tasks` and `task_prefix`.
local function unpack_task(at, id)
  local key, text, words = at.task_prefix .. id, packed_text(at, id), {}
  if not text then return key end
  for name, value in pairs(fields_in(text)) do
    if value then words[#words + 1], words[#words + 2] = name, value end
  end
  redis.call('HDEL', at.packed_tasks, short_id(id))  -- first: it is allowed at maxmemory
  redis.call('HSET', key, unpack(words))
  return key
end
