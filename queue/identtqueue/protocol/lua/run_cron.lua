-- run_cron: (none) -> pending, for a task of a cron entry, beside its firings. The entry may be
-- paused
-- KEYS  1 cron  2 pending  3 wake  4 stats  5 tombstones  6 expiring  7 audit  8 enqueued
--       9 answer:<call>
-- ARGV  1 task_prefix  2 unique_prefix  3 doorbell  4 name  5 id: random
--       6 note: for the audit list, or empty  7 minute_prefix
-- Returns {"missing"} | {"unique", the id that holds the key} | {"ok"}
-- include lib/now.lua
-- include lib/pending.lua
-- include lib/once.lua
-- include lib/tombstones.lua
-- include lib/set_options.lua
-- include lib/log_act.lua
-- include lib/count_enqueued.lua
local known = first_answer(answer)
if known then return known end
local packed, packed_call = unpack(redis.call('HMGET', cron, name, 'call:' .. name))
if not packed or not packed_call then return {'missing'} end
local call, now, key = cmsgpack.unpack(packed_call), now_ms(), task_prefix .. id
local options = cmsgpack.unpack(call.options)
local holder = options.unique and redis.call('GET', unique_prefix .. options.unique)
if holder then return {'unique', holder} end

local before = living(pending, tombstones, task_prefix)
local job = cmsgpack.unpack(packed).job
redis.call('HSET', key, 'state', 'pending', 'payload', call.payload, 'function', job,
  'enqueued_at', now, 'cron', name)
redis.call('RPUSH', pending, id)
set_options({expiring = expiring}, id, key, options, now)
if options.unique then
  redis.call('SET', unique_prefix .. options.unique, id, 'PX', options.unique_ttl)
end
redis.call('HSET', cron, 'last:' .. name, now)
redis.call('HINCRBY', stats, 'enqueued', 1)
count_enqueued(minute_prefix, enqueued, {[job] = 1}, now)
ring(pending, wake, doorbell, before)
log_act(audit, note, 1, 1, now)
return remember(answer, {'ok'})
