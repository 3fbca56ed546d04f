-- claim: pending -> running, for up to N tasks or 1 MiB of payloads; due tasks are promoted first.
-- -> cancelled, for a task that expired before it ever started, or whose cancellation was asked for
-- while it ran and that then came back. A task whose job is at a limit is held. Once it may start,
-- it comes before the tasks in pending
-- KEYS  1 pending  2 inflight:<worker>  3 workers  4 scheduled  5 stats  6 paused  7 draining
--       8 wake  9 limits  10 blocked  11 rates  12 tombstones  13 suspects  14 isolating
--       15 expiring  16 shelves  17 served  18 cron  19 paused_jobs  20 ended  21 meta  22 alarm
--       23 packed_tasks
-- ARGV  1 task_prefix  2 unique_prefix  3 worker  4 number: of tasks  5 doorbell  6 expired_error
--       7 cancelled_error  8 held_prefix  9 running_prefix
--       10 idle: whether the worker runs nothing, in any queue: 0|1  11 shelf_prefix
--       12.. shelves from which it may be given tasks
-- Returns {"lost" | "draining" | "paused"}, or {"ok", ms after which the worker must look again,
--         because a scheduled or held task may start then, or -1 (see lib/alarm.lua), Redis time,
--         number left that may start (of held ones: one per job), news, then per attempt: id,
--         and the text of a packed task (see lib/packed.lua), or of another one {payload, enqueued
--         at, since when it is pending if that differs, and unless it is the task's first one:
--         {its number, failures, losses}}}
-- News  pairs, seldom any: "fence <id>", the fencing token of a task if it is not the Redis time;
--       "suspects", their number; "alone", 1: the task is a suspect, and this worker must run
--       nothing beside it; "hold", ms for which the worker must start nothing, so that it becomes
--       idle and can take a suspect; "shelves", their names
-- include lib/now_text.lua
-- include lib/pending.lua
-- include lib/packed.lua
-- include lib/take.lua
-- include lib/count_claims.lua
-- include lib/count_living.lua
-- include lib/alarm.lua
if tonumber(redis.call('ZSCORE', workers, worker) or 0) == 0 then return {'lost'} end
-- A producer has no right to SISMEMBER, so it can't claim.
if redis.call('SISMEMBER', draining, worker) == 1 then return {'draining'} end
-- Most queues have no pauses, no limits, no suspects, no shelves and no tombstones. For them a
-- claim costs only this one EXISTS, and the functions that only the other queues need are not made.
-- Tombstones alone need few functions: lib/take.lua makes them.
local exist = redis.call('EXISTS', paused, limits, blocked, tombstones, suspects, shelves,
  paused_jobs)
local dead_ids = exist > 0 and redis.call('EXISTS', tombstones) == 1 and tombstones
local special = exist > (dead_ids and 1 or 0) or ARGV[LIST_START]
if special and redis.call('EXISTS', paused) == 1 then return {'paused'} end
local most = math.min(tonumber(number), 128)  -- Redis does nothing else meanwhile
local time, next_due, left, on_shelves = now_text(), -1, 0, 0
local now = tonumber(time)
if redis.call('ZCARD', scheduled) > 0 then
  -- include lib/promote_due.lua
  next_due = promote_due({pending = pending, scheduled = scheduled, tombstones = tombstones,
    wake = wake, cron = cron, stats = stats, expiring = expiring, ended = ended, meta = meta,
    task_prefix = task_prefix, unique_prefix = unique_prefix, doorbell = doorbell}, now)
end
local so_far = {inflight = inflight, packed = packed_tasks, task_prefix = task_prefix, looked = 0,
  claimed = 0, waited = 0, bytes = 0, news = {}}
local reply, n = {'ok', next_due, now, left, so_far.news}, 5
local begun, unpacked = {}, nil  -- new texts of packed tasks, by their names; for other tasks
local at = special and {pending = pending, inflight = inflight, workers = workers, wake = wake,
  isolating = isolating, limits = limits, blocked = blocked, rates = rates, tombstones = tombstones,
  suspects = suspects, draining = draining, shelves = shelves, served = served, worker = worker,
  paused_jobs = paused_jobs, packed_tasks = packed_tasks, idle = idle, task_prefix = task_prefix,
  shelf_prefix = shelf_prefix, running_prefix = running_prefix, held_prefix = held_prefix,
  offered = {unpack(ARGV, LIST_START)}}

local function add(id, task, size, since)  -- a task that starts, to the reply
  if now > tonumber(since) then so_far.waited = so_far.waited + now - since end  -- clocks step back
  so_far.claimed, so_far.bytes, n = so_far.claimed + 1, so_far.bytes + size, n + 2
  reply[n - 1], reply[n] = id, task
  return true
end

-- Starts a task, or returns false: it does not start, or not now. `text` is set if it is packed.
local function start(list, ids, i, dead, text)
  local id, has, short = ids[i], so_far.special, text and short_id(ids[i])
  if begun[short] then return false end
  if text and (not has or has.keeps_packed(at, id, text, now)) then
    if string.byte(text) ~= P then return false end  -- it runs already
    begun[short] = 'r' .. time .. worker .. ' ' .. text
    return add(id, text, #text, string.sub(text, 2, 14))
  end
  -- include lib/start_unpacked.lua
  unpacked = unpacked or {task_prefix = task_prefix, unique_prefix = unique_prefix, stats = stats,
    ended = ended, meta = meta, expiring = expiring, worker = worker, now = now, time = time,
    expired = expired_error, cancelled = cancelled_error, pending = pending,
    held_prefix = held_prefix}
  local payload, enqueued_at, since, before = start_unpacked(unpacked, at, so_far, list, ids, i,
    dead)
  return payload and add(id, {payload, enqueued_at, since, before}, #payload, since or enqueued_at)
end

if special then
  -- include lib/special.lua
  most, next_due, left, on_shelves = serve_special(at, so_far, most, next_due, now, start)
end
repeat until not take(so_far, pending, dead_ids, most - so_far.claimed, start)
local words = {}
for short, text in pairs(begun) do words[#words + 1], words[#words + 2] = short, text end
if #words > 0 then redis.call('HSET', packed_tasks, unpack(words)) end
if so_far.claimed > 0 then count_claims(stats, so_far.claimed, so_far.waited) end
-- Pass the wake token on: exactly one more worker wakes while tasks are left that may start.
if special then left, next_due = so_far.special.due_held(blocked, now, next_due, left) end
left = left + count_living(pending, dead_ids, task_prefix)
if left == 0 then redis.call('DEL', wake) else ring(pending, wake, doorbell, left) end
-- No worker is woken for the tasks on shelves: it could be one that declines them.
reply[2], reply[4] = attend(alarm, now, next_due), left + on_shelves
return reply
