-- finish: running -> succeeded, for a batch of attempts that this worker owns
-- KEYS  1 inflight:<worker>  2 stats  3 blocked  4 wake  5 ended
-- ARGV  1 task_prefix  2 unique_prefix  3 worker  4 running_prefix
--       5 most_ends: how many recent ends are kept
--       6 dropped: the ids whose arguments are not kept (msgpack list), or empty, or "*": all
--       7.. triples: id, attempt, encoded result
-- Returns "ok" if all are recorded; else per attempt, in order: "ok" | "done" (a repeat) | "lost"
--         | "missing"
-- include lib/now_text.lua
-- include lib/owned.lua
-- include lib/let_go.lua
-- include lib/end_task.lua
-- include lib/recent.lua
local time, run_ms, acks, ends, drops = now_text(), 0, {}, {}, {}
local now = tonumber(time)
local tasks, ids = {}, {}  -- of the attempts to record, by id; their ids, in order
if dropped ~= '' and dropped ~= '*' then
  for _, id in ipairs(cmsgpack.unpack(dropped)) do drops[id] = true end
end
for i = LIST_START, #ARGV, 3 do
  local id, attempt = ARGV[i], ARGV[i + 1]
  local ack, task = 'done', nil
  if not tasks[id] then ack, task = owned(task_prefix .. id, worker, attempt, 'succeeded') end
  if task then tasks[id], ids[#ids + 1] = task, id end
  acks[#acks + 1] = ack
end
if #ids == 0 then return acks end
-- This comes first: it frees memory, so a full Redis can still record results.
let_go(inflight, ids, tasks)
for i, ack in ipairs(acks) do
  local id, result = ARGV[LIST_START + 3 * i - 3], ARGV[LIST_START + 3 * i - 1]
  local key, task = task_prefix .. id, tasks[id]
  if ack == 'ok' then
    if task.slot then
      -- include lib/slots.lua
      vacate(running_prefix, blocked, wake, key, id, task.slot)
    end
    local kept = not drops[id] and dropped ~= '*'
    local ttl = task.ttl or '3600000'
    end_task(key, id, 'succeeded', 'result', result, time, ttl, unique_prefix, task, kept)
    ends[#ends + 1] = time .. ' ' .. id
    run_ms = run_ms + math.max(0, now - task.started_at)
  end
end
redis.call('HINCRBY', stats, 'succeeded', #ids)
redis.call('HINCRBY', stats, 'run_ms', run_ms)
note_ends(ended, tonumber(most_ends), ends)
return #ids == #acks and 'ok' or acks
