-- finish: running -> succeeded, for a batch of attempts that this worker owns
-- KEYS  1 inflight:<worker>  2 stats  3 blocked  4 wake  5 ended  6 packed_tasks
-- ARGV  1 task_prefix  2 unique_prefix  3 worker  4 running_prefix
--       5 most_ends: how many recent ends are kept
--       6 dropped: the ids whose arguments are not kept (msgpack list), or empty, or "*": all
--       7.. triples: id, attempt, encoded result
-- Returns "ok" if all are recorded; else per attempt, in order: "ok" | "done" (a repeat) | "lost"
--         | "missing"
-- include lib/now_text.lua
-- include lib/owned.lua
-- include lib/defaults.lua
-- include lib/let_go.lua
-- include lib/end_packed.lua
-- include lib/end_task.lua
-- include lib/packed.lua
-- include lib/recent.lua
local time, run_ms, acks, ends, drops = now_text(), 0, {}, {}, {}
local now = tonumber(time)
local tasks, ids = {}, {}  -- of the attempts to record, by id; their ids, in order
if dropped ~= '' and dropped ~= '*' then
  for _, id in ipairs(cmsgpack.unpack(dropped)) do drops[id] = true end
end
-- A second report of a task in the batch: a repeat, or of an attempt before the recorded one.
local function ack_again(id, attempt)
  for k, ack in ipairs(acks) do
    local place = LIST_START + 3 * k - 3
    if ack == 'ok' and ARGV[place] == id then
      return ARGV[place + 1] == attempt and 'done' or 'lost'
    end
  end
end
local shorts, texts, packed = {}, {}, {}  -- names in packed_tasks, texts there, names to remove
for i = LIST_START, #ARGV, 3 do shorts[#shorts + 1] = short_id(ARGV[i]) end
if #shorts > 0 then texts = redis.call('HMGET', packed_tasks, unpack(shorts)) end
for i, text in ipairs(texts) do
  local id, attempt = ARGV[LIST_START + 3 * i - 3], ARGV[LIST_START + 3 * i - 2]
  local ack, task
  if tasks[id] then ack = ack_again(id, attempt)
  elseif text then ack, task = owned_packed(text, worker, attempt)
  else
    ack, task = owned(task_prefix .. id, worker, attempt, 'succeeded')
  end
  if task then tasks[id], ids[#ids + 1] = task, id end
  if task and text then packed[#packed + 1] = shorts[i] end
  acks[i] = ack
end
if #ids == 0 then return acks end
-- These come first: they free memory, so a full Redis can still record results.
let_go(inflight, ids, tasks)
if #packed > 0 then redis.call('HDEL', packed_tasks, unpack(packed)) end
for i, ack in ipairs(acks) do
  local id, result = ARGV[LIST_START + 3 * i - 3], ARGV[LIST_START + 3 * i - 1]
  local key, task, kept = task_prefix .. id, tasks[id], not drops[id] and dropped ~= '*'
  if ack == 'ok' then
    if task.first then end_packed(key, id, result, time, worker, task, texts[i], kept)
    else
      if task.slot then
        -- include lib/slots.lua
        vacate(running_prefix, blocked, wake, key, id, task.slot)
      end
      local ttl = task.ttl or DEFAULT_TTL
      end_task(key, id, 'succeeded', 'result', result, time, ttl, unique_prefix, task, kept)
    end
    ends[#ends + 1] = time .. ' ' .. id
    run_ms = run_ms + math.max(0, now - task.started_at)
  end
end
redis.call('HINCRBY', stats, 'succeeded', #ids)
redis.call('HINCRBY', stats, 'run_ms', run_ms)
note_ends(ended, tonumber(most_ends), ends)
return #ids == #acks and 'ok' or acks
