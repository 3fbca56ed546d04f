-- depth: counts the tasks of a queue by state; writes nothing
-- KEYS  1 pending  2 workers  3 scheduled  4 dead  5 stats  6 paused  7 limits  8 blocked  9 rates
--       10 tombstones  11 suspects  12 expiring  13 shelves  14 served
-- ARGV  1 task prefix  2 inflight prefix  3 how far to look ahead (ms)  4 held prefix
--       5 running prefix  6 shelf prefix
-- Returns {pending, in flight, scheduled, dead, ms that the oldest task that may start has waited
--         or -1, ms until the next scheduled one is due or -1, number of scheduled ones due within
--         ARGV 3, paused 0|1, workers, Redis time, number of pending ones that may not start now,
--         ms until a held one may or -1, then counters}
-- include lib/now.lua
-- include lib/limits.lua
-- include lib/due_held.lua
-- include lib/tombstones.lua
-- include lib/first_ids.lua
-- include lib/count_expired.lua
-- include lib/each_shelf.lua
local now, in_flight = now_ms(), 0
local workers = redis.call('ZRANGE', KEYS[2], 0, -1)
for _, worker in ipairs(workers) do
  in_flight = in_flight + redis.call('LLEN', ARGV[2] .. worker)
end

local function waited(list, tombstones)
  local head = first_ids(list, tombstones, 1)[1] or first_ids(list, tombstones, 1000)[1]
  if not head then return living(list, tombstones, ARGV[1]) > 0 and 0 or -1 end
  local since = redis.call('HMGET', ARGV[1] .. head, 'pending_since', 'enqueued_at')
  return math.max(0, now - tonumber(since[1] or since[2] or now))
end

local expired, expired_held = count_expired(KEYS[12], ARGV[1], now)
local length = math.max(0, living(KEYS[1], KEYS[10], ARGV[1]) - expired)
local oldest, pending, startable, free = waited(KEYS[1], KEYS[10]), length, length, {}

local function free_for(job)
  free[job] = free[job] or (allowance(limit_of({KEYS[7], KEYS[9], ARGV[5]}, job, now), now))
  return free[job]
end

if redis.call('EXISTS', KEYS[7], KEYS[8]) > 0 then
  startable = 0
  local jobs = redis.call('ZRANGE', KEYS[8], 0, 299)  -- more are not seen
  for _, job in ipairs(jobs) do
    local list, dead = ARGV[4] .. job, KEYS[10] .. ':' .. job
    local held = living(list, dead, ARGV[1])
    local may = math.max(0, math.min(held, free_for(job)))
    if may > 0 then oldest = math.max(oldest, waited(list, dead)) end
    pending, startable, free[job] = pending + held, startable + may, free_for(job) - may
  end
  -- Tasks that no claim has looked at yet: the shares of the first 200 are taken for all.
  local sample, found, shares = first_ids(KEYS[1], KEYS[10], 200), {}, 0
  for _, id in ipairs(sample) do
    local job = redis.call('HGET', ARGV[1] .. id, 'function') or ''
    found[job] = (found[job] or 0) + 1
  end
  for job, number in pairs(found) do
    shares = shares + math.max(0, math.min(number * length, free_for(job) * #sample))
  end
  -- One division: the sum of rounded quotients could exceed the whole.
  if #sample > 0 then startable = startable + math.ceil(shares / #sample) end
  pending = math.max(0, pending - expired_held)
  startable = math.min(startable, pending)
end

local suspects = redis.call('LLEN', KEYS[11])  -- this list has no dead ids
pending, startable = pending + suspects, startable + suspects
if suspects > 0 then oldest = math.max(oldest, waited(KEYS[11])) end

each_shelf(KEYS[13], KEYS[14], now, #workers, function(shelf, number, served)
  pending, startable = pending + number, startable + (served and number or 0)
  if served then oldest = math.max(oldest, waited(ARGV[6] .. shelf)) end
end)
local next_due, first = -1, redis.call('ZRANGE', KEYS[3], 0, 0, 'WITHSCORES')
if #first > 0 then next_due = math.max(0, tonumber(first[2]) - now) end
local due, next_held = due_held(KEYS[8], now)
local reply = {pending, in_flight, redis.call('ZCARD', KEYS[3]), redis.call('ZCARD', KEYS[4]),
  oldest, next_due, redis.call('ZCOUNT', KEYS[3], '-inf', now + tonumber(ARGV[3])),
  redis.call('EXISTS', KEYS[6]), #workers, now, pending - startable,
  due > 0 and 0 or next_held}
for _, value in ipairs(redis.call('HGETALL', KEYS[5])) do reply[#reply + 1] = value end
return reply
