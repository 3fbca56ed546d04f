-- include lib/end_cancelled.lua
-- Decides which of the due ids are firings of cron entries that must not start. Returns the reason
-- by position; and by entry, the time of the last firing that starts. Missed firings of an entry run
-- once: of several, only the last one starts, and those that are less than 3 s late, which is how far
-- apart promotions are while all workers are busy. A firing takes its unique key now, and is skipped
-- while another task holds the key.
-- `at` names the keys and prefixes.
local function left_out(at, ids, now)
  local why, last = {}, {}
  if redis.call('EXISTS', at.cron) == 0 then return why, last end
  for i = #ids, 1, -1 do
    local id, key = ids[i], at.task_prefix .. ids[i]
    local entry, unique, unique_ttl, attempt = unpack(
      redis.call('HMGET', key, 'cron', 'unique', 'unique_ttl', 'attempt'))
    local name = not attempt and entry  -- one with an attempt has fired already: it is a retry
    local due = name and tonumber(redis.call('ZSCORE', at.scheduled, id))
    if name and last[name] and due + 3000 <= now then
      why[i] = {'Missed', 'a later firing of the schedule was due as well', ''}
    elseif name and unique then
      local holder = redis.call('GET', at.unique_prefix .. unique)
      if holder then why[i] = {'Skipped', holder .. ' has the unique key', ''} end
      if not holder then redis.call('SET', at.unique_prefix .. unique, id, 'PX', unique_ttl) end
    end
    if name and not why[i] then last[name] = last[name] or due end
  end
  return why, last
end

local function leave_out(at, id, why, now)
  local key = at.task_prefix .. id
  local ttl = redis.call('HGET', key, 'ttl')
  redis.call('ZREM', at.expiring, id)
  end_cancelled(at, key, id, cmsgpack.pack(why), now, ttl)
end
