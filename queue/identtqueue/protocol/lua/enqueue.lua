-- enqueue: (none) / succeeded / failed / cancelled -> pending / scheduled, for a batch
-- KEYS  1 pending  2 wake  3 scheduled  4 stats  5 meta  6 dead  7 tombstones
--       8 expiring  9 enqueued  10 packed_tasks
-- ARGV  1 task_prefix  2 unique_prefix  3 doorbell  4 version: of the protocol
--       5 answer: key under which the answer is kept, so that a repeated call does nothing; or
--         empty
--       6 minute_prefix
--       7.. per task: id, payload, function name, options (msgpack map, or empty)
-- Options  delay, at, expires, ttl, unique_ttl (ms); unique (key); replace (the task replaces an
--          ended one of the same id); tags (one a line); parent (id)
-- Returns "ok" if all are accepted; else per task, in order: "ok" | "exists" | "unique" .. the id
--         that holds the key; or {"protocol", the version found}
-- include lib/now_text.lua
-- include lib/packed.lua
local protocol = redis.call('HGET', meta, 'protocol')
if protocol and protocol ~= version then return {'protocol', protocol} end
if answer ~= '' then
  -- include lib/once.lua
  local known = first_answer(answer)
  if known then return known end
end
-- Most ids are new, and most queues have no cancelled tasks. Two commands say so for all tasks.
local first = ARGV[LIST_START] or ''
local keys, shorts = {tombstones, task_prefix .. first}, {short_id(first)}
for i = LIST_START + 4, #ARGV, 4 do
  keys[#keys + 1], shorts[#shorts + 1] = task_prefix .. ARGV[i], short_id(ARGV[i])
end
local some_exist = redis.call('EXISTS', unpack(keys)) > 0
local are_packed = redis.call('HMGET', packed_tasks, unpack(shorts))
local before = false  -- number of pending tasks; false: the length of the list
if some_exist and redis.call('EXISTS', tombstones) == 1 then
  -- include lib/tombstones.lua
  before = living(pending, tombstones, task_prefix)
end
local now, ids, earliest, replies, accepted = now_text(), {}, false, {}, 0
local written, by_job, texts = {}, {}, {}  -- ids of this batch; number by job; what is packed

for i = LIST_START, #ARGV, 4 do
  local id, payload, name, packed = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  local n, key, due = #replies + 1, task_prefix .. id, nil
  local state = are_packed[n] or written[id] or some_exist and redis.call('HGET', key, 'state')
  local options = packed ~= '' and cmsgpack.unpack(packed)
  local ended = state == 'succeeded' or state == 'failed' or state == 'cancelled'
  local exists = state and not (ended and options and options.replace)
  local holder = not exists and options and options.unique
    and redis.call('GET', unique_prefix .. options.unique)
  if exists then replies[n] = 'exists'
  elseif holder then replies[n] = 'unique' .. holder
  else
    if state then
      -- include lib/make_room.lua
      make_room(dead, id, key)
    end
    local ordinary = not options and #payload <= MOST_PACKED and job_in(payload) == name
    -- A task with a tombstone has a HASH, so that what handles tombstones reads no other form.
    if ordinary and not (before and redis.call('HEXISTS', tombstones, id) == 1) then
      texts[#texts + 1], texts[#texts + 2] = shorts[n], 'p' .. now .. '\n' .. payload
    else
      -- include lib/store_task.lua
      local at = {scheduled = scheduled, expiring = expiring, unique_prefix = unique_prefix}
      due, earliest = store_task(at, key, id, payload, name, options, now, earliest)
    end
    if not due then ids[#ids + 1] = id end
    written[id], replies[n] = 'pending', 'ok'
    accepted, by_job[name] = accepted + 1, (by_job[name] or 0) + 1
  end
end
if #texts > 0 then redis.call('HSET', packed_tasks, unpack(texts)) end
local reply = accepted == #replies and 'ok' or replies
if accepted > 0 then
  -- include lib/count_enqueued.lua
  -- include lib/pending.lua
  redis.call('HINCRBY', stats, 'enqueued', accepted == 1 and '1' or accepted)
  count_enqueued(minute_prefix, enqueued, by_job, now)
  if not protocol then redis.call('HSET', meta, 'protocol', version) end
  local length = #ids > 0 and redis.call('RPUSH', pending, unpack(ids))
  if length then ring(pending, wake, doorbell, before or length - #ids)
  elseif earliest then ring_for_schedule(wake, doorbell) end
  if answer ~= '' then
    -- include lib/once.lua
    remember(answer, reply)
  end
end
return reply
