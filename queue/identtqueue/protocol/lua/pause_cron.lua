-- pause_cron: scheduled / (none) -> (none) / scheduled, for the firings of a cron entry that lie
-- ahead. They are withdrawn, and no worker plans any until the entry is resumed
-- KEYS  1 cron  2 scheduled  3 stats  4 wake  5 expiring  6 audit  7 enqueued
--       8 packed_tasks  9 answer:<call>
-- ARGV  1 task_prefix  2 unique_prefix  3 doorbell  4 name  5 order: "pause" | "resume"
--       6 note: for the audit list, or empty  7 minute_prefix
-- Returns "ok" | "as before" | "missing"
-- include lib/now.lua
-- include lib/pending.lua
-- include lib/once.lua
-- include lib/firings.lua
-- include lib/log_act.lua
local known = first_answer(answer)
if known then return known end
local packed, packed_call = unpack(redis.call('HMGET', cron, name, 'call:' .. name))
local entry = packed and cmsgpack.unpack(packed)
if not entry or not packed_call then return 'missing' end
local stops = order == 'pause'
if stops == (entry.paused ~= nil) then return 'as before' end

local now, new, call = now_ms(), 0, cmsgpack.unpack(packed_call)
local at = {packed_tasks = packed_tasks, task_prefix = task_prefix, scheduled = scheduled,
  stats = stats, expiring = expiring,
  unique_prefix = unique_prefix, entry = entry, now = now}
redis.call('HDEL', cron, name)  -- first: it is allowed at maxmemory
forget_past(at)
if stops then
  entry.paused, entry.ahead = now, withdraw(at, 'Paused', 'the schedule is paused')
else
  local ahead, options = entry.ahead, cmsgpack.unpack(call.options)
  entry.paused, entry.ahead = nil, {}
  for id, fires in pairs(ahead) do
    if plan(at, id, fires, name, call.payload, entry.job, options) then new = new + 1 end
  end
end
redis.call('HSET', cron, name, cmsgpack.pack(entry))
if new > 0 then
  -- include lib/count_enqueued.lua
  redis.call('HINCRBY', stats, 'enqueued', new)
  count_enqueued(minute_prefix, enqueued, {[entry.job] = new}, now)
  ring_for_schedule(wake, doorbell)
end
log_act(audit, note, 1, 1, now)
return remember(answer, 'ok')
