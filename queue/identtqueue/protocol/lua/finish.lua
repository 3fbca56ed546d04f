-- finish: running -> succeeded, for a batch of attempts that this worker owns
-- KEYS  1 inflight:<worker>  2 stats  3 blocked  4 wake  5 ended  6 packed_tasks
--       7 finished
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
-- include lib/forget_finished.lua
-- include lib/recent.lua
local time, run_ms, acks, ends, drops = now_text(), 0, {}, {}, {}
local now = tonumber(time)
local tasks, ids = {}, {}  -- of the attempts to record, by id; their ids, in order
if dropped ~= '' and dropped ~= '*' then
  for _, id in ipairs(cmsgpack.unpack(dropped)) do drops[id] = true end
end
local shorts, texts = {}, {}  -- names in packed_tasks, and what stands there
for i = LIST_START, #ARGV, 3 do shorts[#shorts + 1] = short_id(ARGV[i]) end
if #shorts > 0 then texts = redis.call('HMGET', packed_tasks, unpack(shorts)) end
for i, text in ipairs(texts) do
  local id, attempt = ARGV[LIST_START + 3 * i - 3], ARGV[LIST_START + 3 * i - 2]
  local ack, task = 'done', nil
  if not tasks[id] and text then ack, task = owned_packed(text, worker, attempt, 'succeeded')
  elseif not tasks[id] then
    ack, task = owned(task_prefix .. id, worker, attempt, 'succeeded')
  end
  if task then tasks[id], ids[#ids + 1] = task, id end
  acks[i] = ack
end
if #ids == 0 then return acks end
-- This comes first: it frees memory, so a full Redis can still record results.
let_go(inflight, ids, tasks)
local words, packed_ends = {}, {}  -- for packed_tasks; for finished
for i, ack in ipairs(acks) do
  local id, result = ARGV[LIST_START + 3 * i - 3], ARGV[LIST_START + 3 * i - 1]
  local task, kept, the_end = tasks[id], not drops[id] and dropped ~= '*', time .. ' ' .. id
  if ack == 'ok' then
    ends[#ends + 1], run_ms = the_end, run_ms + math.max(0, now - task.started_at)
    local waiters, start
    if task.first then waiters, start = waiters_in(texts[i], task.first) end
    if task.first and #result <= MOST_PACKED then
      local before = texts[i]
      if not kept then before = sub(before, 1, start - 1) .. job_in(sub(before, start)) end
      local size = string.char(math.floor(#result / 256), #result % 256)
      words[#words + 1] = shorts[i]
      words[#words + 1] = (kept and 's' or 't') .. time .. size .. result .. before
      packed_ends[#packed_ends + 1] = the_end
      if waiters then notify(waiters, id, 'succeeded', result) end
    else
      -- include lib/unpack_task.lua
      local key = unpack_task({packed_tasks = packed_tasks, task_prefix = task_prefix}, id)
      if task.slot then
        -- include lib/slots.lua
        vacate(running_prefix, blocked, wake, key, id, task.slot)
      end
      task.waiters = task.waiters or waiters
      local ttl = task.ttl or KEPT_MS
      end_task(key, id, 'succeeded', 'result', result, time, ttl, unique_prefix, task, kept)
    end
  end
end
if #words > 0 then
  redis.call('HSET', packed_tasks, unpack(words))
  redis.call('RPUSH', finished, unpack(packed_ends))
  forget_finished(packed_tasks, finished, now, 2 * #packed_ends)
end
redis.call('HINCRBY', stats, 'succeeded', #ids)
redis.call('HINCRBY', stats, 'run_ms', run_ms)
note_ends(ended, tonumber(most_ends), ends)
return #ids == #acks and 'ok' or acks
