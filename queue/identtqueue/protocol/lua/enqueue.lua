-- enqueue: (none) / succeeded / failed / cancelled -> pending / scheduled, for a batch
-- KEYS  1 pending  2 wake  3 scheduled  4 stats  5 meta  6 dead  7 tombstones
--       8 expiring  9 enqueued  10 packed_tasks
-- ARGV  1 task_prefix  2 unique_prefix  3 doorbell  4 version: of the protocol
--       5 answer: key under which the answer is kept, so that a repeated call does nothing; or
--         empty
--       6 minute_prefix
--       7.. per run of tasks with the same job and options: function name, options (msgpack map, or
--         empty), heads (msgpack array: id and length of the payload, by turns), payloads (joined)
-- Options  delay, at, expires, ttl, unique_ttl (ms); unique (key); replace (the task replaces an
--          ended one of the same id); tags (one a line); parent (id)
-- Returns "ok" if all are accepted; else per task, in order: "ok" | "exists" | "unique" .. the id
--         that holds the key; or {"protocol", the version found}
-- include lib/now_text.lua
-- include lib/packed.lua
-- include lib/read_runs.lua
local protocol = redis.call('HGET', meta, 'protocol')
if protocol and protocol ~= version then return {'protocol', protocol} end
if answer ~= '' then
  -- include lib/once.lua
  local known = first_answer(answer)
  if known then return known end
end
-- Most ids are new, and most queues have no cancelled tasks. Two commands say so for all tasks.
local runs, keys, shorts = read_runs(ARGV, LIST_START, task_prefix)
local exist = redis.call('EXISTS', tombstones, unpack(keys))
local are_packed = redis.call('HMGET', packed_tasks, shorts[1] or '', unpack(shorts, 2))
local before = false  -- number of pending tasks; false: the length of the list
if exist > 0 and redis.call('EXISTS', tombstones) == 1 then
  -- include lib/tombstones.lua
  -- The key `tombstones` has been counted among the tasks that exist.
  exist, before = exist - 1, living(pending, tombstones, task_prefix)
end
local find, sub, now = string.find, string.sub, now_text()
local start, earliest, written, by_job = 'p' .. now .. '\n', false, {}, {}
-- Lists, and their lengths: `#` would search for the end. What is packed is in `texts`, in pairs.
local replies, n, accepted, ids, waiting, texts, words = {}, 0, 0, {}, 0, {}, 0

for i = LIST_START, #ARGV, 4 do
  local name, packed, heads, payloads = ARGV[i], ARGV[i + 1], runs[i], ARGV[i + 3]
  local options = packed ~= '' and cmsgpack.unpack(packed)
  local job, read, others = not options and job_word(name), 0, accepted
  local unique, replaces = options and options.unique, options and options.replace
  for j = 1, #heads, 2 do
    local id, length, due = heads[j], heads[j + 1], nil
    local payload = sub(payloads, read + 1, read + length)
    read, n = read + length, n + 1
    local state = are_packed[n] or written[id] or exist > 0 and redis.call('HGET', keys[n], 'state')
    local exists = state and not (replaces and find('succeeded failed cancelled', state, 1, true))
    local holder = unique and not exists and redis.call('GET', unique_prefix .. unique)
    replies[n] = exists and 'exists' or holder and 'unique' .. holder or 'ok'
    if replies[n] == 'ok' then
      if state then
        -- include lib/make_room.lua
        make_room(dead, id, keys[n])
      end
      local ordinary = job and length <= MOST_PACKED and find(payload, job, 3, true) == 3
      -- A task with a tombstone has a HASH, so that what handles tombstones reads no other form.
      if ordinary and not (before and redis.call('HEXISTS', tombstones, id) == 1) then
        words, texts[words + 1], texts[words + 2] = words + 2, shorts[n], start .. payload
      else
        -- include lib/store_task.lua
        local at = {scheduled = scheduled, expiring = expiring, unique_prefix = unique_prefix}
        due, earliest = store_task(at, keys[n], id, payload, name, options, now, earliest)
      end
      if not due then waiting, ids[waiting + 1] = waiting + 1, id end
      accepted, written[id] = accepted + 1, 'pending'
    end
  end
  if accepted > others then by_job[name] = (by_job[name] or 0) + accepted - others end
end
if words > 0 then redis.call('HSET', packed_tasks, unpack(texts)) end
local reply = accepted == n and 'ok' or replies
if accepted > 0 then
  -- include lib/count_enqueued.lua
  -- include lib/pending.lua
  redis.call('HINCRBY', stats, 'enqueued', accepted == 1 and '1' or accepted)
  count_enqueued(minute_prefix, enqueued, by_job, now)
  if not protocol then redis.call('HSET', meta, 'protocol', version) end
  local length = waiting > 0 and redis.call('RPUSH', pending, unpack(ids))
  if length then ring(pending, wake, doorbell, before or length - waiting)
  elseif earliest then ring_for_schedule(wake, doorbell) end
  if answer ~= '' then
    -- include lib/once.lua
    remember(answer, reply)
  end
end
return reply
