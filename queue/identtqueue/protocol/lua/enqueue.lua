-- enqueue: (none) / succeeded / failed / cancelled -> pending / scheduled, for a batch
-- KEYS  1 pending  2 wake  3 scheduled  4 stats  5 meta  6 dead  7 tombstones
--       8 expiring
-- ARGV  1 task prefix  2 unique prefix  3 doorbell  4 protocol version
--       5 key under which the answer is kept, so that a repeated call does nothing; or empty
--       6.. per task: id, payload, function name, options (msgpack map, or empty)
-- Options  delay, at, expires, ttl, unique_ttl (ms); unique (key); replace (the task replaces an
--          ended one of the same id)
-- Returns per task, in order: "ok" | "exists" | "unique" .. the id that holds the key;
--         or {"protocol", the version found}
-- include lib/now.lua
-- include lib/pending.lua
-- include lib/once.lua
local protocol = redis.call('HGET', KEYS[5], 'protocol')
if protocol and protocol ~= ARGV[4] then return {'protocol', protocol} end
local known = ARGV[5] ~= '' and first_answer(ARGV[5])
if known then return known end
local now = now_ms()
local length, queued, accepted, earliest = 0, 0, 0, false
local before = false  -- number of pending tasks; false: the length of the list
if redis.call('EXISTS', KEYS[7]) == 1 then
  -- include lib/tombstones.lua
  before = living(KEYS[1], KEYS[7], ARGV[1])
end
local replies = {}

local function accept(id, key, payload, name, options)
  local due = options.at or (options.delay and now + options.delay) or 0
  if due > now then
    redis.call('HSET', key, 'state', 'scheduled', 'payload', payload, 'function', name,
      'enqueued_at', now)
    redis.call('ZADD', KEYS[3], due, id)
    earliest = earliest or redis.call('ZRANK', KEYS[3], id) == 0
  else
    redis.call('HSET', key, 'state', 'pending', 'payload', payload, 'function', name,
      'enqueued_at', now)
    length = redis.call('RPUSH', KEYS[1], id)
    queued = queued + 1
  end
  if options.ttl then redis.call('HSET', key, 'ttl', options.ttl) end
  if options.expires then
    redis.call('HSET', key, 'expires_at', now + options.expires)
    redis.call('ZADD', KEYS[8], now + options.expires, id)
  end
  if options.unique then
    redis.call('HSET', key, 'unique', options.unique, 'unique_ttl', options.unique_ttl)
    redis.call('SET', ARGV[2] .. options.unique, id, 'PX', options.unique_ttl)
  end
  accepted = accepted + 1
  return 'ok'
end

local function verdict(id, payload, name, packed)
  local key = ARGV[1] .. id
  local state = redis.call('HGET', key, 'state')
  local options = packed ~= '' and cmsgpack.unpack(packed) or {}
  local ended = state == 'succeeded' or state == 'failed' or state == 'cancelled'
  if state and not (options.replace and ended) then return 'exists' end
  local holder = options.unique and redis.call('GET', ARGV[2] .. options.unique)
  if holder then return 'unique' .. holder end
  if state then
    -- include lib/make_room.lua
    make_room(KEYS[6], id, key)
  end
  return accept(id, key, payload, name, options)
end

for i = 6, #ARGV, 4 do
  replies[#replies + 1] = verdict(ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3])
end
if accepted > 0 then
  redis.call('HINCRBY', KEYS[4], 'enqueued', accepted)
  if not protocol then redis.call('HSET', KEYS[5], 'protocol', ARGV[4]) end
end
if queued > 0 then ring(KEYS[1], KEYS[2], ARGV[3], before or length - queued)
elseif earliest then ring_for_schedule(KEYS[2], ARGV[3]) end
if accepted > 0 and ARGV[5] ~= '' then remember(ARGV[5], replies) end
return replies
