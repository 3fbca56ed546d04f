-- The recent ends of a queue: a list of `<ms> <id>`, the newest last, in which tasks that have
-- ended are found. `meta` says how many are kept, for how long, and whether the arguments of such
-- tasks are, if a worker has declared that otherwise than the default.

-- Returns how many ends are kept (0: none), for how many ms, and whether arguments are.
local function keeping(meta)
  local most, ms, keeps = string.match(
    redis.call('HGET', meta, 'keeping') or '10000 86400000 1', '^(%d+) (%d+) (%d)$')
  return tonumber(most), tonumber(ms), keeps == '1'
end

-- Adds ends. The oldest ones are dropped when the list is well over its bound, since a trim for
-- each end would cost as much as the end itself.
local function note_ends(ended, most, entries)
  if most <= 0 or #entries == 0 then return end
  local length = redis.call('RPUSH', ended, unpack(entries))
  if length > most * 1.1 + 100 then redis.call('LPOP', ended, length - most) end
end

-- Drops ends that are too old, at most 1,000 of them.
local function forget_ends(ended, meta, now)
  local head = redis.call('LINDEX', ended, 0)
  if not head then return end
  local most, ms = keeping(meta)
  if most <= 0 then return redis.call('UNLINK', ended) end
  local function is_old(entry) return tonumber(string.match(entry, '^%d+') or 0) + ms < now end
  if not is_old(head) then return end
  local entries, old = redis.call('LRANGE', ended, 0, 999), 0
  for i, entry in ipairs(entries) do
    if not is_old(entry) then break end
    old = i
  end
  redis.call('LPOP', ended, old)
end
