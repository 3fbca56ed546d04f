-- claim: pending -> running, for up to N tasks or 1 MiB of payloads; due tasks are promoted first.
-- -> cancelled, for a task that expired before it ever started, or whose cancellation was asked for
-- while it ran and that then came back. A task whose job is at a limit is held. Once it may start,
-- it comes before the tasks in pending
-- KEYS  1 pending  2 inflight:<worker>  3 workers  4 scheduled  5 stats  6 paused  7 draining
--       8 wake  9 limits  10 blocked  11 rates  12 tombstones  13 suspects  14 isolating
--       15 expiring  16 shelves  17 served  18 cron  19 paused_jobs  20 ended  21 meta  22 alarm
-- ARGV  1 task_prefix  2 unique_prefix  3 worker  4 number: of tasks  5 doorbell  6 expired_error
--       7 cancelled_error  8 held_prefix  9 running_prefix
--       10 idle: whether the worker runs nothing, in any queue: 0|1  11 shelf_prefix
--       12.. shelves from which it may be given tasks
-- Returns {"lost" | "draining" | "paused"}, or {"ok", ms after which the worker must look again,
--         because a scheduled or held task may start then, or -1 (see lib/alarm.lua), Redis time,
--         number left that may start (of held ones: one per job), news,
--         then per attempt: id, number, failures, losses, enqueued at, ms waited, payload}
-- News  pairs, seldom any: "fence <id>", the fencing token of a task if it is not the Redis time;
--       "suspects", their number; "alone", 1: the task is a suspect, and this worker must run
--       nothing beside it; "hold", ms for which the worker must start nothing, so that it becomes
--       idle and can take a suspect; "shelves", their names
-- include lib/now.lua
-- include lib/next_due.lua
-- include lib/pending.lua
-- include lib/expiry.lua
-- include lib/begin.lua
-- include lib/take.lua
-- include lib/alarm.lua
if tonumber(redis.call('ZSCORE', workers, worker) or 0) == 0 then return {'lost'} end
if redis.call('SISMEMBER', draining, worker) == 1 then return {'draining'} end
-- Most queues have no pauses, no limits, no suspects, no shelves and no tombstones. For them a
-- claim costs only this one EXISTS, and the functions that only the other queues need are not made.
local special = redis.call('EXISTS', paused, limits, blocked, tombstones, suspects, shelves,
  paused_jobs) > 0 or ARGV[LIST_START]
if special and redis.call('EXISTS', paused) == 1 then return {'paused'} end

local now, most = now_ms(), math.min(tonumber(number), 128)  -- Redis does nothing else meanwhile
local due = redis.call('ZRANGEBYSCORE', scheduled, '-inf', now, 'LIMIT', 0, 100)
if #due > 0 then
  -- include lib/promote.lua
  promote({pending = pending, scheduled = scheduled, tombstones = tombstones, wake = wake,
    cron = cron, stats = stats, expiring = expiring, ended = ended, meta = meta,
    task_prefix = task_prefix, unique_prefix = unique_prefix, doorbell = doorbell}, due, now)
end
local next_due, left, on_shelves = next_due_ms(scheduled, now), 0, 0
local so_far = {inflight = inflight, looked = 0, claimed = 0, waited = 0, bytes = 0, news = {}}
local reply = {'ok', next_due, now, left, so_far.news}
local fields = {'state', 'attempt', 'failures', 'losses', 'enqueued_at', 'pending_since', 'payload',
  'expires_at', 'ttl', 'cancel'}
if special then fields[11], fields[12], fields[13] = 'function', 'slot', 'held' end
local at = special and {pending = pending, inflight = inflight, workers = workers, wake = wake,
  isolating = isolating, limits = limits, blocked = blocked, rates = rates, tombstones = tombstones,
  suspects = suspects, draining = draining, shelves = shelves, served = served, worker = worker,
  paused_jobs = paused_jobs, idle = idle, task_prefix = task_prefix, shelf_prefix = shelf_prefix,
  running_prefix = running_prefix, held_prefix = held_prefix, offered = {unpack(ARGV, LIST_START)}}

local function start(list, ids, i, dead)  -- false: the task does not start, or not now
  local id, key, has = ids[i], task_prefix .. ids[i], so_far.special
  local state, attempt, failures, losses, enqueued_at, since, payload, expires_at, ttl, cancel, job,
    slot, held = unpack(redis.call('HMGET', key, unpack(fields)))
  if state ~= 'pending' then return false end  -- cancelled; or its hash was removed by hand
  if dead and has.lies_elsewhere(at, list, job, ids, i) then return false end
  if slot then has.vacate(at.running_prefix, at.blocked, at.wake, key, id, slot) end
  local expired = expires_at and has_expired(key, expires_at, attempt, now)
  if expired or cancel then
    -- include lib/end_cancelled.lua
    local reason = expired and expired_error or cancelled_error
    if expires_at then redis.call('ZREM', expiring, id) end
    end_cancelled({unique_prefix = unique_prefix, stats = stats, ended = ended, meta = meta},
      key, id, reason, now, ttl)
    return false
  end
  if has and not has.admit(at, key, id, job, now) then return false end
  local this = begin(key, id, worker, attempt, now, so_far.news)
  if expires_at then redis.call('ZREM', expiring, id) end
  if held then redis.call('HDEL', key, 'held') end
  -- A hash that was written by hand may lack its times. An error here would lose the popped ids.
  enqueued_at, payload = enqueued_at or now, payload or ''
  -- Redis' clock may step back.
  local n, wait = #reply, math.max(0, now - tonumber(since or enqueued_at))
  so_far.claimed, so_far.waited = so_far.claimed + 1, so_far.waited + wait
  so_far.bytes = so_far.bytes + #payload
  reply[n + 1], reply[n + 2], reply[n + 3], reply[n + 4] = id, this, failures or 0, losses or 0
  reply[n + 5], reply[n + 6], reply[n + 7] = enqueued_at, wait, payload
  return true
end

if special then
  -- include lib/special.lua
  most, next_due, left, on_shelves = serve_special(at, so_far, most, next_due, now, start)
end
repeat until not take(so_far, pending, tombstones, most - so_far.claimed, start)
if so_far.claimed > 0 then count_claims(stats, so_far.claimed, so_far.waited) end
-- Pass the wake token on: exactly one more worker wakes while tasks are left that may start.
if special then left, next_due = so_far.special.count_left(at, now, next_due, left)
else left = redis.call('LLEN', pending) end
if left == 0 then redis.call('DEL', wake) else ring(pending, wake, doorbell, left) end
-- No worker is woken for the tasks on shelves: it could be one that declines them.
reply[2], reply[4] = attend(alarm, now, next_due), left + on_shelves
return reply
