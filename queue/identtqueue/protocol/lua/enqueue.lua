-- enqueue: (none) / succeeded / failed / cancelled -> pending / scheduled, for a batch
-- KEYS  1 pending  2 wake  3 scheduled  4 stats  5 meta  6 dead  7 tombstones
--       8 expiring  9 enqueued
-- ARGV  1 task_prefix  2 unique_prefix  3 doorbell  4 version: of the protocol
--       5 answer: key under which the answer is kept, so that a repeated call does nothing; or
--         empty
--       6 minute_prefix
--       7.. per task: id, payload, function name, options (msgpack map, or empty)
-- Options  delay, at, expires, ttl, unique_ttl (ms); unique (key); replace (the task replaces an
--          ended one of the same id); tags (one a line); parent (id)
-- Returns per task, in order: "ok" | "exists" | "unique" .. the id that holds the key;
--         or {"protocol", the version found}
-- include lib/now.lua
-- include lib/pending.lua
-- include lib/once.lua
local protocol = redis.call('HGET', meta, 'protocol')
if protocol and protocol ~= version then return {'protocol', protocol} end
local known = answer ~= '' and first_answer(answer)
if known then return known end
local now = now_ms()
local length, queued, accepted, earliest = 0, 0, 0, false
local by_job = {}  -- number of accepted tasks
local before = false  -- number of pending tasks; false: the length of the list
if redis.call('EXISTS', tombstones) == 1 then
  -- include lib/tombstones.lua
  before = living(pending, tombstones, task_prefix)
end
local replies = {}

for i = LIST_START, #ARGV, 4 do
  local id, payload, name, packed = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  local key = task_prefix .. id
  local state = redis.call('HGET', key, 'state')
  local options = packed ~= '' and cmsgpack.unpack(packed) or {}
  local ended = state == 'succeeded' or state == 'failed' or state == 'cancelled'
  local exists = state and not (options.replace and ended)
  local holder = not exists and options.unique
    and redis.call('GET', unique_prefix .. options.unique)
  if exists then
    replies[#replies + 1] = 'exists'
  elseif holder then
    replies[#replies + 1] = 'unique' .. holder
  else
    if state then
      -- include lib/make_room.lua
      make_room(dead, id, key)
    end
    local due = options.at or (options.delay and now + options.delay) or 0
    local is_due = due <= now
    redis.call('HSET', key, 'state', is_due and 'pending' or 'scheduled', 'payload', payload,
      'function', name, 'enqueued_at', now)
    if is_due then
      length = redis.call('RPUSH', pending, id)
      queued = queued + 1
    else
      redis.call('ZADD', scheduled, due, id)
      earliest = earliest or redis.call('ZRANK', scheduled, id) == 0
    end
    if packed ~= '' then
      -- include lib/keep_options.lua
      keep_options(key, id, options, now, expiring, unique_prefix)
    end
    accepted = accepted + 1
    by_job[name] = (by_job[name] or 0) + 1
    replies[#replies + 1] = 'ok'
  end
end
if accepted > 0 then
  -- include lib/count_enqueued.lua
  redis.call('HINCRBY', stats, 'enqueued', accepted)
  count_enqueued(minute_prefix, enqueued, by_job, now)
  if not protocol then redis.call('HSET', meta, 'protocol', version) end
end
if queued > 0 then ring(pending, wake, doorbell, before or length - queued)
elseif earliest then ring_for_schedule(wake, doorbell) end
if accepted > 0 and answer ~= '' then remember(answer, replies) end
return replies
