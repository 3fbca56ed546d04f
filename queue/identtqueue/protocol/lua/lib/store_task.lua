-- Writes a task that is not an ordinary one into a HASH of its own. Returns when it is due, or nil:
-- it is pending; and whether it, or an `earlier` one of the batch, is the next scheduled one. `at`
-- names keys and prefixes.
local function store_task(at, key, id, payload, name, options, now, earlier)
  local due = options and (options.at or options.delay and now + options.delay)
  if not due or due <= tonumber(now) then due = nil end
  redis.call('HSET', key, 'state', due and 'scheduled' or 'pending', 'payload', payload, 'function',
    name, 'enqueued_at', now)
  if due then redis.call('ZADD', at.scheduled, due, id) end
  if options then
    -- include lib/keep_options.lua
    keep_options(key, id, options, now, at.expiring, at.unique_prefix)
  end
  return due, earlier or due and redis.call('ZRANK', at.scheduled, id) == 0
end
