-- schedule: (none) / scheduled -> scheduled / (none), for the firings of one cron entry that lie
-- ahead. An entry has one definition at a time. A new definition replaces the firings of the old
-- one. A replaced definition comes back only when no worker has had the newer one for a while
-- KEYS  1 cron  2 scheduled  3 stats  4 meta  5 wake  6 expiring
-- ARGV  1 task prefix  2 unique prefix  3 doorbell  4 protocol version  5 name
--       6 definition (a hash)  7 payload  8 function name  9 options (msgpack map)
--       10 length of that while (ms)
--       11.. pairs: id, when it fires (ms)
-- Options  expires (from the firing on), ttl, unique_ttl (ms); unique (key)
-- Returns {"protocol", the version found} | {"replaced"} | {"ok", how many firings are new}
-- include lib/now.lua
-- include lib/pending.lua
-- include lib/firings.lua
local protocol = redis.call('HGET', KEYS[4], 'protocol')
if protocol and protocol ~= ARGV[4] then return {'protocol', protocol} end
local now, packed = now_ms(), redis.call('HGET', KEYS[1], ARGV[5])
local entry = packed and cmsgpack.unpack(packed) or {seen = 0, replaced = {}, firings = {}}
local other, kept = entry.definition ~= ARGV[6], entry.seen + tonumber(ARGV[10]) > now
if other and kept and entry.replaced[ARGV[6]] then return {'replaced'} end

local at = {prefix = ARGV[1], scheduled = KEYS[2], stats = KEYS[3], expiring = KEYS[6],
  unique_prefix = ARGV[2], entry = entry, now = now}
forget_past(at)
if other then
  withdraw(at)
  entry.replaced = kept and entry.replaced or {}
  if entry.definition and kept then entry.replaced[entry.definition] = now end
  entry.replaced[ARGV[6]], entry.definition, at.changed = nil, ARGV[6], true
end
local options, new = cmsgpack.unpack(ARGV[9]), 0
for i = 11, #ARGV, 2 do
  if plan(at, ARGV[i], tonumber(ARGV[i + 1]), ARGV[5], ARGV[7], ARGV[8], options) then
    new = new + 1
  end
end
if at.changed or entry.seen + 5000 < now then
  entry.seen = now
  redis.call('HDEL', KEYS[1], ARGV[5])  -- first: it is allowed at maxmemory
  redis.call('HSET', KEYS[1], ARGV[5], cmsgpack.pack(entry))
end
if new > 0 then
  redis.call('HINCRBY', KEYS[3], 'enqueued', new)
  if not protocol then redis.call('HSET', KEYS[4], 'protocol', ARGV[4]) end
  ring_for_schedule(KEYS[5], ARGV[3])
end
return {'ok', new}
