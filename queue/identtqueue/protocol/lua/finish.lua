-- finish: running -> succeeded, for a batch of attempts that this worker owns
-- KEYS  1 inflight:<worker>  2 stats  3 blocked  4 wake  5 ended
-- ARGV  1 task_prefix  2 unique_prefix  3 worker  4 running_prefix
--       5 most_ends: how many recent ends are kept
--       6 dropped: the ids whose arguments are not kept (msgpack list), or empty, or "*": all
--       7.. triples: id, attempt, encoded result
-- Returns per attempt, in order: "ok" | "done" (a repeat) | "lost" | "missing"
-- include lib/now.lua
-- include lib/owned.lua
-- include lib/slots.lua
-- include lib/end_task.lua
-- include lib/recent.lua
local now, finished, run_ms, acks, ends, drops = now_ms(), 0, 0, {}, {}, {}
if dropped ~= '' and dropped ~= '*' then
  for _, id in ipairs(cmsgpack.unpack(dropped)) do drops[id] = true end
end
for i = LIST_START, #ARGV, 3 do
  local id, attempt, result = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local key = task_prefix .. id
  local ack, task = owned(key, worker, attempt, 'succeeded')
  if ack == 'ok' then
    -- LREM first: it frees memory, so a full Redis can still record results.
    redis.call('LREM', inflight, 1, id)
    if task.slot then vacate(running_prefix, blocked, wake, key, id, task.slot) end
    local ttl = task.ttl or 3600000
    local kept = not drops[id] and dropped ~= '*'
    end_task(key, id, 'succeeded', 'result', result, now, ttl, unique_prefix, task, kept)
    ends[#ends + 1] = now .. ' ' .. id
    finished, run_ms = finished + 1, run_ms + math.max(0, now - task.started_at)
  end
  acks[#acks + 1] = ack
end
if finished > 0 then
  redis.call('HINCRBY', stats, 'succeeded', finished)
  redis.call('HINCRBY', stats, 'run_ms', run_ms)
  note_ends(ended, tonumber(most_ends), ends)
end
return acks
