-- schedule: (none) / scheduled -> scheduled / (none), for the firings of one cron entry that lie
-- ahead. An entry has one definition at a time. A new definition replaces the firings of the old
-- one. A replaced definition comes back only when no worker has had the newer one for a while. A
-- paused entry fires not at all
-- KEYS  1 cron  2 scheduled  3 stats  4 meta  5 wake  6 expiring  7 enqueued  8 packed_tasks
-- ARGV  1 task_prefix  2 unique_prefix  3 doorbell  4 version: of the protocol  5 name
--       6 definition: a hash  7 payload  8 job: function name  9 packed_options: msgpack map
--       10 kept_ms: length of that while  11 expression  12 timezone  13 minute_prefix
--       14.. pairs: id, when it fires (ms)
-- Options  expires (from the firing on), ttl, unique_ttl (ms); unique (key); tags (one a line)
-- Returns {"protocol", the version found} | {"replaced"}
--         | {"ok" | "suspended" (the entry is paused), how many firings are new}
-- include lib/now.lua
-- include lib/pending.lua
-- include lib/firings.lua
local protocol = redis.call('HGET', meta, 'protocol')
if protocol and protocol ~= version then return {'protocol', protocol} end
local now, packed = now_ms(), redis.call('HGET', cron, name)
local entry = packed and cmsgpack.unpack(packed) or {seen = 0, replaced = {}, firings = {}}
local other, kept = entry.definition ~= definition, entry.seen + tonumber(kept_ms) > now
if other and kept and entry.replaced[definition] then return {'replaced'} end

local at = {packed_tasks = packed_tasks, task_prefix = task_prefix, scheduled = scheduled,
  stats = stats, expiring = expiring,
  unique_prefix = unique_prefix, entry = entry, now = now}
if not packed then forget_entries(cron, now) end
forget_past(at)
if other or not entry.job then
  withdraw(at, 'Replaced', 'the schedule has a new definition')
  entry.replaced = kept and entry.replaced or {}
  if entry.definition and kept then entry.replaced[entry.definition] = now end
  entry.replaced[definition], entry.definition, at.changed = nil, definition, true
  entry.job, entry.expression, entry.timezone, entry.ahead = job, expression, timezone, {}
  redis.call('HDEL', cron, 'call:' .. name)  -- first: it is allowed at maxmemory
  local call = {payload = payload, options = packed_options}
  redis.call('HSET', cron, 'call:' .. name, cmsgpack.pack(call))
end
local options, new = cmsgpack.unpack(packed_options), 0
for i = LIST_START, #ARGV, 2 do
  local id, fires = ARGV[i], tonumber(ARGV[i + 1])
  if entry.paused then keep(at, id, fires)
  elseif plan(at, id, fires, name, payload, job, options) then new = new + 1 end
end
if at.changed or entry.seen + 5000 < now then
  entry.seen = now
  redis.call('HDEL', cron, name)  -- first: it is allowed at maxmemory
  redis.call('HSET', cron, name, cmsgpack.pack(entry))
end
if new > 0 then
  -- include lib/count_enqueued.lua
  redis.call('HINCRBY', stats, 'enqueued', new)
  count_enqueued(minute_prefix, enqueued, {[job] = new}, now)
  if not protocol then redis.call('HSET', meta, 'protocol', version) end
  ring_for_schedule(wake, doorbell)
end
return {entry.paused and 'suspended' or 'ok', new}
