-- include lib/end_task.lua
-- include lib/recent.lua
-- Ends one task, and adds it to the recent ends. A script that ends many does both itself, so that
-- a batch costs one push. `at` names the keys and prefixes; `task` is the one of `end_task`.
local function end_one(at, key, id, state, field, data, now, ttl, task)
  local most, _, keeps = keeping(at.meta)
  redis.call('HDEL', key, 'held')  -- first: it is allowed at maxmemory
  local kept = keeps and redis.call('HSTRLEN', key, 'payload') <= 16384
  end_task(key, id, state, field, data, now, ttl, at.unique_prefix, task, kept)
  note_ends(at.ended, most, {now .. ' ' .. id})
end
