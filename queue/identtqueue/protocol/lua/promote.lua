-- promote: scheduled / pending -> pending, for tasks that are due; -> cancelled, for those that
-- expired before they ever started. It also removes dead letters that have expired, and checks that
-- held tasks can still start. Each call does a bounded part of that
-- KEYS  1 scheduled  2 pending  3 wake  4 dead  5 blocked  6 limits  7 rates
--       8 tombstones  9 suspects  10 expiring  11 stats  12 shelves  13 served
--       14 cron
-- ARGV  1 task prefix  2 doorbell  3 limit  4 how long dead letters are kept (ms)
--       5 running prefix  6 unique prefix  7 held prefix  8 error of an expired task
--       9 shelf prefix  10.. shelves from which the caller may run tasks
-- Returns {number moved, ms until the next is due or -1, Redis time in ms, 1 if due work is left,
--         else 0, names of shelves}
-- include lib/now.lua
-- include lib/promote.lua
-- include lib/due_held.lua
-- include lib/unblock.lua
-- include lib/shelf_names.lua
-- include lib/sweep.lua
-- include lib/expire.lua
local now, limit = now_ms(), tonumber(ARGV[3])
local at = {task_prefix = ARGV[1], unique_prefix = ARGV[6], held_prefix = ARGV[7],
  pending = KEYS[2], scheduled = KEYS[1], stats = KEYS[11], blocked = KEYS[5],
  tombstones = KEYS[8], expiring = KEYS[10], reason = ARGV[8],
  shelves = KEYS[12], served = KEYS[13], shelf_prefix = ARGV[9]}
local expired = redis.call('ZRANGEBYSCORE', KEYS[10], '-inf', now, 'LIMIT', 0, 100)
for _, id in ipairs(expired) do expire(at, id, now) end

local moved, next_due = promote(KEYS[1], KEYS[2], KEYS[8], KEYS[3], ARGV[1], ARGV[2], now, limit,
  {KEYS[14], KEYS[11], ARGV[6], KEYS[10]})
sweep(KEYS[2], KEYS[8], ARGV[1], 400)
local old = redis.call('ZRANGEBYSCORE', KEYS[4], '-inf', now - tonumber(ARGV[4]), 'LIMIT', 0, 500)
if #old > 0 then redis.call('ZREM', KEYS[4], unpack(old)) end
unblock(KEYS[5], {KEYS[6], KEYS[7], ARGV[5]}, ARGV[1], now)
if redis.call('EXISTS', KEYS[9]) == 1 or due_held(KEYS[5], now) > 0 then wake_one(KEYS[3]) end
for i = 10, #ARGV do
  redis.call('HDEL', KEYS[13], ARGV[i])  -- first: it is allowed at maxmemory
  if redis.call('HEXISTS', KEYS[12], ARGV[i]) == 1 then
    redis.call('HSET', KEYS[13], ARGV[i], now)
  end
end
local more = moved >= limit or #expired == 100 or #old == 500
return {moved, next_due, now, more and 1 or 0, shelf_names(KEYS[12])}
