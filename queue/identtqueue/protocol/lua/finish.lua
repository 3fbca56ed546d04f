-- finish: running -> succeeded, for a batch of attempts that this worker owns
-- KEYS  1 inflight:<worker>  2 stats  3 blocked  4 wake
-- ARGV  1 task prefix  2 unique prefix  3 worker  4 running prefix
--       5.. triples: id, attempt, encoded result
-- Returns per attempt, in order: "ok" | "done" (a repeat) | "lost" | "missing"
-- include lib/now.lua
-- include lib/owned.lua
-- include lib/slots.lua
-- include lib/end_task.lua
local now, finished, run_ms, acks = now_ms(), 0, 0, {}
for i = 5, #ARGV, 3 do
  local id, key = ARGV[i], ARGV[1] .. ARGV[i]
  local ack, task = owned(key, ARGV[3], ARGV[i + 1], 'succeeded')
  if ack == 'ok' then
    -- LREM first: it frees memory, so a full Redis can still record results.
    redis.call('LREM', KEYS[1], 1, id)
    if task[8] then vacate(ARGV[4], KEYS[3], KEYS[4], key, id, task[8]) end
    end_task(key, id, 'succeeded', 'result', ARGV[i + 2], now, task[5] or 3600000, ARGV[2],
      {task[6], task[7]})
    finished, run_ms = finished + 1, run_ms + math.max(0, now - tonumber(task[4]))
  end
  acks[#acks + 1] = ack
end
if finished > 0 then
  redis.call('HINCRBY', KEYS[2], 'succeeded', finished)
  redis.call('HINCRBY', KEYS[2], 'run_ms', run_ms)
end
return acks
