-- claim: pending -> running, for up to N tasks or 1 MiB of payloads; due tasks are promoted first.
-- -> cancelled, for a task that expired before it ever started, or whose cancellation was asked for
-- while it ran and that then came back. A task whose job is at a limit is held. Once it may start,
-- it comes before the tasks in pending
-- KEYS  1 pending  2 inflight:<worker>  3 workers  4 scheduled  5 stats  6 paused  7 draining
--       8 wake  9 limits  10 blocked  11 rates  12 tombstones  13 suspects  14 isolating
--       15 expiring  16 shelves  17 served  18 cron
-- ARGV  1 task prefix  2 unique prefix  3 worker  4 limit  5 doorbell  6 error of an expired task
--       7 error of a cancelled one  8 held prefix  9 running prefix
--       10 whether the worker runs nothing, in any queue: 0|1  11 shelf prefix
--       12.. shelves from which it may be given tasks
-- Returns {"lost" | "draining" | "paused"}, or {"ok", ms until the next scheduled or held task may
--         start or -1, Redis time, number left that may start (of held ones: one per job), news,
--         then per attempt: id, number, failures, losses, enqueued at, ms waited, payload}
-- News  pairs, seldom any: "fence <id>", the fencing token of a task if it is not the Redis time;
--       "suspects", their number; "alone", 1: the task is a suspect, and this worker must run
--       nothing beside it; "hold", ms for which the worker must start nothing, so that it becomes
--       idle and can take a suspect; "shelves", their names
-- include lib/now.lua
-- include lib/promote.lua
-- include lib/expiry.lua
-- include lib/begin.lua
-- include lib/take.lua
if tonumber(redis.call('ZSCORE', KEYS[3], ARGV[3]) or 0) == 0 then return {'lost'} end
if redis.call('SISMEMBER', KEYS[7], ARGV[3]) == 1 then return {'draining'} end
-- Most queues are not paused, have no limits, no suspects, no shelves and no tombstones. For them a
-- claim costs only this one EXISTS, and the functions that only the other queues need are not made.
local special = redis.call('EXISTS', KEYS[6], KEYS[9], KEYS[10], KEYS[12], KEYS[13],
  KEYS[16]) > 0 or ARGV[12]
if special and redis.call('EXISTS', KEYS[6]) == 1 then return {'paused'} end

local now, most = now_ms(), math.min(tonumber(ARGV[4]), 128)  -- Redis does nothing else meanwhile
local _, next_due = promote(KEYS[4], KEYS[1], KEYS[12], KEYS[8], ARGV[1], ARGV[5], now, 100,
  {KEYS[18], KEYS[5], ARGV[2], KEYS[15]})
local news, claimed, waited, shelved = {}, 0, 0, 0
local at = {inflight = KEYS[2], special = false, looked = 0, bytes = 0}
local reply = {'ok', next_due, now, 0, news}
local fields = {'state', 'attempt', 'failures', 'losses', 'enqueued_at', 'pending_since', 'payload',
  'expires_at', 'ttl', 'cancel'}
local keys = special and {KEYS[9], KEYS[11], ARGV[9]}
if keys then fields[11], fields[12], fields[13] = 'function', 'slot', 'held' end

local function start(list, ids, i, dead)  -- false: the task does not start, or not now
  local id, key, has = ids[i], ARGV[1] .. ids[i], at.special
  local task = redis.call('HMGET', key, unpack(fields))
  if task[1] ~= 'pending' then return false end  -- cancelled; or its hash was removed by hand
  if dead and has.lies_elsewhere({list, KEYS[1], ARGV[8] .. task[11]}, ids, i) then return false end
  if task[12] then has.vacate(ARGV[9], KEYS[10], KEYS[8], key, id, task[12]) end
  local expired = task[8] and has_expired(key, task[8], task[2], now)
  if expired or task[10] then
    -- include lib/end_cancelled.lua
    if task[8] then redis.call('ZREM', KEYS[15], id) end
    end_cancelled(key, id, expired and ARGV[6] or ARGV[7], now, task[9], ARGV[2], KEYS[5])
    return false
  end
  if has and not has.admit(keys, KEYS[10], ARGV[8], key, id, task[11], now) then return false end
  local attempt = begin(key, id, ARGV[3], KEYS[15], task, now, news)
  claimed, waited, at.bytes = claimed + 1, waited + attempt[6], at.bytes + #attempt[7]
  for _, value in ipairs(attempt) do reply[#reply + 1] = value end
  return true
end

if special then
  -- include lib/special.lua
  at.special = special_functions
  local suspects_at = {suspects = KEYS[13], isolating = KEYS[14], inflight = KEYS[2],
    workers = KEYS[3], draining = KEYS[7], task_prefix = ARGV[1], worker = ARGV[3],
    idle = ARGV[10] == '1'}
  most, next_due, reply[4] = serve_suspects(suspects_at, keys, most, next_due, now, news, start)
  tell_shelves(KEYS[16], news)
  local shelf_at = {KEYS[16], KEYS[17], ARGV[11], KEYS[2], ARGV[1]}
  for i = 12, #ARGV do
    shelved = shelved + serve_shelf(shelf_at, ARGV[i], most - claimed, at, keys, now, start)
  end
  local held_at = {KEYS[10], ARGV[8], KEYS[12], ARGV[1]}
  serve_held(held_at, at, keys, now, function() return most - claimed end, start)
  at.looked = at.looked + sweep(KEYS[1], KEYS[12], ARGV[1], 400)
end
repeat until not take(at, KEYS[1], KEYS[12], most - claimed, start)
if claimed > 0 then count_claims(KEYS[5], claimed, waited) end
-- Pass the wake token on: exactly one more worker wakes while tasks are left that may start.
if special then
  reply[4], reply[2] = at.special.due_held(KEYS[10], now, next_due, reply[4])
  reply[4] = reply[4] + at.special.living(KEYS[1], KEYS[12], ARGV[1])
else
  reply[4] = redis.call('LLEN', KEYS[1])
end
if reply[4] == 0 then redis.call('DEL', KEYS[8]) else ring(KEYS[1], KEYS[8], ARGV[5], reply[4]) end
-- No worker is woken for these: it could be one that declines them.
reply[4] = reply[4] + shelved
return reply
