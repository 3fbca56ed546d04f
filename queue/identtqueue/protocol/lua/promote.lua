-- promote: scheduled / pending -> pending, for tasks that are due; -> cancelled, for those that
-- expired before they ever started. It also removes dead letters that have expired and recent ends
-- that are too old, and checks that held tasks can still start. Each call does a bounded part of
-- that
-- KEYS  1 scheduled  2 pending  3 wake  4 dead  5 blocked  6 limits  7 rates
--       8 tombstones  9 suspects  10 expiring  11 stats  12 shelves  13 served
--       14 cron  15 paused_jobs  16 ended  17 meta  18 alarm  19 promoted
-- ARGV  1 task_prefix  2 doorbell  3 number: of tasks, at most
--       4 dead_ttl_ms: how long dead letters are kept  5 running_prefix  6 unique_prefix
--       7 held_prefix  8 expired_error  9 shelf_prefix
--       10 promoted_ms: how long other workers need not do the same
--       11.. shelves from which the caller may run tasks
-- Returns {number moved, ms until the next is due or -1, Redis time in ms, 1 if due work is left,
--         else 0, names of shelves}
-- include lib/now.lua
-- include lib/next_due.lua
-- include lib/pending.lua
-- include lib/due_held.lua
-- include lib/unblock.lua
-- include lib/shelf_names.lua
-- include lib/sweep.lua
-- include lib/expire.lua
-- include lib/recent.lua
-- include lib/alarm.lua
-- include lib/tombstones.lua
local now, most = now_ms(), tonumber(number)
local at = {pending = pending, scheduled = scheduled, wake = wake, blocked = blocked,
  limits = limits, rates = rates, tombstones = tombstones, expiring = expiring, stats = stats,
  shelves = shelves, served = served, cron = cron, paused_jobs = paused_jobs, ended = ended,
  meta = meta,
  task_prefix = task_prefix, doorbell = doorbell,
  running_prefix = running_prefix, unique_prefix = unique_prefix, held_prefix = held_prefix,
  shelf_prefix = shelf_prefix, reason = expired_error}
local expired = redis.call('ZRANGEBYSCORE', expiring, '-inf', now, 'LIMIT', 0, 100)
for _, id in ipairs(expired) do expire(at, id, now) end

local due = redis.call('ZRANGEBYSCORE', scheduled, '-inf', now, 'LIMIT', 0, most)
if #due > 0 then
  -- include lib/promote.lua
  promote(at, due, now)
end
local next_due = next_due_ms(scheduled, now)
sweep(pending, tombstones, task_prefix, 400)
local old = redis.call('ZRANGEBYSCORE', dead, '-inf', now - tonumber(dead_ttl_ms), 'LIMIT', 0, 500)
if #old > 0 then redis.call('ZREM', dead, unpack(old)) end
block_paused(at, now)
forget_ends(ended, meta, now)
unblock(at, now)
-- A worker that has taken the token, or was to look when the next task is due, may have died.
local startable, next_start = due_held(blocked, now, next_due,
  living(pending, tombstones, task_prefix) + redis.call('LLEN', suspects))
if startable > 0 or is_unattended(alarm, now, next_start) then wake_one(wake) end
for i = LIST_START, #ARGV do
  redis.call('HDEL', served, ARGV[i])  -- first: it is allowed at maxmemory
  if redis.call('HEXISTS', shelves, ARGV[i]) == 1 then
    redis.call('HSET', served, ARGV[i], now)
  end
end
redis.call('DEL', promoted)  -- first: it is allowed at maxmemory
if redis.call('EXISTS', shelves) == 0 then redis.call('SET', promoted, now, 'PX', promoted_ms) end
local more = #due >= most or #expired == 100 or #old == 500
return {#due, next_due, now, more and 1 or 0, shelf_names(shelves)}
