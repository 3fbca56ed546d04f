-- include lib/packed.lua
-- Gives a task a HASH of its own, if it is packed. A script calls this before it changes a task.
-- Returns the key of the HASH, which may not exist. `at` names `packed_tasks` and `task_prefix`.
local function unpack_task(at, id)
  local key, short, words = at.task_prefix .. id, short_id(id), {}
  local text = redis.call('HGET', at.packed_tasks, short)
  if not text then return key end
  redis.call('HDEL', at.packed_tasks, short)  -- first: it is allowed at maxmemory
  local over = forgotten_at(text)
  if over and over <= now_ms() then return key end
  for name, value in pairs(fields_in(text)) do
    if value then words[#words + 1], words[#words + 2] = name, value end
  end
  redis.call('HSET', key, unpack(words))
  if over then redis.call('PEXPIREAT', key, over) end
  return key
end
