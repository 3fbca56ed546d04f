-- adopt: (none) -> pending, for requests that clients of 0.2 have pushed
-- KEYS  1 requests  2 pending  3 wake  4 stats  5 meta  6 tombstones  7 owed  8 refused
--       9 enqueued  10 packed_tasks
-- ARGV  1 task_prefix  2 doorbell  3 version: of the protocol  4 ttl: of the result
--       5 minute_prefix
--       6.. per request, in the order of the list: its bytes, id, payload, function name. Of a
--         request that can't be read, the payload is empty, and the id too if it is not known
-- Returns per request, in order: "ok" | "refused" | "gone": somebody else has taken it;
--         or {"protocol", the version found}
-- include lib/now.lua
-- include lib/pending.lua
-- include lib/fields_of.lua
local protocol = redis.call('HGET', meta, 'protocol')
if protocol and protocol ~= version then return {'protocol', protocol} end
local now, length, queued = now_ms(), 0, 0
local by_job = {}  -- number of adopted requests
local before = false  -- number of pending tasks; false: the length of the list
if redis.call('EXISTS', tombstones) == 1 then
  -- include lib/tombstones.lua
  before = living(pending, tombstones, task_prefix)
end
local answers, at = {}, {packed_tasks = packed_tasks, task_prefix = task_prefix}
local head = redis.call('LINDEX', requests, 0)

for i = LIST_START, #ARGV, 4 do
  local request, id, payload, name = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  local answer = 'gone'
  if head == request then
    answer = 'ok'
    -- A full Redis refuses the first of these writes. Then the request stays where it is.
    if payload == '' then
      answer = 'refused'
      redis.call('RPUSH', refused, request)
    elseif not fields_of(at, id, 'state')[1] then
      redis.call('HSET', task_prefix .. id, 'state', 'pending', 'payload', payload, 'function',
        name, 'enqueued_at', now, 'ttl', ttl)
      length = redis.call('RPUSH', pending, id)
      queued = queued + 1
      by_job[name] = (by_job[name] or 0) + 1
    end
    if id ~= '' then redis.call('ZADD', owed, now, id) end
    redis.call('LPOP', requests)
    head = redis.call('LINDEX', requests, 0)
  end
  answers[#answers + 1] = answer
end
if queued > 0 then
  -- include lib/count_enqueued.lua
  redis.call('HINCRBY', stats, 'enqueued', queued)
  count_enqueued(minute_prefix, enqueued, by_job, now)
  if not protocol then redis.call('HSET', meta, 'protocol', version) end
  ring(pending, wake, doorbell, before or length - queued)
end
return answers
