-- include lib/end_task.lua
-- include lib/set_options.lua
-- include lib/unpack_task.lua
-- The firings of a cron entry that lie ahead. The entry in `cron` holds its `job`, `expression`,
-- `timezone` and `definition`, when a worker with that definition was last `seen`, the definitions
-- that it has `replaced`, and `firings`: id -> when it fires. A firing that was cancelled stays
-- there until its time is over, so that no worker plans it again. A `paused` entry (since when) keeps
-- in `ahead` what would be planned. `at` names the keys and prefixes, the entry and the time.

local function forget_past(at)
  for _, firings in ipairs({at.entry.firings, at.entry.ahead or {}}) do
    for id, fires in pairs(firings) do
      if fires <= at.now then firings[id], at.changed = nil, true end
    end
  end
end

-- Withdraws the planned firings, and returns them. A client that waits for one is notified that it
-- is cancelled.
local function withdraw(at, kind, reason)
  local withdrawn = {}
  for id, fires in pairs(at.entry.firings) do
    local key = at.task_prefix .. id
    local state, waiters = unpack(redis.call('HMGET', key, 'state', 'waiters'))
    if state == 'scheduled' then
      redis.call('ZREM', at.scheduled, id)
      redis.call('ZREM', at.expiring, id)
      if waiters then
        local why = cmsgpack.pack({kind, reason, ''})
        end_task(key, id, 'cancelled', 'error', why, at.now, 60000, at.unique_prefix)
      end
      redis.call('DEL', key)
      redis.call('HINCRBY', at.stats, 'cancelled', 1)
      at.entry.firings[id], withdrawn[id] = nil, fires
    end
  end
  return withdrawn
end

-- Plans a firing. Returns false if it was planned before, or if its time is over.
local function plan(at, id, fires, name, payload, job, options)
  if fires <= at.now or at.entry.firings[id] then return false end
  local key = unpack_task(at, id)
  at.entry.firings[id], at.changed = fires, true
  if redis.call('EXISTS', key) == 1 then return false end
  redis.call('HSET', key, 'state', 'scheduled', 'payload', payload, 'function', job,
    'enqueued_at', at.now, 'cron', name)
  redis.call('ZADD', at.scheduled, fires, id)
  set_options(at, id, key, options, fires)
  return true
end

-- Keeps a firing of a paused entry, so that it can be planned as soon as the entry is resumed.
local function keep(at, id, fires)
  if fires <= at.now or at.entry.firings[id] or at.entry.ahead[id] then return end
  at.entry.ahead[id], at.changed = fires, true
end

-- Removes entries that no worker has declared for 30 days. A new entry is the occasion.
local function forget_entries(cron, now)
  for _, name in ipairs(redis.call('HKEYS', cron)) do
    local is_entry = not string.find(name, ':', 1, true)
    local entry = is_entry and cmsgpack.unpack(redis.call('HGET', cron, name))
    if entry and entry.seen + 2592000000 < now then
      redis.call('HDEL', cron, name, 'call:' .. name, 'last:' .. name)
    end
  end
end
