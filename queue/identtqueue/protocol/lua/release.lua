-- release: running -> pending (head, in their old order; those whose job has held tasks go to the
-- head of these, suspects to the head of the suspects). It counts neither as a failure nor as a
-- loss. -> cancelled, if that was asked for
-- KEYS  1 inflight:<worker>  2 pending  3 wake  4 stats  5 blocked  6 tombstones  7 suspects
--       8 ended  9 meta  10 info  11 packed_tasks
-- ARGV  1 task_prefix  2 worker  3 doorbell  4 held_prefix  5 running_prefix
--       6 unique_prefix  7 cancelled_error  8.. pairs: id, attempt
-- Returns per attempt, in order: "ok" | "done" (a repeat) | "lost" | "missing"
-- include lib/now.lua
-- include lib/pending.lua
-- include lib/own.lua
-- include lib/slots.lua
-- include lib/put_back.lua
-- include lib/tombstones.lua
-- include lib/end_cancelled.lua
-- include lib/history.lua
local now, before = now_ms(), living(pending, tombstones, task_prefix)
local acks, released, pod = {}, 0, pod_of(info, worker)
local at = {unique_prefix = unique_prefix, stats = stats, ended = ended, meta = meta,
  task_prefix = task_prefix, packed_tasks = packed_tasks}
for i = #ARGV - 1, LIST_START, -2 do
  local id, attempt = ARGV[i], ARGV[i + 1]
  local key = task_prefix .. id
  local ack, task = own(at, id, worker, attempt, 'pending', true)
  if ack == 'ok' then
    redis.call('LREM', inflight, 1, id)
    local job, suspect, cancel = unpack(
      redis.call('HMGET', key, 'function', 'suspect', 'cancel'))
    if task.slot and (cancel or not suspect) then
      vacate(running_prefix, blocked, wake, key, id, task.slot)
    end
    if cancel then
      end_cancelled(at, key, id, cancelled_error, now, task.ttl)
    else
      add_attempt(key, worker, pod, 'released', now)
      put_back(pending, held_prefix, blocked, key, id, job, suspect and suspects)
      redis.call('HSET', key, 'state', 'pending', 'pending_since', now)
      released = released + 1
    end
  end
  acks[(i - LIST_START) / 2 + 1] = ack
end
if released > 0 then
  redis.call('HINCRBY', stats, 'released', released)
  ring(pending, wake, doorbell, before)
end
return acks
