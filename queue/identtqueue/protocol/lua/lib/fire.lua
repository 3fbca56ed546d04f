-- include lib/end_cancelled.lua
-- Decides which of the due ids are firings of cron entries that must not start. Returns the reason
-- by position. Missed firings of an entry run once: of several, only the last one starts, and those
-- that are less than 3 s late, which is how far apart promotions are while all workers are busy. A
-- firing takes its unique key now, and is skipped while another task holds the key.
-- `at` is {cron, stats, unique prefix, expiring}.
local function left_out(at, scheduled, task_prefix, ids, now)
  local why, last = {}, {}
  if redis.call('EXISTS', at[1]) == 0 then return why end
  for i = #ids, 1, -1 do
    local task = redis.call('HMGET', task_prefix .. ids[i], 'cron', 'unique', 'unique_ttl', 'attempt')
    local name = not task[4] and task[1]  -- one with an attempt has fired already: it is a retry
    if name and last[name] and tonumber(redis.call('ZSCORE', scheduled, ids[i])) + 3000 <= now then
      why[i] = {'Missed', 'a later firing of the schedule was due as well', ''}
    elseif name and task[2] then
      local holder = redis.call('GET', at[3] .. task[2])
      if holder then why[i] = {'Skipped', holder .. ' has the unique key', ''} end
      if not holder then redis.call('SET', at[3] .. task[2], ids[i], 'PX', task[3]) end
    end
    if name and not why[i] then last[name] = true end
  end
  return why
end

local function leave_out(at, key, id, why, now)
  local ttl = redis.call('HGET', key, 'ttl')
  redis.call('ZREM', at[4], id)
  end_cancelled(key, id, cmsgpack.pack(why), now, ttl, at[3], at[2])
end
