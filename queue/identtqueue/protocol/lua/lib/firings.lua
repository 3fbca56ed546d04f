-- include lib/end_task.lua
-- The firings of a cron entry that lie ahead. The entry in `cron` holds its `definition`, when a
-- worker with that definition was last `seen`, the definitions that it has `replaced`, and
-- `firings`: id -> when it fires. A firing that was cancelled stays there until its time is over,
-- so that no worker plans it again. `at` names the keys and prefixes, the entry and the time.

local function forget_past(at)
  for id, fires in pairs(at.entry.firings) do
    if fires <= at.now then at.entry.firings[id], at.changed = nil, true end
  end
end

-- Withdraws the planned firings. A client that waits for one is notified that it is cancelled.
local function withdraw(at)
  for id in pairs(at.entry.firings) do
    local key = at.task_prefix .. id
    local state, waiters = unpack(redis.call('HMGET', key, 'state', 'waiters'))
    if state == 'scheduled' then
      redis.call('ZREM', at.scheduled, id)
      redis.call('ZREM', at.expiring, id)
      local why = cmsgpack.pack({'Replaced', 'the schedule has a new definition', ''})
      if waiters then
        end_task(key, id, 'cancelled', 'error', why, at.now, 60000, at.unique_prefix)
      end
      redis.call('DEL', key)
      redis.call('HINCRBY', at.stats, 'cancelled', 1)
      at.entry.firings[id] = nil
    end
  end
end

-- Plans a firing. Returns false if it was planned before, or if its time is over.
local function plan(at, id, fires, name, payload, job, options)
  local key = at.task_prefix .. id
  if fires <= at.now or at.entry.firings[id] then return false end
  at.entry.firings[id], at.changed = fires, true
  if redis.call('EXISTS', key) == 1 then return false end
  redis.call('HSET', key, 'state', 'scheduled', 'payload', payload, 'function', job,
    'enqueued_at', at.now, 'cron', name)
  redis.call('ZADD', at.scheduled, fires, id)
  if options.ttl then redis.call('HSET', key, 'ttl', options.ttl) end
  if options.expires then
    redis.call('HSET', key, 'expires_at', fires + options.expires)
    redis.call('ZADD', at.expiring, fires + options.expires, id)
  end
  if options.unique then
    redis.call('HSET', key, 'unique', options.unique, 'unique_ttl', options.unique_ttl)
  end
  return true
end
