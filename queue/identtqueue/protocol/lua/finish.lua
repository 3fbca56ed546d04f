-- finish: running -> succeeded, for a batch of attempts that this worker owns
-- KEYS  1 inflight:<worker>  2 stats  3 blocked  4 wake
-- ARGV  1 task_prefix  2 unique_prefix  3 worker  4 running_prefix
--       5.. triples: id, attempt, encoded result
-- Returns per attempt, in order: "ok" | "done" (a repeat) | "lost" | "missing"
-- include lib/now.lua
-- include lib/owned.lua
-- include lib/slots.lua
-- include lib/end_task.lua
local now, finished, run_ms, acks = now_ms(), 0, 0, {}
for i = LIST_START, #ARGV, 3 do
  local id, attempt, result = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local key = task_prefix .. id
  local ack, task = owned(key, worker, attempt, 'succeeded')
  if ack == 'ok' then
    -- LREM first: it frees memory, so a full Redis can still record results.
    redis.call('LREM', inflight, 1, id)
    if task.slot then vacate(running_prefix, blocked, wake, key, id, task.slot) end
    local ttl = task.ttl or 3600000
    end_task(key, id, 'succeeded', 'result', result, now, ttl, unique_prefix, task)
    finished, run_ms = finished + 1, run_ms + math.max(0, now - task.started_at)
  end
  acks[#acks + 1] = ack
end
if finished > 0 then
  redis.call('HINCRBY', stats, 'succeeded', finished)
  redis.call('HINCRBY', stats, 'run_ms', run_ms)
end
return acks
